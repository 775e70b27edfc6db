"""What routes take, answer with and sort by, looked at before the first request."""

from collections.abc import Iterable, Iterator
from typing import get_args

from fastapi.routing import APIRoute, RouteContext
from pydantic.alias_generators import to_camel

from orders_api.logs import log
from orders_api.storage.keyset import Keyset
from orders_api.storage.projection import projection_of
from orders_api.storage.schemas import schemas_in, table_of
from orders_api.web.pagination import Page
from orders_api.web.parameters import query_parameters


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


def warn_of_parameters(contexts: Iterable[RouteContext]) -> None:
    """Warn of `thing_id` in the query where the path has `thingId`, which it was to be.

    FastAPI asks for no parameter of the path, and takes what has another name for the query's.
    """
    for context in contexts:
        if isinstance(context.original_route, APIRoute) and context.param_convertors:
            for name, _ in query_parameters(context):
                if name != to_camel(name) in context.param_convertors:
                    log.warning(
                        '%s has `%s` in its query: write `Path(alias="%s")` if the path is meant',
                        f"{'/'.join(sorted(context.methods or ()))} {context.path}",
                        name,
                        to_camel(name),
                    )
