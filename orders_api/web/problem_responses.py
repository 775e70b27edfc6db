"""Which kinds of problem an operation may answer with, for its documentation."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import UniqueConstraint
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

SOME_REQUEST_ID = "2d5243b38c3f419ab6f394e75a03277c"


def problems_of(path: str, methods: set[str], public: bool) -> Iterator[ProblemType]:
    """Return the kinds of problem that an operation may answer with."""
    yield from (INVALID, INTERNAL, UNAVAILABLE, NOT_MIGRATED)
    if "{" in path:
        yield NOT_FOUND
    if not public:
        yield UNAUTHORIZED
    if methods & {"POST", "PUT", "PATCH"}:
        yield from (MALFORMED, TOO_LARGE, UNSUPPORTED)
    if "{" in path and methods - {"GET"}:
        yield PRECONDITION_FAILED
    if "POST" in methods and not public:
        yield KEY_REUSED
    # The table of a collection has its name, and constraints decide what conflicts.
    table = SQLModel.metadata.tables.get(path.strip("/").partition("/")[0])
    if table is None:
        return
    if methods & {"POST", "PUT", "PATCH"} and any(
        isinstance(constraint, UniqueConstraint) for constraint in table.constraints
    ):
        yield ALREADY_EXISTS
    if "POST" in methods and table.foreign_keys:
        yield IMPOSSIBLE
    if "DELETE" in methods and any(
        key.column.table is table and not key.ondelete
        for other in SQLModel.metadata.tables.values()
        for key in other.foreign_keys
    ):
        yield IN_USE


def document_problems(*kinds: ProblemType) -> dict[int | str, dict[str, Any]]:
    """Describe answers with these kinds of problem, in the form of FastAPI, with examples."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in sorted({kind.status for kind in kinds}):
        same = [kind for kind in kinds if kind.status == status]
        content = {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "examples": {
                kind.name: {
                    "summary": kind.title,
                    "value": Problem(kind, kind.example).content(SOME_REQUEST_ID),
                }
                for kind in same
            },
        }
        answers[status] = {
            "description": " or ".join(f"{kind.title} (`{kind.type}`)" for kind in same),
            "content": {MEDIA_TYPE: content},
        }
    return answers
