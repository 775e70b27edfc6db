"""Lines become rows."""

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from itertools import islice
from operator import attrgetter
from uuid import UUID

from sqlalchemy import Connection
from sqlmodel import SQLModel, col, select

from orders_api.models import Store
from orders_api.storage.batches import BATCH
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

    lines = iter(lines)
    while batch := list(islice(lines, size)):
        rows, bad = validate(batch, model, {"stores": stores})
        bad += insert_lines(connection, table, rows)
        yield len(batch) - len(bad), sorted(bad, key=attrgetter("number"))
