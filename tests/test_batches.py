"""Rows of a batch come out of a file and into the database as they were."""

from datetime import UTC, date, datetime
from decimal import Decimal
from enum import StrEnum
from tempfile import TemporaryFile
from typing import Any
from uuid import UUID

from sqlalchemy import JSON, select, text
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel, create_engine

from orders_api.settings import Settings
from orders_api.storage.batches import BatchInsert, insert_rows, read_rows, write_rows
from tests.samples import STORE


class Colour(StrEnum):
    RED = "red"


class SampleIn(SQLModel):
    id: int
    key: UUID
    colour: Colour
    data: dict[str, Any] = Field(sa_type=JSON)
    is_new: bool
    made: datetime
    day: date
    price: Decimal = Field(max_digits=12, decimal_places=2)
    note: str | None


class Own(SQLModel, registry=registry()):
    """Keeps the table apart from those of the service."""


class Sample(SampleIn, Own, table=True):
    id: int = Field(primary_key=True)
    version: int = 7
    computed: int = Field(sa_column_kwargs={"default": text("3 + 4")})


def test_values_of_all_types_are_inserted_as_they_are(database_url: str) -> None:
    members = {
        "id": 1,
        "key": UUID("01a1fafd-9453-75d2-9908-2b05e8831e2b"),
        "colour": Colour.RED,
        "data": {"é'\"": [1, None, STORE]},
        "is_new": True,
        "made": datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "price": Decimal("9999999999.99"),
        "note": None,
    }
    driver = "sqlite" if database_url.startswith("sqlite") else "postgresql+psycopg"
    engine = create_engine(Settings(database_url=database_url).url.set(drivername=driver))
    with engine.connect() as connection, TemporaryFile() as file:  # all of it is rolled back
        Sample.metadata.create_all(connection)
        statement = BatchInsert(Sample, SampleIn, connection.dialect)
        write_rows(file, [(1, statement.values(members))])
        for rows in read_rows(file):
            assert list(insert_rows(connection, statement, rows)) == [[]]
        found = connection.execute(select(Sample.__table__)).mappings().one()  # type: ignore[attr-defined]  # declared by SQLAlchemy
        assert dict(found) == members | {"version": 7, "computed": 7}
    engine.dispose()
