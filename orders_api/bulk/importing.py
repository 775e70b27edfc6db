"""Insert what the lines of a file say."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from typing import IO
from uuid import UUID

from sqlalchemy import Connection
from sqlmodel import SQLModel, col, select

from orders_api.models import Store
from orders_api.storage.batches import BATCH, BatchInsert, read_rows, write_rows
from orders_api.web.lines import BadLine, Line, insert_lines, validate


def check_lines(
    connection: Connection,
    table: type[SQLModel],
    model: type[SQLModel],
    lines: Iterable[Line | BadLine],
    rows: IO[bytes],
) -> Iterator[tuple[int, list[BadLine]]]:
    """Write the rows that lines stand for into a file; return for each batch how many, and the bad.

    A line is to be as `model` has it.
    """

    @lru_cache(BATCH)
    def stores(name: str) -> Sequence[UUID]:
        query = select(col(Store.store_id)).where(Store.name == name).limit(2)
        return connection.execute(query).scalars().all()

    statement = BatchInsert(table, model, connection.dialect)
    lines = iter(lines)
    while batch := list(islice(lines, BATCH)):
        good, bad = validate(batch, model, {"stores": stores})
        write_rows(rows, [(number, statement.values(members)) for number, members in good])
        yield len(good), bad


def insert_checked(
    connection: Connection, table: type[SQLModel], model: type[SQLModel], rows: IO[bytes]
) -> Iterator[tuple[int, list[BadLine]]]:
    """Insert what `check_lines` has written; return for each batch how many, and the bad lines.

    All of it is in the connection's transaction, which is as good as before after a bad line.
    """
    statement = BatchInsert(table, model, connection.dialect)
    for batch in read_rows(rows):
        bad = [line for found in insert_lines(connection, statement, batch) for line in found]
        yield len(batch) - len(bad), bad
