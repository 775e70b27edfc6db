"""How `q` is answered: from the index of trigrams where few rows may be meant, else in order.

All tests share the many products of a database, so no test of another kind stands here.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from decimal import Decimal
from uuid import UUID

import pytest
from fastapi.testclient import TestClient
from sqlmodel import insert

from orders_api.models import Product
from tests.conftest import database_of, delete_all_rows
from tests.samples import Json, new_store
from tests.test_indexes import MAX_STEPS, Work
from tests.test_paging import pages

CANDIDATES = 400  # rather than MAX_CANDIDATES
FEW, MANY = 60, CANDIDATES + 1


@pytest.fixture(scope="module")
def many(running_client: TestClient) -> Iterator[TestClient]:
    """A client of a database with many products, of which few are of brass, and more of wood."""
    portal, database = running_client.portal, database_of(running_client)
    assert portal is not None
    shops = [new_store(running_client)["storeId"] for _ in range(2)]

    async def fill() -> None:
        async with database.writer.begin() as connection:
            await connection.execute(insert(Product), [product(n) for n in range(2 * MANY)])

    def product(n: int) -> Json:
        return {
            "store_id": UUID(shops[n % 2]),
            "name": f"{'Brass' if n % (2 * MANY // FEW) == 0 else 'Plain'} lamp {n:05}",
            "description": "Of wood" if n % 2 else None,
            "price": Decimal(n % 7),
        }

    portal.call(fill)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("orders_api.storage.search.MAX_CANDIDATES", CANDIDATES)
        yield running_client
    portal.call(delete_all_rows, database)


SORTS = ["", "&sort=name", "&sort=-price"]


@pytest.mark.parametrize("sort", SORTS)
def test_pages_of_what_is_found_follow_each_other(many: TestClient, sort: str) -> None:
    (shop, *_) = (store["storeId"] for store in many.get("/stores").json())
    every = [one for page in pages(many, f"/products?limit=200{sort}") for one in page]
    for filters in ("q=BRASS", "q=wood", "q=brass&minPrice=3&storeId={}"):
        found = pages(many, f"/products?limit=200&{filters.format(shop)}{sort}")
        wanted = [
            one
            for one in every
            if filters[2:].split("&")[0].lower() in f"{one['name']}\n{one['description']}".lower()
            and ("store" not in filters or (one["price"] >= 3 and one["storeId"] == shop))
        ]
        assert wanted
        assert [one for page in found for one in page] == wanted


@pytest.fixture
def sqlite(many: TestClient) -> Iterator[Work]:
    if not database_of(many).is_sqlite:
        pytest.skip("The indexes of PostgreSQL are in test_trigrams.py.")
    work, portal = Work(database_of(many)), many.portal
    assert portal is not None
    portal.call(work.watch_sqlite)
    yield work
    portal.call(work.leave_sqlite)


def plan(work: Work) -> str:
    """Return how SQLite runs the last statement."""
    url = f"{work.database.url.database}?mode=memory&cache=shared"
    with closing(sqlite3.connect(url, uri=True)) as connection:
        text = next(text for text, _ in reversed(work.sent) if not text.startswith("--"))
        rows = connection.execute(f"EXPLAIN QUERY PLAN {text}").fetchall()
    return "\n".join(row[3] for row in rows)


@pytest.mark.parametrize("sort", SORTS)
@pytest.mark.parametrize("filters", ["q=BRASS", "q=brass&minPrice=3", "q=brass&storeId={}"])
def test_few_rows_are_found_in_the_index(
    many: TestClient, sqlite: Work, filters: str, sort: str
) -> None:
    (shop, *_) = (store["storeId"] for store in many.get("/stores").json())
    path: str | None = f"/products?limit=10&{filters.format(shop)}{sort}"
    for _ in range(2):  # from the cursor on too
        sqlite.sent.clear()
        response = many.get(str(path))
        assert len(response.json()) == 10
        assert "SCAN products_trgm VIRTUAL TABLE" in plan(sqlite)
        assert "SCAN products " not in plan(sqlite) + " "
        # It may go along the products of a store, to look only whether they are found.
        assert "storeId" in filters or sqlite.amount() <= MAX_STEPS
        path = response.links["next"]["url"]


@pytest.mark.parametrize("sort", SORTS)
def test_many_rows_are_found_by_reading_in_order(many: TestClient, sqlite: Work, sort: str) -> None:
    assert len(many.get(f"/products?limit=10&q=wood{sort}").json()) == 10
    assert "SCAN products USING INDEX" in plan(sqlite)
    assert sqlite.amount() <= MAX_STEPS + CANDIDATES * 5


@pytest.mark.parametrize("value", ["b", "br", "ra\u0307ss", "\uab70\uab71\uab72"])
def test_what_has_no_trigrams_is_looked_for_in_every_row(
    many: TestClient, sqlite: Work, value: str
) -> None:
    many.get(f"/products?limit=10&q={value}")
    assert "trgm" not in plan(sqlite)


def test_store_is_found_in_the_index(many: TestClient, sqlite: Work) -> None:
    assert many.get("/stores?q=corner").json()
    assert "SCAN stores_trgm VIRTUAL TABLE" in plan(sqlite)
