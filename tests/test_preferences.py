"""`Prefer` (RFC 7240): requests that are only tried, and answers without a body."""

import json
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import SQLModel

from tests.conftest import Statements, database_of
from tests.resources import OPERATIONS, Resource, each_resource
from tests.samples import (
    STORE,
    Json,
    create,
    new_coupon,
    new_order,
    new_product,
    new_store,
    new_user,
    problem,
    sign_in,
    without_times,
)

TRY = {"prefer": "tx=rollback"}
MINIMAL = {"prefer": "return=minimal"}
COUNT = {"prefer": "count=exact"}

LISTS = [
    name.removeprefix("GET ")
    for name, operation in OPERATIONS.items()
    if "after" in {parameter["name"] for parameter in operation.get("parameters", ())}
]
each_list = pytest.mark.parametrize("path", LISTS)


async def rows(client: TestClient) -> dict[str, list[Any]]:
    async with database_of(client).reader.connect() as connection:
        return {
            table.name: sorted(map(repr, await connection.execute(table.select())))
            for table in SQLModel.metadata.sorted_tables
        }


def stored(client: TestClient) -> dict[str, list[Any]]:
    """Return everything in the database."""
    assert client.portal is not None
    return client.portal.call(rows, client)


def without_made(resource: Resource, response: Any) -> Json:
    """Leave out of an answer what the server makes anew each time."""
    made = {resource.key, "date"}
    return {n: v for n, v in without_times(response.json()).items() if n not in made}


# --- tx=rollback ---------------------------------------------------------------------------


@each_resource()
def test_prefer_rollback_answers_201_and_keeps_nothing(
    client: TestClient, resource: Resource
) -> None:
    body = resource.body(client)
    before = stored(client)
    tried = client.post(resource.collection, json=body, headers=TRY)
    assert stored(client) == before
    problem(client.get(tried.headers["location"]), 404, "not-found")
    assert tried.headers["preference-applied"] == "tx=rollback"
    done = client.post(resource.collection, json=body)
    assert "preference-applied" not in done.headers
    assert tried.status_code == done.status_code == 201
    assert without_made(resource, tried) == without_made(resource, done)
    assert tried.headers["location"] == resource.path(tried.json())
    assert "etag" in tried.headers


@each_resource("PATCH")
def test_prefer_rollback_answers_a_change_with_200_and_keeps_nothing(
    client: TestClient, resource: Resource
) -> None:
    path = resource.path(resource.new(client))
    before, change = stored(client), resource.change()
    tried = client.patch(path, json=change, headers=TRY)
    assert stored(client) == before
    assert tried.headers["preference-applied"] == "tx=rollback"
    done = client.patch(path, json=change)
    assert tried.status_code == done.status_code == 200
    assert without_times(tried.json()) == without_times(done.json())
    assert "etag" in tried.headers


@each_resource("DELETE")
def test_prefer_rollback_answers_a_deletion_with_204_and_keeps_nothing(
    client: TestClient, resource: Resource
) -> None:
    path = resource.path(resource.new(client))
    before = stored(client)
    response = client.delete(path, headers=TRY)
    assert (response.status_code, response.content) == (204, b"")
    assert response.headers["preference-applied"] == "tx=rollback"
    assert stored(client) == before


def test_prefer_rollback_prices_an_order_and_uses_no_redemption(client: TestClient) -> None:
    product = new_product(client, price=10)
    new_coupon(client, initCount=1, percentOff=25)
    items = [{"productId": product["productId"], "quantity": 2}]
    order = {"items": items, "couponCode": "PIOTR"}
    for headers in (TRY, TRY, {}):
        response = client.post("/orders", json=order, headers=headers)
        assert (response.status_code, response.json()["total"]) == (201, 15)
    for headers in (TRY, {}):
        problem(client.post("/orders", json=order, headers=headers), 409, "used-up")
    assert len(client.get("/orders").json()) == 1


def test_prefer_rollback_answers_what_the_database_refuses(client: TestClient) -> None:
    product = new_product(client)
    store = {"storeId": product["storeId"]}
    other = new_product(client, store, name="Other")
    path = f"/products/{other['productId']}"
    same = {"name": product["name"]}
    problem(client.post("/products", json=store | same | {"price": 1}, headers=TRY), 409,
            "already-exists")  # fmt: skip
    answer = client.patch(path, json=same, headers=TRY)
    problem(answer, 409, "already-exists")
    assert "preference-applied" not in answer.headers
    problem(client.delete(f"/stores/{product['storeId']}", headers=TRY), 409, "in-use")
    problem(client.patch(path, json={}, headers=TRY | {"if-match": '"x"'}), 412,
            "precondition-failed")  # fmt: skip


def test_prefer_rollback_imports_nothing(client: TestClient) -> None:
    store = new_store(client)
    headers = {"content-type": "application/jsonl"}
    lines = [{"storeId": store["storeId"], "name": str(n), "price": 1} for n in range(250)]
    content = "\n".join(map(json.dumps, lines))
    before = stored(client)
    tried = client.post("/products/import", content=content, headers=headers | TRY)
    assert tried.json() == {"imported": 250, "skipped": 0, "errors": []}
    assert tried.headers["preference-applied"] == "tx=rollback"
    bad = client.post("/products/import", content=f"{content}\n{{", headers=headers | TRY)
    assert problem(bad, 400, "malformed")["errors"][0]["line"] == 251
    assert stored(client) == before
    done = client.post("/products/import", content=content, headers=headers)
    assert done.json() == tried.json()
    assert len(stored(client)["products"]) == 250


def test_prefer_rollback_applies_to_signing_out_but_not_to_signing_in(client: TestClient) -> None:
    """What counts failed attempts must count them all."""
    new_user(client, "ada")
    headers = {"authorization": f"Bearer {sign_in(client, 'ada')}", "host": "api.example"}
    assert client.delete("/token", headers=headers | TRY).status_code == 204
    assert client.get("/todos", headers=headers).status_code == 200
    before = stored(client)
    form = {"username": "ada", "password": "wrong password"}
    problem(client.post("/token", data=form, headers=TRY), 401, "unauthorized")
    assert stored(client)["sign_in_failures"] != before["sign_in_failures"]
    form["password"] = "correct horse"
    response = client.post("/token", data=form, headers={"prefer": "tx=rollback, return=minimal"})
    assert "preference-applied" not in response.headers
    headers["authorization"] = f"Bearer {response.json()['access_token']}"
    assert client.get("/todos", headers=headers).status_code == 200


def test_prefer_rollback_keeps_no_idempotency_key(client: TestClient) -> None:
    key = {"idempotency-key": "a"}
    before = stored(client)
    for _ in range(2):
        tried = client.post("/stores", json=STORE, headers=key | TRY)
        assert tried.status_code == 201
        assert "idempotent-replayed" not in tried.headers
    assert stored(client) == before
    # It is free for any other request.
    done = client.post("/stores", json=STORE | {"city": "Porto"}, headers=key)
    assert done.status_code == 201
    assert "idempotent-replayed" not in done.headers
    again = client.post("/stores", json=STORE | {"city": "Porto"}, headers=key | TRY)
    assert (again.content, again.headers["idempotent-replayed"]) == (done.content, "true")
    assert again.headers["preference-applied"] == "tx=rollback"


# --- return=minimal ------------------------------------------------------------------------


@each_resource()
def test_prefer_minimal_answers_201_without_a_body(client: TestClient, resource: Resource) -> None:
    response = client.post(resource.collection, json=resource.body(client), headers=MINIMAL)
    assert (response.status_code, response.content) == (201, b"")
    assert response.headers["preference-applied"] == "return=minimal"
    assert response.headers["content-length"] == "0"
    assert "content-type" not in response.headers
    found = client.get(response.headers["location"])
    assert found.status_code == 200
    assert response.headers["etag"] == found.headers["etag"]


@each_resource("PATCH")
def test_prefer_minimal_answers_a_change_with_204(client: TestClient, resource: Resource) -> None:
    path = resource.path(resource.new(client))
    before = client.get(path)
    for method in resource.methods & {"PATCH", "PUT"}:
        response = client.request(method, path, json=resource.change(), headers=MINIMAL)
        assert (response.status_code, response.content) == (204, b"")
        assert response.headers["preference-applied"] == "return=minimal"
        assert "content-type" not in response.headers
        assert response.headers["etag"] == client.get(path).headers["etag"]
    assert client.get(path).headers["etag"] != before.headers["etag"]


def test_prefer_minimal_applies_to_a_replayed_answer(client: TestClient) -> None:
    key = {"idempotency-key": "a"}
    first = client.post("/stores", json=STORE, headers=key | MINIMAL)
    whole = client.post("/stores", json=STORE, headers=key)
    minimal = client.post("/stores", json=STORE, headers=key | MINIMAL)
    assert (first.content, minimal.content) == (b"", b"")
    assert [whole.json()] == client.get("/stores").json()
    for again in (whole, minimal):
        assert again.status_code == 201
        assert again.headers["idempotent-replayed"] == "true"
        for name in ("location", "etag"):
            assert again.headers[name] == first.headers[name]


def test_prefer_minimal_leaves_an_error_as_it_is(client: TestClient) -> None:
    problem(client.post("/stores", json={}, headers=MINIMAL), 422, "invalid")


# --- count=exact ---------------------------------------------------------------------------


@each_list
def test_prefer_count_answers_how_many_there_are_beside_the_page(
    client: TestClient, path: str
) -> None:
    path = path.format(storeId=new_store(client)["storeId"])
    answer = client.get(path, headers=COUNT)
    assert answer.headers["x-total-count"] == str(len(answer.json()))
    assert answer.headers["preference-applied"] == "count=exact"


def test_prefer_count_counts_all_pages_and_what_filters_leave(client: TestClient) -> None:
    store, other = new_store(client), new_store(client, city="Porto")
    products = [new_product(client, store, name=f"Atlas {n}", price=n) for n in range(5)]
    new_product(client, other, name="Chart", description="no atlas")
    for product in products[:3]:
        new_order(client, (product, 1), (products[0], 1))
    counts = {
        "/products": 6,
        "/products?limit=2": 6,
        "/products?q=ATLAS": 6,
        "/products?q=tlas 3": 1,
        "/products?q=%25": 0,
        "/products?minPrice=1&maxPrice=3&sort=-price&limit=1": 3,
        f"/products?storeId={store['storeId']}&q=atlas": 5,
        f"/stores/{store['storeId']}/products?limit=1": 5,
        "/stores?city=Porto": 1,
        "/stores?q=corner": 2,
        "/orders?limit=1": 3,
        f"/orders?productId={products[0]['productId']}&limit=1": 3,
        f"/orders?productId={products[1]['productId']}": 1,
        f"/orders?productId={products[3]['productId']}": 0,
    }
    for path, count in counts.items():
        for method in ("GET", "HEAD"):
            answer = client.request(method, path, headers=COUNT)
            assert answer.headers["x-total-count"] == str(count), path
    first = client.get("/products?q=atlas&limit=4", headers=COUNT)
    second = client.get(first.links["next"]["url"], headers=COUNT)
    assert len(second.json()) == 2
    assert first.headers["x-total-count"] == second.headers["x-total-count"] == "6"


def test_nothing_is_counted_unless_asked(client: TestClient, statements: Statements) -> None:
    for headers in ({}, {"prefer": "count=none"}, {"prefer": "count=estimated"}, TRY):
        answer = client.get("/stores", headers=headers)
        assert {"x-total-count", "preference-applied"} & answer.headers.keys() == set()
    assert (len(statements), "count(" in str(statements.texts)) == (4, False)
    client.get("/stores", headers=COUNT)
    assert (len(statements), "count(" in str(statements.texts)) == (6, True)
    wrong = client.get("/stores?after=x", headers=COUNT)
    problem(wrong, 422, "invalid")
    assert len(statements) == 6
    assert "preference-applied" not in wrong.headers


def test_count_is_that_of_the_lists_own_conditions_when_objects_come_and_go(
    client: TestClient,
) -> None:
    for count in (1, 2, 3):
        todo = create(client, "/todos", {"task": "a", "complete": count == 2})
        assert client.get("/todos", headers=COUNT).headers["x-total-count"] == str(count)
    client.delete(f"/todos/{todo['todoId']}")
    counted = {
        query: client.get(f"/todos{query}", headers=COUNT).headers["x-total-count"]
        for query in ("", "?complete=true", "?complete=false")
    }
    assert counted == {"": "2", "?complete=true": "1", "?complete=false": "1"}


# --- The header ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "applied"),
    [
        ("tx=rollback, return=minimal", "tx=rollback, return=minimal"),
        ("return=minimal,tx=rollback", "tx=rollback, return=minimal"),
        ('respond-async, wait=10 , TX = "rollback" ; a="b,c"', "tx=rollback"),
        ("tx=rollback, tx=commit", "tx=rollback"),
        ("return=minimal, return=representation", "return=minimal"),
        ("tx=commit, tx=rollback", None),
        ("return=representation", None),
        ("tx, return", None),
        ("tx=rollbacks", None),
        ("tx=Rollback", None),
        ("rollback", None),
        ('a="tx=rollback, return=minimal"', None),
        ('a="b\\", tx=rollback', None),
        (",,=;", None),
        ('"', None),
        ("", None),
    ],
)
def test_known_preferences_are_applied_and_others_ignored(
    client: TestClient, header: str, applied: str | None
) -> None:
    response = client.post("/stores", json=STORE, headers={"prefer": header})
    assert response.status_code == 201
    assert response.headers.get("preference-applied") == applied
    is_kept, is_whole = "rollback" not in str(applied), "minimal" not in str(applied)
    assert bool(client.get("/stores").json()) == is_kept
    assert bool(response.content) == is_whole


def test_preferences_in_several_header_lines_count_as_one_list(client: TestClient) -> None:
    lines = [("prefer", "tx=rollback"), ("prefer", "return=minimal")]
    response = client.post("/stores", json=STORE, headers=lines)
    assert response.headers["preference-applied"] == "tx=rollback, return=minimal"
    assert (response.content, client.get("/stores").json()) == (b"", [])


def test_prefer_is_ignored_by_reads(client: TestClient) -> None:
    response = client.get(f"/stores/{new_store(client)['storeId']}", headers=TRY | MINIMAL)
    assert response.status_code == 200
    assert "preference-applied" not in response.headers


def test_preferences_are_documented_where_they_are_applied() -> None:
    documented = {
        name: "".join(
            parameter["description"]
            for parameter in operation.get("parameters", ())
            if parameter["name"] == "Prefer"
        )
        for name, operation in OPERATIONS.items()
    }
    writes = {name for name in documented if not name.startswith("GET")} - {"POST /token"}
    counted = {f"GET {path}" for path in LISTS}
    assert {name for name, text in documented.items() if "`count=exact`" in text} == counted
    assert {name for name, text in documented.items() if "`tx=rollback`" in text} == writes
    without_body = {"POST /products/import"} | {n for n in writes if n.startswith("DELETE")}
    assert {n for n, text in documented.items() if "`return=minimal`" in text} == (
        writes - without_body
    )
    for name, operation in OPERATIONS.items():
        for status, response in operation["responses"].items():
            applied = name in writes | counted and status < "300"
            assert ("Preference-Applied" in response["headers"]) == applied
            assert ("X-Total-Count" in response["headers"]) == (applied and name in counted)
        if name.startswith(("PATCH", "PUT")):
            assert "ETag" in operation["responses"]["204"]["headers"]
