"""What routes answer with and sort by, looked at before the first request."""

from collections.abc import Iterable, Iterator
from typing import get_args

from fastapi.routing import APIRoute, RouteContext

from orders_api.storage.keyset import Keyset
from orders_api.storage.projection import projection_of
from orders_api.storage.schemas import schemas_in, table_of
from orders_api.web.pagination import Page


def check_schemas(contexts: Iterable[RouteContext]) -> None:
    """Raise TypeError for a member that cannot be read, or a sort that no column can be.

    What shows no table is no answer of the database, and may have any members.
    """
    for context in contexts:
        if not isinstance(context.original_route, APIRoute):
            continue
        for field in (context.response_field, context.stream_item_field):
            for schema in schemas_in(field and field.field_info.annotation):
                names = projection_of(schema).names
                for sort in _sorts_of(context):
                    column = Keyset.of(table_of(schema), sort).columns[0].key
                    if column not in names:
                        raise TypeError(f"{schema.__name__} has no {column} to sort by")


def _sorts_of(context: RouteContext) -> Iterator[str]:
    """Return the values of `sort` in the page that a route takes, which is a Literal of them."""
    for field in context.dependant.query_params:
        page = field.field_info.annotation
        if isinstance(page, type) and issubclass(page, Page) and "sort" in page.model_fields:
            for part in get_args(page.model_fields["sort"].annotation):
                yield from get_args(part)
