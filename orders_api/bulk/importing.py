"""Lines become rows."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import chain, islice
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection
from sqlmodel import SQLModel, col, select

from orders_api.models import Store
from orders_api.storage.batches import BATCH, BatchInsert
from orders_api.web.lines import BadLine, Line, insert_lines, validate


def import_lines(
    connection: Connection,
    table: type[SQLModel],
    model: type[SQLModel],
    lines: Iterable[Line | BadLine],
    size: int = BATCH,
) -> Iterator[tuple[int, list[BadLine]]]:
    """Insert what the lines say, and give for each batch how many are good, and the bad ones.

    A line is to be as `model` has it. All of it is in the connection's transaction, which is as
    good as before after a bad line.
    """

    @lru_cache(BATCH)
    def stores(name: str) -> Sequence[UUID]:
        query = select(col(Store.store_id)).where(Store.name == name).limit(2)
        return connection.execute(query).scalars().all()

    statement = BatchInsert(table, model, connection.dialect)
    lines = iter(lines)
    while batch := list(islice(lines, size)):
        good, bad = validate(batch, model, {"stores": stores})
        rows = [(number, statement.values(members)) for number, members in good]
        if rows:
            bad += chain.from_iterable(insert_lines(connection, statement, rows))
        yield len(batch) - len(bad), sorted(bad, key=attrgetter("number"))
