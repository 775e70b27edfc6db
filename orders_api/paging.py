"""Lists in pages: `limit`, an opaque cursor (`after`), and what comes next as a Link header.

Paging is by key: a page starts after the last row of the one before, found in an index, so
that the hundred-thousandth page costs what the first one does.
"""

import base64
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.alias_generators import to_camel
from pydantic_core import to_json
from sqlalchemy import ColumnElement, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlmodel import SQLModel
from starlette.requests import Request

from orders_api.errors import Problem

HOST = re.compile(r"[A-Za-z0-9.-]+(:[0-9]{1,5})?|\[[0-9A-Fa-f:.]+\](:[0-9]{1,5})?")


@dataclass(frozen=True)
class Filter:
    """Marks a query parameter as a condition on the rows: `Filter(lambda value: …)`."""

    condition: Callable[[Any], ColumnElement[bool]]


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
        """Give the condition of every filter that was sent."""
        for name, field in type(self).model_fields.items():
            value = getattr(self, name)
            if value is not None:
                yield from (m.condition(value) for m in field.metadata if isinstance(m, Filter))

    @property
    def sort_order(self) -> str:
        """Name the column to sort by, a minus before it for descending; empty for the key."""
        return getattr(self, "sort", None) or ""


@dataclass(frozen=True)
class Keyset:
    """The order of a list: a column to sort by (or none), and the key to break ties."""

    columns: list[InstrumentedAttribute[Any]]
    sort: str

    @classmethod
    def of(cls, table: type[SQLModel], sort: str = "") -> "Keyset":
        keys = [getattr(table, column.key) for column in table.__mapper__.primary_key]  # type: ignore[attr-defined]  # SQLModel's tables are mapped
        names = [sort.removeprefix("-")] if sort else []
        return cls([getattr(table, name) for name in names] + keys, sort)

    @property
    def _validator(self) -> TypeAdapter[tuple[Any, ...]]:
        parts: Any = (Literal.__getitem__(self.sort), *map(_annotation, self.columns))
        return TypeAdapter(tuple.__class_getitem__(parts))  # type: ignore[arg-type]  # made at run time

    @property
    def order_by(self) -> list[ColumnElement[Any]]:
        return [c.desc() if self.sort.startswith("-") else c.asc() for c in self.columns]

    def beyond(self, cursor: str) -> ColumnElement[bool]:
        """Select the rows after `cursor`, which came from `cursor_of` for the same order."""
        values = self._decode(cursor)
        row = tuple_(*self.columns)
        bound = tuple_(*(literal(v, c.type) for v, c in zip(values, self.columns, strict=True)))
        return row < bound if self.sort.startswith("-") else row > bound

    def cursor_of(self, row: SQLModel) -> str:
        values = [getattr(row, column.key) for column in self.columns]
        text = to_json([self.sort, *values])
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    def _decode(self, cursor: str) -> tuple[Any, ...]:
        try:
            padded = cursor + "=" * (-len(cursor) % 4)
            # Validated as a whole: the order, then a value for each column.
            text = base64.b64decode(padded, altchars=b"-_", validate=True)
            return self._validator.validate_json(text)[1:]
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


def _annotation(column: InstrumentedAttribute[Any]) -> Any:
    return column.class_.model_fields[column.key].rebuild_annotation()
