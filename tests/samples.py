"""Objects to test with: each function creates one through the API, as a client would."""

from typing import Any

from fastapi.testclient import TestClient

STORE = {
    "name": "Corner Books",
    "city": "Lisbon",
    "country": "Portugal",
    "currency": "EUR",
    "street": "Rua Garrett 73",
    "zipcode": "1200-203",
}

Json = dict[str, Any]


def create(client: TestClient, path: str, body: Json) -> Json:
    response = client.post(path, json=body)
    assert response.status_code == 201, response.text
    created: Json = response.json()
    return created


def new_store(client: TestClient, **members: object) -> Json:
    return create(client, "/stores", STORE | members)


def new_product(client: TestClient, store: Json | None = None, **members: object) -> Json:
    store = store or new_store(client)
    body = {"storeId": store["storeId"], "name": "Os Lusíadas", "price": 19.99}
    return create(client, "/products", body | members)


def new_order(client: TestClient, *lines: tuple[Json, int]) -> Json:
    items = [{"productId": product["productId"], "quantity": n} for product, n in lines]
    return create(client, "/orders", {"items": items})


def new_coupon(client: TestClient, **members: object) -> Json:
    return create(client, "/coupons", {"code": "PIOTR", "initCount": 100} | members)


def new_user(client: TestClient, username: str, password: str = "correct horse") -> Json:
    return create(client, "/users", {"username": username, "password": password})


def sign_in(client: TestClient, username: str, password: str = "correct horse") -> str:
    response = client.post("/token", data={"username": username, "password": password})
    assert response.status_code == 200, response.text
    return str(response.json()["access_token"])


def without_times(value: Any) -> Any:
    """Leave out of an answer, and of what is in it, when something was created and changed."""
    if isinstance(value, list):
        return [without_times(one) for one in value]
    if not isinstance(value, dict):
        return value
    times = {"createdAt", "updatedAt"}
    return {name: without_times(one) for name, one in value.items() if name not in times}


def problem(response: Any, status: int, kind: str) -> Json:
    """Check that an answer is problem+json of this kind, and return it."""
    assert response.status_code == status, response.text
    assert response.headers["content-type"] == "application/problem+json"
    body: Json = response.json()
    assert body["status"] == status
    assert body["type"] == f"urn:orders-api:{kind}"
    assert body["requestId"] == response.headers["x-request-id"]
    assert body["detail"]
    return body
