"""The OpenAPI document says what the contract says."""

from typing import Any

import pytest

from orders_api.app import create_app
from orders_api.settings import Settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings(database_url="sqlite://")).openapi()


def operations(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        f"{method.upper()} {path}": operation
        for path, item in document["paths"].items()
        for method, operation in item.items()
    }


def test_each_operation_has_a_short_stable_id(document: dict[str, Any]) -> None:
    assert {name: op["operationId"] for name, op in operations(document).items()} == {
        "GET /": "index",
        "GET /health": "getHealth",
        "GET /ready": "getReady",
        "GET /stores": "listStores",
        "POST /stores": "createStore",
        "GET /stores/{storeId}": "getStore",
        "PATCH /stores/{storeId}": "updateStore",
        "DELETE /stores/{storeId}": "deleteStore",
        "GET /products": "listProducts",
        "POST /products": "createProduct",
        "GET /products/{productId}": "getProduct",
        "PATCH /products/{productId}": "updateProduct",
        "DELETE /products/{productId}": "deleteProduct",
        "GET /orders": "listOrders",
        "POST /orders": "createOrder",
        "GET /orders/{orderId}": "getOrder",
        "GET /coupons": "listCoupons",
        "POST /coupons": "createCoupon",
        "GET /coupons/{couponId}": "getCoupon",
        "PATCH /coupons/{couponId}": "updateCoupon",
        "DELETE /coupons/{couponId}": "deleteCoupon",
        "GET /users": "listUsers",
        "POST /users": "createUser",
        "GET /users/{userId}": "getUser",
        "PATCH /users/{userId}": "updateUser",
        "DELETE /users/{userId}": "deleteUser",
        "POST /token": "createToken",
        "DELETE /token": "deleteToken",
        "GET /todos": "listTodos",
        "POST /todos": "createTodo",
        "GET /todos/{todoId}": "getTodo",
        "PUT /todos/{todoId}": "replaceTodo",
        "PATCH /todos/{todoId}": "updateTodo",
        "DELETE /todos/{todoId}": "deleteTodo",
    }


def test_each_operation_documents_its_errors_with_one_schema(document: dict[str, Any]) -> None:
    assert "HTTPValidationError" not in str(document)
    for name, operation in operations(document).items():
        errors = {s: r for s, r in operation["responses"].items() if int(s) >= 400}
        expected = {"422", "500", "503"}
        if "{" in name:
            expected |= {"404"}
        if name.startswith(("POST", "PUT", "PATCH")):
            expected |= {"400", "409", "413", "415"}
        if name.startswith(("PUT", "PATCH", "DELETE")) and "{" in name:
            expected |= {"412"}
        if operation.get("security"):
            expected |= {"401", "403"}
        if name == "POST /token":
            expected |= {"401", "429"}
        if name.startswith("DELETE"):
            expected |= {"409"}
        assert set(errors) == expected, name
        for status, response in errors.items():
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }, (name, status)
            assert "urn:orders-api:" in response["description"]


def test_bodies_forbid_unknown_members_and_answers_require_all(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for name in ("StoreIn", "StoreUpdate", "ProductIn", "ProductUpdate", "OrderIn", "OrderItemIn"):
        assert schemas[name]["additionalProperties"] is False
    for name in ("StoreOut", "ProductDetail", "OrderOut", "OrderDetail", "OrderItemOut"):
        assert sorted(schemas[name]["required"]) == sorted(schemas[name]["properties"])
    for name in ("StoreUpdate", "ProductUpdate"):
        assert "required" not in schemas[name]


def test_money_is_described_exactly(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    number = {"type": "number", "minimum": 0, "maximum": 9999999999.99, "multipleOf": 0.01}
    text = {"type": "string", "pattern": r"^[0-9]{1,10}(\.[0-9]{1,2})?$"}
    assert schemas["ProductIn"]["properties"]["price"]["anyOf"] == [number, text]
    assert {k: schemas["ProductDetail"]["properties"]["price"][k] for k in number} == number


def test_each_parameter_is_named_as_the_client_sends_it(document: dict[str, Any]) -> None:
    names = {
        name: [parameter["name"] for parameter in operation.get("parameters", ())]
        for name, operation in operations(document).items()
    }
    assert names["GET /products"] == [
        "limit", "after", "storeId", "q", "minPrice", "maxPrice", "sort",
    ]  # fmt: skip
    assert names["GET /orders"] == [
        "limit", "after", "productId", "couponCode", "since", "until", "sort",
    ]  # fmt: skip
    assert names["GET /stores"] == ["limit", "after", "country", "city", "currency", "q"]


def test_each_operation_is_described(document: dict[str, Any]) -> None:
    for name, operation in operations(document).items():
        assert operation["summary"], name
        assert operation["description"].endswith("."), name
        assert operation["tags"], name
