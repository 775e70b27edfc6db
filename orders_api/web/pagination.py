"""Lists in pages: `limit`, an opaque cursor (`after`), and what comes next as a Link header."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Query
from pydantic import BaseModel, Field
from pydantic.alias_generators import to_camel
from sqlalchemy import ColumnElement
from sqlalchemy.orm import Mapped
from starlette.requests import Request

from orders_api.models import UtcDatetime
from orders_api.problems import Problem
from orders_api.storage.keyset import Keyset
from orders_api.storage.search import Texts, contains

Mark = TypeVar("Mark", bound="Filter")
HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True)
class Filter:
    """Marks a query parameter as a condition on the rows: `Filter(lambda value: …)`."""

    condition: Callable[[Any], ColumnElement[bool]]


@dataclass(frozen=True)
class Search(Filter):
    """What `search` returns."""

    texts: Texts


def search(*texts: Mapped[str] | Mapped[str | None]) -> Search:
    """Mark a query parameter as part of a text: `search(col(Product.name))`.

    It finds rows that have it in one of these columns, in any case.
    """
    return Search(partial(contains, texts), texts)


@dataclass(frozen=True)
class Since(Filter):
    """What `since` returns."""

    column: str


def since(column: Any) -> Since:
    """Mark a query parameter as a time: `since(col(Product.updated_at))`.

    It finds rows with this time or a later one, in the order of their times unless sorted.
    """
    return Since(lambda value: column >= value, column.key)


UpdatedSince = Annotated[
    UtcDatetime | None,
    Query(
        description=(
            "Changed at this time or later (ISO 8601 with offset), in the order of change unless"
            " sorted."
        )
    ),
]


class Page(BaseModel):
    """The query parameters of a list; a list's own parameters are added by a subclass."""

    model_config = {"alias_generator": to_camel, "validate_by_name": False, "extra": "forbid"}

    limit: Annotated[
        int, Field(ge=1, le=200, description="How many objects to answer with at most.")
    ] = 50
    after: Annotated[
        str | None,
        Field(
            max_length=2000,
            pattern="^[A-Za-z0-9_-]*$",
            description="Where to go on: taken from the `Link` header of the page before.",
        ),
    ] = None

    def conditions(self) -> Iterator[ColumnElement[bool]]:
        """Return the condition of every filter that was sent."""
        return (mark.condition(value) for mark, value in self._sent(Filter))

    def searches(self) -> Iterator[tuple[Texts, str]]:
        """Return the columns and the value of every search that was sent."""
        return ((mark.texts, value) for mark, value in self._sent(Search))

    def _sent(self, kind: type[Mark]) -> Iterator[tuple[Mark, Any]]:
        """Return the marks of this kind on parameters that were sent, and the values of those."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None:
                yield from ((mark, value) for mark in field.metadata if isinstance(mark, kind))

    @property
    def sort_order(self) -> str:
        """Name the column to sort by, a minus before it for descending; empty for the key."""
        times = (mark.column for mark, _ in self._sent(Since))
        return getattr(self, "sort", None) or next(times, "")


def beyond(keyset: Keyset, cursor: str) -> ColumnElement[bool]:
    """Select the rows after `cursor`, or answer 422 if it is none of this list and order."""
    try:
        return keyset.beyond(cursor)
    except ValueError:
        detail = "must be the cursor of a `Link` header of this list, in the same order"
        raise Problem.invalid([{"parameter": "after", "detail": detail}]) from None


def next_link(request: Request, cursor: str) -> str:
    """Write the Link header (RFC 8288) to the page after `cursor`, filters included."""
    query = {**request.query_params, "after": cursor}
    host = request.headers.get("host", "")
    # Without a host that can stand in a URL the link is relative, which RFC 8288 allows.
    origin = f"{request.scope['scheme']}://{host}" if HOST.fullmatch(host) else ""
    return f'<{origin}{quote(request.scope["path"])}?{urlencode(query)}>; rel="next"'
