"""Which types of problem an operation may answer with, for its documentation."""

from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from sqlalchemy import Table, UniqueConstraint
from sqlmodel import SQLModel

from orders_api.problems import (
    ALREADY_EXISTS,
    IMPOSSIBLE,
    IN_USE,
    INTERNAL,
    INVALID,
    KEY_REUSED,
    MALFORMED,
    MEDIA_TYPE,
    NOT_FOUND,
    NOT_MIGRATED,
    PRECONDITION_FAILED,
    TOO_LARGE,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED,
    Problem,
    ProblemType,
)
from orders_api.storage.schemas import schemas_in, table_of
from orders_api.web.routing import Route

SOME_REQUEST_ID = "2d5243b38c3f419ab6f394e75a03277c"


Routes = dict[str, dict[str, Route]]


def routes_of(app: FastAPI) -> Routes:
    """Return the routes of Routers by their paths and methods."""
    routes: Routes = {}
    for context in iter_route_contexts(app.routes):
        route = context.original_route
        if isinstance(route, Route) and context.include_in_schema:
            for method in context.methods or ():
                routes.setdefault(str(context.path_format), {}).setdefault(method, route)
    return routes


def table_behind(path: str, method: str, routes: Routes) -> Table | None:
    """Return the table of the Out class that an operation answers with, by itself or in a list.

    Where it answers with none, that of another operation on its path or, if there is none either,
    on the path above.
    """
    while path:
        others = routes.get(path, {})
        for route in [others[method], *others.values()] if method in others else others.values():
            for schema in schemas_in(route.response_model):
                table: Table = table_of(schema).__table__
                return table
        path = path.rpartition("/")[0]
    return None


def problem_types_of(
    path: str, method: str, public: bool, table: Table | None
) -> Iterator[ProblemType]:
    """Return the types of problem that an operation may answer with.

    `table` is the one that it reads or changes: its constraints decide what conflicts.
    """
    yield from (INVALID, INTERNAL, UNAVAILABLE, NOT_MIGRATED)
    if "{" in path:
        yield NOT_FOUND
    if not public:
        yield UNAUTHORIZED
    if method in {"POST", "PUT", "PATCH"}:
        yield from (MALFORMED, TOO_LARGE, UNSUPPORTED)
    if "{" in path and method != "GET":
        yield PRECONDITION_FAILED
    if method == "POST" and not public:
        yield KEY_REUSED
    if table is None:
        return
    if method in {"POST", "PUT", "PATCH"} and any(
        isinstance(constraint, UniqueConstraint) for constraint in table.constraints
    ):
        yield ALREADY_EXISTS
    if method == "POST" and table.foreign_keys:
        yield IMPOSSIBLE
    if method == "DELETE" and any(
        key.column.table is table and not key.ondelete
        for other in SQLModel.metadata.tables.values()
        for key in other.foreign_keys
    ):
        yield IN_USE


def document_problems(*problem_types: ProblemType) -> dict[int | str, dict[str, Any]]:
    """Describe answers with these types of problem, in the form of FastAPI, with examples."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in sorted({one.status for one in problem_types}):
        same = [one for one in problem_types if one.status == status]
        content = {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "examples": {
                one.name: {
                    "summary": one.title,
                    "value": Problem(one, one.example).content(SOME_REQUEST_ID),
                }
                for one in same
            },
        }
        answers[status] = {
            "description": " or ".join(f"{one.title} (`{one.type}`)" for one in same),
            "content": {MEDIA_TYPE: content},
        }
    return answers
