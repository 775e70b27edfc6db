"""Many rows at once, batch by batch, so that memory does not grow with their number."""

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, insert, literal
from sqlalchemy.exc import DBAPIError
from sqlmodel import SQLModel

from orders_api.problems import Problem
from orders_api.storage.errors import from_database_error
from orders_api.storage.projection import projection_of

BATCH = 1000  # rows that one statement inserts, and objects that one statement reads
Row = tuple[int, dict[str, Any]]
"""A number by which to know a row, and the values of its columns."""


def insert_rows(
    connection: Connection, table: type[SQLModel], rows: list[Row]
) -> Iterator[tuple[int, Problem]]:
    """Insert rows, and find those that the database refuses by halving what contains one."""
    if not rows:
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(table), [row for _, row in rows])
    except DBAPIError as error:
        problem = from_database_error(error)
        if problem is None or problem.status_code >= 500:
            raise
        if len(rows) == 1:
            yield rows[0][0], problem
        else:
            middle = len(rows) // 2
            yield from insert_rows(connection, table, rows[:middle])
            yield from insert_rows(connection, table, rows[middle:])


def read_page(
    connection: Connection, schema: type[SQLModel], before: Sequence[Any], size: int = BATCH
) -> list[Any]:
    """Read the objects that follow the page before (or the first ones), oldest first.

    A page is found by key, so that all of them together take no transaction.
    """
    projection = projection_of(schema)
    beyond = [projection.key > getattr(before[-1], projection.key.key)] if before else []
    query = projection.select(*beyond, order=[projection.key.key], limit=literal(size))
    return projection.objects(connection.execute(query))
