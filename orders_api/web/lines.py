"""Lines that stand for objects, each checked by itself: what is good, and why the rest is bad."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError
from sqlalchemy import Connection
from sqlmodel import SQLModel

from orders_api.problems import IMPOSSIBLE, INVALID, MALFORMED, Problem, ProblemType
from orders_api.storage.batches import BatchInsert, Row, insert_rows
from orders_api.web.strict_json import parse_json
from orders_api.web.validation import MAX_ERRORS, body_error

BYTE_ORDER_MARK = b"\xef\xbb\xbf"  # with which some programs begin a file in UTF-8
MAX_MEMBERS = 1000  # of a line: Pydantic reports each unknown one, in half a second for 1 MiB

GoodLine = tuple[int, dict[str, Any]]
"""The number of a line, and the members that it has."""


@dataclass(frozen=True)
class Line:
    """What a line says, which need not be right."""

    number: int
    value: Any


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be imported, and why."""

    number: int
    problem_type: ProblemType
    errors: Sequence[Mapping[str, str]]
    """As in a problem: a `detail`, and the `pointer` of the member that it is about."""

    def __str__(self) -> str:
        return "; ".join(
            f"`{error['pointer'][1:]}` {error['detail']}"
            if error.get("pointer")
            else error["detail"]
            for error in self.errors
        )


def read_json_lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[Line | BadLine]:
    """Read lines that come with their numbers; a blank line is none."""
    for number, text in lines:
        content = (text.removeprefix(BYTE_ORDER_MARK) if number == 1 else text).rstrip()
        if content:
            try:
                yield Line(number, parse_json(content))
            except ValueError as error:
                detail = str(error).replace("(line 1, ", "(")
                yield BadLine(number, MALFORMED, [{"detail": detail}])


def validate(
    lines: Iterable[Line | BadLine], model: type[SQLModel], context: dict[str, Any] | None = None
) -> tuple[list[GoodLine], list[BadLine]]:
    """Return the lines that are as `model` has it, and the bad ones."""
    good: list[GoodLine] = []
    bad: list[BadLine] = []
    for line in lines:
        if isinstance(line, BadLine):
            bad.append(line)
        elif isinstance(line.value, dict) and len(line.value) > MAX_MEMBERS:
            detail = f"must not have more than {MAX_MEMBERS} members"
            bad.append(BadLine(line.number, INVALID, [{"detail": detail}]))
        else:
            try:
                members = dict(model.model_validate(line.value, context=context))
                good.append((line.number, members))
            except ValidationError as error:
                bad.append(BadLine(line.number, INVALID, _reasons(error, model)))
    return good, bad


def _reasons(error: ValidationError, model: type[SQLModel]) -> list[Mapping[str, str]]:
    return [
        body_error(item, item["loc"], model)
        for item in error.errors()[:MAX_ERRORS]
        if item["type"] != "default_factory_not_called"  # another member is why
    ]


def insert_lines(
    connection: Connection, statement: BatchInsert, rows: Sequence[Row]
) -> Iterator[list[BadLine]]:
    """Insert the rows that lines stand for, and find those that the database refuses.

    Each step inserts once, and returns what it has found.
    """
    for refused in insert_rows(connection, statement, rows):
        yield [_refused(*row) for row in refused]


def _refused(number: int, problem: Problem) -> BadLine:
    if problem.problem_type is IMPOSSIBLE:  # products alone refer to something
        error = {"pointer": "/storeId", "detail": "is not the id of a store"}
    else:
        error = {"detail": problem.detail.rstrip(".")}
    return BadLine(number, problem.problem_type, [error])
