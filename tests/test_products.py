import pytest
from fastapi.testclient import TestClient

from tests.samples import (
    new_order,
    new_product,
    new_store,
    problem,
    without_times,
)


def test_product_comes_with_its_store(client: TestClient) -> None:
    store = new_store(client)
    body = {"storeId": store["storeId"], "name": "Os Lusíadas", "price": 19.99}
    response = client.post("/products", json=body)
    product = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/products/{product['productId']}"
    expected = body | {"description": None, "store": store}
    assert product == product | expected
    assert client.get(response.headers["location"]).json() == product
    assert client.get("/products").json() == [product]


def test_body_may_be_in_snake_case(client: TestClient) -> None:
    store = new_store(client)
    body = {"store_id": store["storeId"], "name": "A", "price": "0.10"}
    response = client.post("/products", json=body)
    assert response.status_code == 201
    assert response.json()["storeId"] == store["storeId"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        (b"19.99", 19.99),
        (b'"19.99"', 19.99),
        (b'"7"', 7),
        (b"0", 0),
        (b"0.1", 0.1),
        (b"1e2", 100),
        (b"9999999999.99", 9999999999.99),
        (b'"9999999999.99"', 9999999999.99),
    ],
)
def test_price_is_kept_to_the_cent(client: TestClient, sent: bytes, kept: float) -> None:
    store_id = new_store(client)["storeId"].encode()
    response = client.post(
        "/products",
        content=b'{"storeId":"%s","name":"A","price":%s}' % (store_id, sent),
        headers={"content-type": "application/json"},
    )
    assert response.status_code == 201, response.text
    assert response.json()["price"] == kept
    assert client.get(response.headers["location"]).json()["price"] == kept


@pytest.mark.parametrize(
    "sent",
    [
        "-0.01", "0.001", "19.999", "10000000000", "1e400", "-1e400", '"1e2"', '"NaN"',
        '"Infinity"',
        '"1_000"', '" 1"', '"1."', '".5"', '"+1"', '"-1"', r'"\uff11"', '"1.234"', '"1,5"', '""',
        "true", "null", "[]", "{}", "1" * 400, "1" * 5000,
    ],
)  # fmt: skip
def test_price_out_of_bounds_is_refused(client: TestClient, sent: str) -> None:
    store_id = new_store(client)["storeId"]
    response = client.post(
        "/products",
        content=f'{{"storeId":"{store_id}","name":"A","price":{sent}}}',
        headers={"content-type": "application/json"},
    )
    body = problem(response, 422, "invalid")
    assert [error["pointer"] for error in body["errors"]] == ["/price"]
    assert client.get("/products").json() == []


def test_name_is_unique_within_a_store(client: TestClient) -> None:
    product = new_product(client)
    other = new_product(client, store=product["store"], name="Mensagem")
    body = {"storeId": product["storeId"], "name": product["name"], "price": 1}
    answer = problem(client.post("/products", json=body), 409, "already-exists")
    assert answer["detail"] == "Another one with the same storeId and name exists already."
    response = client.patch(f"/products/{other['productId']}", json={"name": product["name"]})
    problem(response, 409, "already-exists")
    new_product(client)  # the same name in another store
    assert len(client.get("/products").json()) == 3


def test_product_of_an_unknown_store_is_refused(client: TestClient) -> None:
    body = {"storeId": "01a1fab7-dbdc-74d8-8e14-fd8c30a0df91", "name": "A", "price": 1}
    answer = problem(client.post("/products", json=body), 422, "impossible")
    assert answer["errors"] == [{"pointer": "/storeId", "detail": "is not the id of a store"}]


def test_patch_changes_only_what_is_sent(client: TestClient) -> None:
    product = new_product(client, description="Paperback")
    path = f"/products/{product['productId']}"
    response = client.patch(path, json={"price": "5.5", "description": None})
    assert response.status_code == 200
    changed = product | {"price": 5.5, "description": None}
    assert without_times(response.json()) == without_times(changed)
    assert client.get(path).json() == response.json()


@pytest.mark.parametrize(
    ("member", "detail"),
    [
        ({"price": None}, "must not be null"),
        ({"name": None}, "must not be null"),
        ({"storeId": "01a1fab7-dbdc-74d8-8e14-fd8c30a0df91"}, "is not known here"),
        ({"productId": "01a1fab7-dbdc-74d8-8e14-fd8c30a0df91"}, "is not known here"),
        ({"pice": 1}, "is not known here; did you mean `price`?"),
    ],
)
def test_patch_refuses_what_it_cannot_change(
    client: TestClient, member: dict[str, object], detail: str
) -> None:
    product = new_product(client)
    path = f"/products/{product['productId']}"
    answer = problem(client.patch(path, json=member), 422, "invalid")
    assert answer["errors"] == [{"pointer": f"/{next(iter(member))}", "detail": detail}]
    assert client.get(path).json() == product


def test_ordered_product_is_not_deleted(client: TestClient) -> None:
    product = new_product(client)
    path = f"/products/{product['productId']}"
    new_order(client, (product, 1))
    problem(client.delete(path), 409, "in-use")
    assert client.get(path).json() == product


def test_filters_select_products(client: TestClient) -> None:
    store = new_store(client)
    tea = new_product(client, store, name="Tea", price=3, description="From ÉVORA, 50%")
    cup = new_product(client, store, name="Cup", price="7.50")
    book = new_product(client, name="Book", price=20)

    def names(query: str) -> list[str]:
        response = client.get(f"/products?{query}")
        assert response.status_code == 200, response.text
        return [product["name"] for product in response.json()]

    assert names(f"storeId={book['storeId']}") == ["Book"]
    assert names("q=évora") == names("q=%25") == names("q=TEA") == [tea["name"]]
    assert names("minPrice=7.5") == ["Cup", "Book"]
    assert names("maxPrice=7.50") == ["Tea", "Cup"]
    assert names("minPrice=3.01&maxPrice=19.99") == [cup["name"]]
    assert names("sort=price") == ["Tea", "Cup", "Book"]
    assert names("sort=-price") == ["Book", "Cup", "Tea"]
    assert names("sort=name") == ["Book", "Cup", "Tea"]
    assert names(f"storeId={store['storeId']}&sort=-name") == ["Tea", "Cup"]
