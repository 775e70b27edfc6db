import asyncio
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path
from shutil import copyfile
from typing import Any

import httpx2
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings, strategies as st

from tests.live import local_server, running_server
from tests.samples import (
    STORE,
    Json,
    create,
    new_coupon,
    new_order,
    new_product,
    new_store,
    problem,
    without_times,
)


def order(client: TestClient, product: Json, code: str | None, quantity: int = 1) -> Any:
    items = [{"productId": product["productId"], "quantity": quantity}]
    return client.post("/orders", json={"items": items, "couponCode": code})


def remaining(client: TestClient, coupon: Json) -> int:
    count: int = client.get(f"/coupons/{coupon['couponId']}").json()["remainingCount"]
    return count


def test_created_coupon_is_answered_whole_with_its_location(client: TestClient) -> None:
    response = client.post("/coupons", json={"code": "PIOTR", "initCount": 3})
    coupon = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/coupons/{coupon['couponId']}"
    assert without_times(coupon) == {
        "code": "PIOTR",
        "initCount": 3,
        "percentOff": 0,
        "couponId": coupon["couponId"],
        "remainingCount": 3,
    }
    assert client.get(response.headers["location"]).json() == coupon
    assert client.get("/coupons?code=PIOTR").json() == client.get("/coupons").json() == [coupon]
    assert client.get("/coupons?code=piotr").json() == []


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"code": ""}, "/code"),
        ({"code": "x" * 65}, "/code"),
        ({"code": None}, "/code"),
        ({"initCount": -1}, "/initCount"),
        ({"initCount": 2**31}, "/initCount"),
        ({"initCount": "5"}, "/initCount"),
        ({"initCount": True}, "/initCount"),
        ({"percentOff": 101}, "/percentOff"),
        ({"percentOff": -1}, "/percentOff"),
        ({"percentOff": None}, "/percentOff"),
        ({"percentOff": 12.5}, "/percentOff"),
        ({"remainingCount": 7}, "/remainingCount"),
    ],
)
def test_invalid_coupon_is_refused(client: TestClient, members: Json, pointer: str) -> None:
    coupon = new_coupon(client)
    body = {"code": "NEW", "initCount": 1} | members
    answer = problem(client.post("/coupons", json=body), 422, "invalid")
    assert [error["pointer"] for error in answer["errors"]] == [pointer]
    path = f"/coupons/{coupon['couponId']}"
    problem(client.patch(path, json=members), 422, "invalid")
    assert client.get("/coupons").json() == [coupon]


def test_code_is_unique(client: TestClient) -> None:
    new_coupon(client, code="A")
    other = new_coupon(client, code="B")
    body = {"code": "A", "initCount": 1}
    answer = problem(client.post("/coupons", json=body), 409, "already-exists")
    assert answer["detail"] == "Another one with the same code exists already."
    response = client.patch(f"/coupons/{other['couponId']}", json={"code": "A"})
    problem(response, 409, "already-exists")


def test_order_uses_one_redemption_and_keeps_the_discount(client: TestClient) -> None:
    coupon = new_coupon(client, initCount=2, percentOff=15)
    product = new_product(client, price="19.99")
    placed = order(client, product, "PIOTR", 3).json()
    assert (placed["couponCode"], placed["percentOff"]) == ("PIOTR", 15)
    assert placed["totals"] == [
        {"currency": "EUR", "subtotal": 59.97, "discount": 9, "total": 50.97}
    ]
    assert (placed["currency"], placed["total"]) == ("EUR", 50.97)
    assert remaining(client, coupon) == 1
    path = f"/coupons/{coupon['couponId']}"
    client.patch(path, json={"percentOff": 50, "code": "NEW"})
    assert client.get(f"/orders/{placed['orderId']}").json() == placed
    plain = new_order(client, (product, 1))
    assert (plain["couponCode"], plain["percentOff"]) == (None, 0)
    [listed] = client.get("/orders?couponCode=PIOTR").json()
    assert listed["orderId"] == placed["orderId"]
    problem(client.delete(path), 409, "in-use")


def test_used_up_coupon_is_409_and_unknown_code_is_422(client: TestClient) -> None:
    coupon = new_coupon(client, initCount=1)
    product = new_product(client)
    assert order(client, product, "PIOTR").status_code == 201
    problem(order(client, product, "PIOTR"), 409, "used-up")
    answer = problem(order(client, product, "piotr"), 422, "impossible")
    assert answer["errors"] == [{"pointer": "/couponCode", "detail": "is not the code of a coupon"}]
    assert remaining(client, coupon) == 0
    assert len(client.get("/orders").json()) == 1


def test_refused_order_uses_no_redemption(client: TestClient) -> None:
    coupon = new_coupon(client)
    product = new_product(client, price="9999999999.99")
    problem(order(client, product, "PIOTR", 2), 422, "impossible")
    problem(order(client, {"productId": product["storeId"]}, "PIOTR"), 422, "impossible")
    assert remaining(client, coupon) == coupon["initCount"]


def test_init_count_moves_remaining_count_with_it(client: TestClient) -> None:
    coupon = new_coupon(client, initCount=3)
    product = new_product(client)
    for _ in range(2):
        order(client, product, "PIOTR")
    path = f"/coupons/{coupon['couponId']}"
    for init_count, left in ((10, 8), (2, 0), (3, 1)):
        changed = client.patch(path, json={"initCount": init_count}).json()
        assert (changed["initCount"], changed["remainingCount"]) == (init_count, left)
    answer = problem(client.patch(path, json={"initCount": 1}), 422, "impossible")
    assert answer["errors"] == [
        {"pointer": "/initCount", "detail": "must not be less than 2, the redemptions already used"}
    ]
    problem(client.patch(path, json={"initCount": None}), 422, "invalid")
    assert remaining(client, coupon) == 1


def test_unused_coupon_is_deleted(client: TestClient) -> None:
    path = f"/coupons/{new_coupon(client)['couponId']}"
    assert client.delete(path).status_code == 204
    problem(client.get(path), 404, "not-found")


cents = st.integers(0, 10_000_000).map(lambda n: Decimal(n) / 100)


@given(
    prices=st.lists(st.tuples(cents, st.sampled_from(["EUR", "USD"])), min_size=1, max_size=4),
    percent=st.integers(0, 100),
)
@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_subtotal_less_discount_is_always_the_total(
    client: TestClient, prices: list[tuple[Decimal, str]], percent: int
) -> None:
    coupon = create(
        client,
        "/coupons",
        {"code": new_store(client)["storeId"], "initCount": 1, "percentOff": percent},
    )
    items = [
        new_product(client, new_store(client, currency=currency), price=str(price))
        for price, currency in prices
    ]
    body = {
        "items": [{"productId": item["productId"], "quantity": 1} for item in items],
        "couponCode": coupon["code"],
    }
    placed = create(client, "/orders", body)
    assert client.get(f"/orders/{placed['orderId']}").json() == placed
    for total in placed["totals"]:
        amounts = {name: Decimal(str(total[name])) for name in ("subtotal", "discount", "total")}
        parts = [price for price, currency in prices if currency == total["currency"]]
        exact = sum(parts, Decimal(0))
        assert amounts["subtotal"] == exact
        discount = (exact * percent / 100).quantize(Decimal("0.01"), ROUND_HALF_UP)
        assert amounts["discount"] == discount
        assert amounts["subtotal"] - amounts["discount"] == amounts["total"]


def test_orders_at_once_share_the_redemptions(
    environment: dict[str, str], tmp_path: Path, migrated_file: Path
) -> None:
    copyfile(migrated_file, tmp_path / "orders.db")
    with local_server(tmp_path, **environment, DATABASE_TIMEOUT="60") as address:
        check_race(address, 40, 10)


@pytest.mark.slow
def test_300_orders_at_once_share_100_redemptions(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """With as many processes as the database lets share it."""
    environment |= {"DATABASE_TIMEOUT": "60"}
    with running_server(tmp_path, "--workers", "2", **environment) as address:
        check_race(address, 300, 100)


@pytest.mark.slow
def test_300_orders_at_once_share_100_redemptions_under_serializable(
    environment: dict[str, str], tmp_path: Path
) -> None:
    if not environment:
        pytest.skip("SQLite has one writer at a time, so its transactions are always serializable.")
    options = "-c default_transaction_isolation=serializable"
    environment |= {"DATABASE_TIMEOUT": "60", "PGOPTIONS": options}
    with running_server(tmp_path, "--workers", "2", **environment) as address:
        check_race(address, 300, 100)


def check_race(address: str, count: int, redemptions: int) -> None:
    statuses, coupon, orders = asyncio.run(race(address, count, redemptions))
    assert statuses == {201: redemptions, 409: count - redemptions}
    assert coupon["remainingCount"] == 0
    assert len(orders) == redemptions


async def race(address: str, count: int, redemptions: int) -> tuple[Counter[int], Json, list[Json]]:
    """Place so many orders at once, with a coupon for fewer."""
    async with httpx2.AsyncClient(base_url=address, timeout=120) as client:
        store = (await client.post("/stores", json=STORE)).json()
        body = {"storeId": store["storeId"], "name": "A", "price": 1}
        product = (await client.post("/products", json=body)).json()
        body = {"code": "PIOTR", "initCount": redemptions, "percentOff": 10}
        coupon = (await client.post("/coupons", json=body)).json()
        body = {
            "items": [{"productId": product["productId"], "quantity": 1}],
            "couponCode": "PIOTR",
        }
        answers = await asyncio.gather(*(client.post("/orders", json=body) for _ in range(count)))
        coupon = (await client.get(f"/coupons/{coupon['couponId']}")).json()
        orders = (await client.get("/orders?limit=200")).json()
    return Counter(answer.status_code for answer in answers), coupon, orders
