import re
from typing import Any

import pytest
from fastapi.testclient import TestClient

from tests.conftest import Statements
from tests.samples import STORE, new_order, new_product, new_store, problem

LINK = re.compile(r'<(http://localhost(/[^>]+))>; rel="next"')


def pages(client: TestClient, path: str) -> list[list[dict[str, Any]]]:
    """Follow `Link` headers to the end."""
    found = []
    next_path: str | None = path
    while next_path:
        response = client.get(next_path)
        assert response.status_code == 200, response.text
        found.append(response.json())
        link = LINK.fullmatch(response.headers.get("link", ""))
        next_path = link[2] if link else None
    return found


def test_pages_follow_each_other_without_gap_or_repetition(client: TestClient) -> None:
    stores = [new_store(client, name=f"Store {n}") for n in range(7)]
    assert pages(client, "/stores?limit=3") == [stores[:3], stores[3:6], stores[6:]]
    assert pages(client, "/stores?limit=7") == [stores]


def test_next_link_carries_the_filters(client: TestClient) -> None:
    porto = [new_store(client, name=f"Café & {n}", city="Porto") for n in range(3)]
    new_store(client)
    link = client.get("/stores", params={"city": "Porto", "q": "é &", "limit": 2}).headers["link"]
    assert client.get(LINK.fullmatch(link)[1]).json() == porto[2:]  # type: ignore[index]  # matches


@pytest.mark.parametrize("sort", ["name", "-name", "price", "-price"])
def test_sorted_pages_break_ties_by_key(client: TestClient, sort: str) -> None:
    store = new_store(client)
    products = [
        new_product(client, store, name=f"{n % 3} {n}", price=f"{n // 4}.10") for n in range(10)
    ]
    found = [p for page in pages(client, f"/products?limit=3&sort={sort}") for p in page]
    column = sort.removeprefix("-")
    products.sort(key=lambda p: (p[column], p["productId"]), reverse=sort.startswith("-"))
    assert found == products


def test_sorted_orders_have_pages(client: TestClient) -> None:
    product = new_product(client)
    orders = [new_order(client, (product, n))["orderId"] for n in range(1, 6)]
    found = [o["orderId"] for page in pages(client, "/orders?limit=2&sort=-date") for o in page]
    assert found == orders[::-1]


def test_names_sort_by_code_point(client: TestClient) -> None:
    store = new_store(client)
    names = ["Zebra", "apple", "Äpfel", "zoo", "😀", "\uff21"]
    for name in names:
        new_product(client, store, name=name)
    found = [p["name"] for page in pages(client, "/products?limit=2&sort=name") for p in page]
    assert found == sorted(names)


@pytest.mark.parametrize(
    ("query", "parameter", "detail"),
    [
        ("limit=0", "limit", "must be greater than or equal to 1"),
        ("limit=201", "limit", "must be less than or equal to 200"),
        ("limit=ten", "limit", "must be a whole number"),
        ("limit=1&limit=2", "limit", "must be given once only"),
        ("limt=2", "limt", "is not known here; did you mean `limit`?"),
        ("sort=colour", "sort", "must be 'name', '-name', 'price' or '-price'"),
        ("min_price=1", "min_price", "is not known here; did you mean `minPrice`?"),
        ("storeId=7", "storeId", "must be a UUID"),
        ("minPrice=-1", "minPrice", None),
        ("minPrice=NaN", "minPrice", None),
        ("q=%00", "q", None),
        ("after=%00", "after", None),
        ("after=x", "after", None),
        ("after=eA", "after", None),
        ("after=W10", "after", None),
        ("after=WyIiXQ", "after", None),
        ("after=WyIiLG51bGxd", "after", None),
        ("sort=price&after=WyJuYW1lIiwiYSIsIjAxYTFmYWI3LWRiZGMtNzRkOC04ZTE0LWZkOGMzMGEwZGY5MSJd",
         "after", "must be the cursor of a `Link` header of this list, in the same order"),
    ],
)  # fmt: skip
def test_bad_parameter_is_refused_by_name(
    client: TestClient, query: str, parameter: str, detail: str | None
) -> None:
    [error] = problem(client.get(f"/products?{query}"), 422, "invalid")["errors"]
    assert error["parameter"] == parameter
    assert detail is None or error["detail"] == detail


def test_parameters_are_refused_where_there_are_none(client: TestClient) -> None:
    store = new_store(client)
    problem(client.get(f"/stores/{store['storeId']}?limit=1"), 422, "invalid")
    problem(client.post("/stores?x=1", json=STORE), 422, "invalid")
    assert client.get("/stores").json() == [store]


def test_strange_host_makes_a_relative_link(client: TestClient) -> None:
    new_store(client)
    new_store(client)
    link = client.get("/stores?limit=1", headers={"host": "a b<>"}).headers["link"]
    assert link.startswith("</stores?limit=1&after=")


@pytest.mark.parametrize(
    "path",
    ["/stores", "/stores/{storeId}", "/products", "/products/{productId}", "/orders",
     "/orders/{orderId}"],
)  # fmt: skip
def test_reading_takes_one_statement(client: TestClient, statements: Statements, path: str) -> None:
    product = new_product(client)
    others = [new_product(client, new_store(client, currency=c)) for c in ("USD", "CHF")]
    order = {}
    for n in range(1, 4):
        order = new_order(client, (product, n), *((other, n) for other in others))
    statements.texts.clear()
    assert client.get(path.format(**product, **order)).status_code == 200
    assert len(statements) == 1, statements.texts


@pytest.mark.parametrize("lines", [1, 30])
def test_placing_an_order_takes_few_statements(
    client: TestClient, statements: Statements, lines: int
) -> None:
    """One for each table, however many rows it has."""
    products = [new_product(client, name=f"Volume {n}") for n in range(lines)]
    statements.texts.clear()
    new_order(client, *((product, 1) for product in products))
    assert [text.split()[0] for text in statements.texts] == ["SELECT", *["INSERT"] * 3]
