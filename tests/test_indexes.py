"""Every list finds its rows in an index, so that a page costs the same however many there are.

The work is counted, not timed: on PostgreSQL in rows that a statement looks at, on SQLite in
steps of its virtual machine.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import cached_property
from typing import Any, get_args
from uuid import UUID

import psycopg
import pytest
from fastapi.testclient import TestClient
from pydantic.alias_generators import to_camel
from sqlmodel import SQLModel, insert

from orders_api.models import Coupon, Order, OrderItem, OrderTotal, Product, Store, Todo, User
from orders_api.routes import coupons, orders, products, stores, todos, users
from orders_api.storage.engines import Database
from orders_api.storage.postgresql import PostgresConnection
from orders_api.web import Page
from tests.conftest import Postgres, database_of, delete_all_rows, needs_shortcuts
from tests.samples import STORE
from tests.test_paging import LINK

ROWS = 3_000
LATE = 2_400  # from this row on they are different; no index on the key alone can know
RARE = ROWS - 40  # a price that few reach, although more than a page shows
LIMIT = 10
MAX_ROWS = 10 * LIMIT
MAX_STEPS = 10_000  # a scan of a whole table takes more than twice as many

LATE_STORE, LATE_PRODUCT = (UUID(int=n) for n in (1, 2))

LISTS = [
    "/stores",
    "/stores?country=Late",
    "/stores?city=Late",
    "/stores?currency=LAT",
    "/stores?country=Late&city=Late",
    "/products",
    "/products?sort=name",
    "/products?sort=-name",
    "/products?sort=price",
    "/products?sort=-price",
    f"/products?storeId={LATE_STORE}",
    f"/products?storeId={LATE_STORE}&sort=name",
    f"/products?storeId={LATE_STORE}&sort=-name",
    f"/products?storeId={LATE_STORE}&sort=price",
    f"/products?storeId={LATE_STORE}&sort=-price",
    f"/products?storeId={LATE_STORE}&sort=price&minPrice=2500&maxPrice=2900",
    f"/products?minPrice={RARE}",
    "/products?maxPrice=20",
    "/products?minPrice=2000&sort=price",
    "/products?maxPrice=1000&sort=-price",
    "/orders",
    "/orders?sort=date",
    "/orders?sort=-date",
    *(
        f"/{name}?updatedSince={time}"
        for name in ("stores", "products", "coupons", "users", "todos")
        for time in ("2026-01-01T00:00:00Z", "2026-01-02T16:00:00Z")
    ),
    "/products?updatedSince=2026-01-02T16:00:00Z&minPrice=2000",
    "/orders?since=2026-01-02T16:00:00Z",
    "/orders?since=2026-01-02T16:00:00Z&until=2026-01-03T01:00:00Z",
    "/orders?until=2026-01-02T00:00:00Z&sort=-date",
    f"/orders?productId={LATE_PRODUCT}",
    f"/orders?productId={LATE_PRODUCT}&sort=-date",
    f"/orders?productId={LATE_PRODUCT}&since=2026-01-03T00:20:00Z",
    f"/orders?productId={LATE_PRODUCT}&until=2026-01-02T16:50:00Z&sort=-date",
    f"/orders?productId={LATE_PRODUCT}&couponCode=EARLY",
    f"/orders?productId={LATE_PRODUCT}&couponCode=LATE&sort=-date",
    f"/orders?productId={LATE_PRODUCT}&couponCode=LATE&since=2026-01-03T00:20:00Z",
    "/orders?couponCode=LATE",
    "/orders?couponCode=LATE&sort=-date",
    "/orders?couponCode=LATE&since=2026-01-02T16:30:00Z",
    "/orders?couponCode=LATE&until=2026-01-02T16:50:00Z&sort=-date",
    "/coupons",
    "/coupons?code=2400",
    "/users",
    "/todos",
    "/todos?complete=true",
]


def rows() -> dict[type[SQLModel], list[dict[str, Any]]]:
    """Make as many rows of each kind, the last fifth of another sort than those before."""
    keys = [UUID(int=n + 10) for n in range(ROWS)]
    shops = [LATE_STORE, *keys[1:]]
    goods = [LATE_PRODUCT, *keys[1:]]
    late = [n >= LATE for n in range(ROWS)]
    # Of the orders of the late product a few have the early coupon.
    codes = ["LATE" if LATE <= n < ROWS - 5 else "EARLY" for n in range(ROWS)]
    place = [
        {"country": "Late", "city": "Late", "currency": "LAT"}
        if is_late
        else {"country": "Early", "city": "Early", "currency": "EAR"}
        for is_late in late
    ]
    money = {"currency": "EUR", "name": "Atlas", "unit_price": Decimal(1), "quantity": 1}
    total = {"currency": "EUR", "subtotal": Decimal(1), "discount": Decimal(0), "total": Decimal(1)}
    start = datetime(2026, 1, 1, tzinfo=UTC)
    minute = timedelta(minutes=1)
    times = [{"updated_at": start + n * minute} for n in range(ROWS)]
    return {
        Store: [STORE | place[n] | times[n] | {"store_id": shops[n]} for n in range(ROWS)],
        Product: [
            times[n]
            | {
                "product_id": goods[n],
                "store_id": LATE_STORE if late[n] else shops[n],
                "name": f"Product {n:04}",
                "price": Decimal(n),
            }
            for n in range(ROWS)
        ],
        Coupon: [
            times[n] | {"coupon_id": keys[n], "code": str(n), "init_count": 1, "remaining_count": 0}
            for n in range(ROWS)
        ],
        Order: [
            {
                "order_id": keys[n],
                "date": start + n * minute,
                "coupon_code": codes[n],
            }
            for n in range(ROWS)
        ],
        OrderItem: [
            money
            | {
                "order_id": keys[n],
                "product_id": LATE_PRODUCT if late[n] else goods[n],
                "line": 1,
                "date": start + n * minute,
                "coupon_code": codes[n],
            }
            for n in range(ROWS)
        ],
        OrderTotal: [total | {"order_id": key} for key in keys],
        User: [
            times[n]
            | {"user_id": keys[n], "username": f"user{n}", "login": f"user{n}", "password_hash": ""}
            for n in range(ROWS)
        ],
        Todo: [times[n] | {"task": "Wait", "complete": late[n]} for n in range(ROWS)],
    }


class Work:
    """The statements that were sent to a database, and how much there is to do for them."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.sent: list[tuple[str, Any]] = []

    async def fill(self) -> None:
        async with self.database.writer.begin() as connection:
            for table, values in rows().items():
                await connection.execute(insert(table), values)
        if not self.database.is_sqlite:  # where nobody does it in service
            async with self.database.reader.connect() as connection:
                await connection.exec_driver_sql("ANALYZE")

    async def watch_sqlite(self) -> None:
        await (await self.driver()).set_trace_callback(lambda text: self.record(text, ()))

    async def leave_sqlite(self) -> None:
        await (await self.driver()).set_trace_callback(None)

    async def driver(self) -> Any:
        """Return the one connection to SQLite in memory."""
        async with self.database.reader.connect() as connection:
            return (await connection.get_raw_connection()).driver_connection

    def watch_postgresql(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Watch the driver, through which every statement goes."""
        fetch = PostgresConnection.fetch_last

        async def watched(connection: PostgresConnection, statements: Any, *options: Any) -> Any:
            for text, rows in statements:
                for values in rows:
                    self.record(text.decode(), values)
            return await fetch(connection, statements, *options)

        monkeypatch.setattr(PostgresConnection, "fetch_last", watched)

    def record(self, text: str, values: Any) -> None:
        if "SELECT" in text:
            self.sent.append((text, values))

    def amount(self) -> int:
        """Do it again, and count."""
        if self.database.is_sqlite:
            url = self.database.url
            memory = f"{url.database}?mode=memory&cache=shared"
            with closing(sqlite3.connect(memory, uri=True)) as connection:
                return sum(_steps(connection, text) for text, _ in self.sent)
        explain = "EXPLAIN (ANALYZE, FORMAT JSON) "
        return sum(
            _rows(row[0]["Plan"])
            for text, values in self.sent
            for (row,) in self.postgresql.execute((explain + text).encode(), values)
        )

    @cached_property
    def postgresql(self) -> psycopg.Connection[Any]:
        connection = psycopg.connect(
            Postgres.url or "", autocommit=True, cursor_factory=psycopg.RawCursor
        )
        # To read all of a table as small as these is cheap otherwise.
        connection.execute("SET random_page_cost = 1.1")
        return connection


def _steps(connection: sqlite3.Connection, text: str) -> int:
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 10

    connection.set_progress_handler(count, 10)
    connection.execute(text).fetchall()
    connection.set_progress_handler(None, 0)
    return steps


def _rows(node: dict[str, Any]) -> int:
    """Add up the rows of tables that a plan looked at, whether it needed them or not."""
    seen = 0.0
    if "Relation Name" in node:
        dropped = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
        seen = node["Actual Rows"] + sum(node.get(name, 0) for name in dropped)
    below = sum(_rows(child) for child in node.get("Plans", []))
    return round(seen * float(node["Actual Loops"])) + below


@pytest.fixture(scope="module")
def filled(running_client: TestClient) -> Iterator[Work]:
    """A database in which there is much."""
    assert running_client.portal is not None
    work = Work(database_of(running_client))
    running_client.portal.call(work.fill)
    yield work
    if not work.database.is_sqlite:
        work.postgresql.close()
    running_client.portal.call(delete_all_rows, work.database)


@pytest.fixture
def work(
    running_client: TestClient, filled: Work, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Work]:
    portal = running_client.portal
    assert portal is not None
    if filled.database.is_sqlite:
        portal.call(filled.watch_sqlite)
        yield filled
        portal.call(filled.leave_sqlite)
    else:
        filled.watch_postgresql(monkeypatch)
        yield filled


@needs_shortcuts  # the work is counted where they send statements
@pytest.mark.parametrize("path", LISTS)
def test_page_takes_little_work_however_deep_it_is(
    running_client: TestClient, work: Work, path: str
) -> None:
    if work.database.is_sqlite and path == f"/products?minPrice={RARE}":
        pytest.skip("SQLite does not know how many products have a price.")
    most = MAX_STEPS if work.database.is_sqlite else MAX_ROWS
    mark = "&" if "?" in path else "?"
    for start in (path, deep(running_client, f"{path}{mark}limit=200")):
        if start is None:
            continue
        mark = "&" if "?" in start else "?"
        work.sent.clear()
        response = running_client.get(f"{start}{mark}limit={LIMIT}")
        assert response.json(), "there is nothing to find"
        sent = list(work.sent)
        assert sent
        assert work.amount() <= most, "\n".join(text for text, _ in sent)


def deep(client: TestClient, path: str) -> str | None:
    """Return the path to what comes after 400 rows, if there is so much; the limit is left out."""
    for _ in range(2):
        link = LINK.fullmatch(client.get(path).headers.get("link", ""))
        if link is None:
            return None
        path = link[2]
    return path.replace("limit=200&", "").replace("&limit=200", "")


def test_every_filter_and_every_sort_is_tried() -> None:
    # `q` looks into texts, which takes an index of another kind: test_search_plans.py and
    # test_trigrams.py.
    general = {*Page.model_fields, "q"}
    pages: list[type[Page]] = [
        stores.StorePage,
        products.ProductPage,
        orders.OrderPage,
        coupons.CouponPage,
        todos.TodoPage,
        users.UserPage,
    ]
    for page in pages:
        for name, field in page.model_fields.items():
            values = get_args(get_args(field.annotation)[0]) if name == "sort" else [""]
            for value in values if name not in general else ():
                assert any(f"{to_camel(name)}={value}" in path for path in LISTS), (page, name)
