from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.resources import DOCUMENT
from tests.samples import Json, create, new_coupon, new_order, new_product, new_store, problem
from tests.test_paging import pages


def ordered(product: Json) -> Json:
    """Return what an order shows of a product."""
    members = DOCUMENT["components"]["schemas"]["ProductDetail"]["properties"]
    return {name: product[name] for name in members}


def test_order_is_answered_whole_with_its_location(client: TestClient) -> None:
    book = new_product(client, price=19.99)
    pen = new_product(client, store=book["store"], name="Pen", price=1.5)
    body = {
        "items": [
            {"productId": pen["productId"], "quantity": 2},
            {"productId": book["productId"], "quantity": 1},
        ]
    }
    response = client.post("/orders", json=body)
    order = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/orders/{order['orderId']}"
    assert order == {
        "orderId": order["orderId"],
        "date": order["date"],
        "couponCode": None,
        "percentOff": 0,
        "totals": [{"currency": "EUR", "subtotal": 22.99, "discount": 0, "total": 22.99}],
        "items": [
            {
                "name": "Pen",
                "unitPrice": 1.5,
                "currency": "EUR",
                "quantity": 2,
                "lineTotal": 3,
                "product": ordered(pen),
            },
            {
                "name": "Os Lusíadas",
                "unitPrice": 19.99,
                "currency": "EUR",
                "quantity": 1,
                "lineTotal": 19.99,
                "product": ordered(book),
            },
        ],
        "currency": "EUR",
        "total": 22.99,
    }
    assert client.get(response.headers["location"]).json() == order
    del order["items"]
    assert client.get("/orders").json() == [order]


def test_date_is_now_in_utc_with_an_offset(client: TestClient) -> None:
    before = datetime.now(UTC)
    order = new_order(client, (new_product(client), 1))
    date = datetime.fromisoformat(order["date"])
    assert date.utcoffset() == timedelta(0)
    assert before <= date <= datetime.now(UTC)
    assert client.get(f"/orders/{order['orderId']}").json()["date"] == order["date"]


def test_currencies_are_never_added_up(client: TestClient) -> None:
    euro = new_product(client, price=2)
    dollar = new_product(client, new_store(client, currency="USD"), price=3)
    order = new_order(client, (dollar, 1), (euro, 5))
    assert order["totals"] == [
        {"currency": "EUR", "subtotal": 10, "discount": 0, "total": 10},
        {"currency": "USD", "subtotal": 3, "discount": 0, "total": 3},
    ]
    assert (order["currency"], order["total"]) == (None, None)


def test_same_product_twice_is_one_line(client: TestClient) -> None:
    a, b = new_product(client), new_product(client)
    order = new_order(client, (a, 1), (b, 1), (a, 4))
    assert [(line["product"], line["quantity"]) for line in order["items"]] == [
        (ordered(a), 5),
        (ordered(b), 1),
    ]


def test_later_changes_of_a_product_change_no_order(client: TestClient) -> None:
    product = new_product(client, price=10)
    order = new_order(client, (product, 2))
    changed = client.patch(
        f"/products/{product['productId']}", json={"name": "New", "price": 99}
    ).json()
    store = client.patch(f"/stores/{product['storeId']}", json={"currency": "USD"}).json()
    line = order["items"][0]
    line["product"] = ordered(changed) | {"store": store}
    assert client.get(f"/orders/{order['orderId']}").json() == order
    assert (line["name"], line["unitPrice"], line["currency"]) == ("Os Lusíadas", 10, "EUR")


@pytest.mark.parametrize("method", ["PUT", "PATCH", "DELETE"])
def test_orders_are_never_changed(client: TestClient, method: str) -> None:
    order = new_order(client, (new_product(client), 1))
    path = f"/orders/{order['orderId']}"
    response = client.request(method, path, json={"date": "2020-01-01T00:00:00Z"})
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS"
    assert client.get(path).json() == order


def test_unknown_product_is_refused_where_it_stands(client: TestClient) -> None:
    product = new_product(client)
    items = [
        {"productId": product["productId"], "quantity": 1},
        {"productId": product["storeId"], "quantity": 1},
    ]
    answer = problem(client.post("/orders", json={"items": items}), 422, "impossible")
    assert answer["errors"] == [
        {"pointer": "/items/1/productId", "detail": "is not the id of a product"}
    ]
    assert client.get("/orders").json() == []


@pytest.mark.parametrize(
    ("quantity", "detail"),
    [
        (0, "must be greater than or equal to 1"),
        (-1, "must be greater than or equal to 1"),
        (1_000_001, "must be less than or equal to 1000000"),
        (2**63, "must be less than or equal to 1000000"),
        (1.5, "must be a whole number"),
        (True, "must be a whole number"),
        (None, "must not be null"),
        (
            "5",
            "must be a whole number, not text (in HTTPie: `items[0][quantity]:=5`, with a colon)",
        ),
    ],
)
def test_quantity_out_of_bounds_is_refused(
    client: TestClient, quantity: object, detail: str
) -> None:
    items = [{"productId": new_product(client)["productId"], "quantity": quantity}]
    answer = problem(client.post("/orders", json={"items": items}), 422, "invalid")
    assert answer["errors"] == [{"pointer": "/items/0/quantity", "detail": detail}]
    assert client.get("/orders").json() == []


def test_quantity_may_be_written_with_a_zero_fraction(client: TestClient) -> None:
    """As clients do whose language has one type of number; to JSON Schema it is an integer."""
    items = [{"productId": new_product(client)["productId"], "quantity": 2.0}]
    order = client.post("/orders", json={"items": items}).json()
    assert [line["quantity"] for line in order["items"]] == [2]


def test_order_has_from_1_to_100_items(client: TestClient) -> None:
    product = new_product(client, price=1)
    problem(client.post("/orders", json={"items": []}), 422, "invalid")
    items = [{"productId": product["productId"], "quantity": 1}] * 101
    answer = problem(client.post("/orders", json={"items": items}), 422, "invalid")
    assert answer["errors"] == [
        {"pointer": "/items", "detail": "must have at most 100 items, not 101"}
    ]
    order = client.post("/orders", json={"items": items[1:]}).json()
    assert [line["quantity"] for line in order["items"]] == [100]


def test_merged_quantity_and_total_have_a_limit(client: TestClient) -> None:
    cheap = new_product(client, price=0)
    items = [{"productId": cheap["productId"], "quantity": 1_000_000}] * 2
    answer = problem(client.post("/orders", json={"items": items}), 422, "impossible")
    assert answer["errors"][0]["detail"] == "must not add up to more than 1000000 of one product"
    dear = new_product(client, price=9999999999.99)
    assert new_order(client, (dear, 1))["total"] == 9999999999.99
    items = [{"productId": dear["productId"], "quantity": 2}]
    answer = problem(client.post("/orders", json={"items": items}), 422, "impossible")
    assert answer["errors"][0]["detail"] == "must not cost more than 9999999999.99 in total"


def test_filters_select_orders(client: TestClient) -> None:
    a, b = new_product(client), new_product(client)
    first, second = new_order(client, (a, 1)), new_order(client, (a, 1), (b, 1))

    def ids(**query: Any) -> list[str]:
        response = client.get("/orders", params=query)
        assert response.status_code == 200, response.text
        return [order["orderId"] for order in response.json()]

    both = [first["orderId"], second["orderId"]]
    assert ids(productId=a["productId"]) == ids(sort="date") == both
    assert ids(productId=b["productId"]) == both[1:]
    assert ids(sort="-date") == both[::-1]
    assert ids(since=second["date"]) == both[1:]
    assert ids(until=second["date"]) == both[:1]
    assert ids(since=first["date"], until=second["date"]) == both[:1]
    elsewhere = datetime.fromisoformat(second["date"]).astimezone(
        datetime.strptime("+0530", "%z").tzinfo
    )
    assert ids(since=elsewhere.isoformat()) == both[1:]


def test_orders_of_a_product_are_filtered_and_sorted_as_all_orders_are(client: TestClient) -> None:
    product, other = new_product(client), new_product(client)
    new_coupon(client, code="PIOTR")
    orders = []
    for code in ("PIOTR", None, "PIOTR", None, "PIOTR"):
        items = [{"productId": p["productId"], "quantity": 1} for p in (other, product)]
        orders.append(create(client, "/orders", {"items": items, "couponCode": code}))
        new_order(client, (other, 1))

    def found(**query: Any) -> list[str]:
        path = f"/orders?{urlencode({'productId': product['productId'], 'limit': 2} | query)}"
        return [order["orderId"] for page in pages(client, path) for order in page]

    ids = [order["orderId"] for order in orders]
    second, fourth = orders[1]["date"], orders[3]["date"]
    assert found() == found(sort="date") == ids
    assert found(sort="-date") == ids[::-1]
    assert found(since=second, until=fourth) == ids[1:3]
    assert found(until=fourth, sort="-date") == ids[2::-1]
    assert found(couponCode="PIOTR") == ids[::2]
    assert found(couponCode="PIOTR", sort="-date") == ids[::-2]
    assert found(couponCode="PIOTR", since=second) == ids[2::2]
    assert found(couponCode="OTHER") == []


def test_plus_that_a_url_has_as_a_space_is_explained(client: TestClient) -> None:
    answer = problem(client.get("/orders?since=2026-01-31T12:00:00+01:00"), 422, "invalid")
    detail = "must be a time such as 2026-01-31T12:00:00Z (in a URL, + is written %2B)"
    assert answer["errors"] == [{"parameter": "since", "detail": detail}]


def test_time_without_an_offset_is_refused(client: TestClient) -> None:
    answer = problem(client.get("/orders?since=2026-01-01T00:00:00"), 422, "invalid")
    detail = "must have an offset, such as Z or +01:00 (in a URL %2B01:00)"
    assert answer["errors"] == [{"parameter": "since", "detail": detail}]


cents = st.integers(0, 10_000_000).map(lambda n: Decimal(n) / 100)


@given(
    lines=st.lists(
        st.tuples(cents, st.integers(1, 999), st.sampled_from(["EUR", "USD"])),
        min_size=1,
        max_size=5,
    )
)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_totals_are_the_sums_of_their_lines(
    client: TestClient, lines: list[tuple[Decimal, int, str]]
) -> None:
    products = [
        (new_product(client, new_store(client, currency=currency), price=str(price)), quantity)
        for price, quantity, currency in lines
    ]
    created = new_order(client, *products)
    order = client.get(f"/orders/{created['orderId']}").json()
    assert order == created
    sums: dict[str, Decimal] = {}
    for price, quantity, currency in lines:
        sums[currency] = sums.get(currency, Decimal(0)) + price * quantity
    totals = {total["currency"]: total for total in order["totals"]}
    assert {currency: Decimal(str(t["total"])) for currency, t in totals.items()} == sums
    for total in order["totals"]:
        assert total["subtotal"] == total["total"] + total["discount"]
    for line, (price, quantity, _) in zip(order["items"], lines, strict=True):
        assert Decimal(str(line["lineTotal"])) == price * quantity
