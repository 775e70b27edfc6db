"""A Citus cluster: which tables its nodes share, and what one node alone can answer.

All other tests run on it, too, if TEST_DATABASE_URL names the database of its coordinator.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx2
import pytest
from sqlalchemy import Connection, create_engine, text
from sqlmodel import SQLModel

from orders_api import models
from orders_api.settings import Settings
from orders_api.storage.citus import distribute
from orders_api.storage.engines import Database
from orders_api.storage.migrations import migrate
from orders_api.storage.projection import by_key
from tests.conftest import Postgres, delete_all_rows
from tests.live import running_server
from tests.samples import STORE
from tests.test_coupons import check_race

# Not of `citus_tables`, which waits for the locks of a transaction that is not committed.
TABLES = text(
    "SELECT logicalrelid::text, column_to_column_name(logicalrelid, partkey)"
    " FROM pg_dist_partition WHERE colocationid <> 0"
)
DIVIDED = {
    "orders": "order_id",
    "order_items": "order_id",
    "order_totals": "order_id",
    "idempotency_keys": "key_hash",
}

needs_citus = pytest.mark.skipif(
    not Postgres.is_citus, reason="needs a Citus cluster in TEST_DATABASE_URL"
)


@pytest.fixture
def connection() -> Iterator[Connection]:
    """A connection whose transaction is undone."""
    engine = create_engine(Settings(database_url=Postgres.url or "").url)
    with engine.connect() as connection:
        yield connection
        connection.rollback()
    engine.dispose()


def distributed(connection: Connection) -> dict[str, Any]:
    """Name the tables, with the column by which each is divided; None if each node has it whole."""
    return {str(name): column for name, column in connection.execute(TABLES)}


@needs_citus
def test_migrate_divides_orders_and_keys_and_gives_each_node_the_others(
    connection: Connection,
) -> None:
    expected = {name: DIVIDED.get(name) for name in SQLModel.metadata.tables}
    assert distributed(connection) == expected
    connection.rollback()
    migrate(Settings(database_url=Postgres.url or "").url)
    assert distributed(connection) == expected


@needs_citus
def test_tables_that_were_there_before_the_extension_are_distributed_with_their_rows(
    connection: Connection,
) -> None:
    connection.execute(text("CREATE TABLE parcels (parcel_id uuid PRIMARY KEY)"))
    connection.execute(
        text(
            "CREATE TABLE parcel_items (parcel_id uuid REFERENCES parcels ON DELETE CASCADE,"
            " product_id uuid REFERENCES products, PRIMARY KEY (parcel_id, product_id))"
        )
    )
    connection.execute(text("INSERT INTO parcels SELECT gen_random_uuid()"))
    for _ in range(2):
        distribute(connection, [("parcel_items", "parcel_id"), ("parcels", "parcel_id")])
    found = distributed(connection)
    assert (found["parcels"], found["parcel_items"]) == ("parcel_id", "parcel_id")
    assert connection.scalar(text("SELECT count(*) FROM parcels")) == 1
    keys = text(
        "SELECT count(*) FROM pg_constraint"
        " WHERE contype = 'f' AND conrelid = CAST('parcel_items' AS regclass)"
    )
    assert connection.scalar(keys) == 2


@needs_citus
@pytest.mark.parametrize("schema", [models.OrderDetail, models.OrderOut, models.ProductDetail])
def test_object_is_read_from_one_node(connection: Connection, schema: type[SQLModel]) -> None:
    statement = by_key(schema).compile(dialect=connection.dialect)
    plan = connection.exec_driver_sql(f"EXPLAIN (VERBOSE) {statement}", {"key": uuid4()})
    tasks = [line for (line,) in plan if "Task Count" in line]
    assert [line.strip() for line in tasks] == ["Task Count: 1"]


# --- Races --------------------------------------------------------------------------------


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    """The address of two server processes on the cluster, which has no rows before and after."""
    url = Postgres.url or ""
    asyncio.run(empty(url))
    options = {"DATABASE_URL": url, "DATABASE_TIMEOUT": "60"}
    with running_server(tmp_path, "--workers", "2", **options) as address:
        yield address
    asyncio.run(empty(url))


async def empty(url: str) -> None:
    database = Database(Settings(database_url=url))
    await delete_all_rows(database)
    await database.dispose()


@needs_citus
@pytest.mark.slow
def test_300_orders_at_once_share_100_redemptions(address: str) -> None:
    check_race(address, 300, 100)


@needs_citus
@pytest.mark.slow
def test_40_orders_at_once_with_one_key_are_one(address: str) -> None:
    async def race() -> tuple[set[tuple[int, str]], int]:
        async with httpx2.AsyncClient(base_url=address, timeout=120) as client:
            store = (await client.post("/stores", json=STORE)).json()
            product = {"storeId": store["storeId"], "name": "A", "price": 1}
            product = (await client.post("/products", json=product)).json()
            body = {"items": [{"productId": product["productId"], "quantity": 1}]}
            headers = {"idempotency-key": "a"}
            orders = [client.post("/orders", json=body, headers=headers) for _ in range(40)]
            answers = await asyncio.gather(*orders)
            count = len((await client.get("/orders")).json())
            return {(answer.status_code, answer.text) for answer in answers}, count

    answers, count = asyncio.run(race())
    assert [status for status, _ in answers] == [201]
    assert count == 1
