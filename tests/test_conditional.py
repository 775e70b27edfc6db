"""Conditional requests (RFC 9110): nobody overwrites what they have not seen."""

from fastapi.testclient import TestClient

from tests.resources import Resource, each_resource
from tests.samples import STORE, new_order, new_product, new_store, problem


@each_resource("PATCH")
def test_tag_names_the_state_wherever_it_is_answered(
    client: TestClient, resource: Resource
) -> None:
    path = resource.path(resource.new(client))
    change = resource.change()
    first = client.get(path).headers["etag"]
    assert first.startswith('"')
    changed = client.patch(path, json=change)
    assert changed.headers["etag"] == client.get(path).headers["etag"] != first


def test_created_object_comes_with_its_tag(client: TestClient) -> None:
    response = client.post("/stores", json=STORE)
    assert response.headers["etag"] == client.get(response.headers["location"]).headers["etag"]
    order = new_order(client, (new_product(client), 1))
    assert "etag" in client.get(f"/orders/{order['orderId']}").headers
    assert "etag" not in client.get("/stores").headers


def test_known_state_is_304_without_a_body(client: TestClient) -> None:
    path = f"/products/{new_product(client)['productId']}"
    tag = client.get(path).headers["etag"]
    for known in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        response = client.get(path, headers={"if-none-match": known})
        assert (response.status_code, response.content) == (304, b"")
        assert response.headers["etag"] == tag
        assert "content-type" not in response.headers
    for unknown in ('"x"', tag.strip('"'), ""):
        assert client.get(path, headers={"if-none-match": unknown}).status_code == 200


def test_changed_store_changes_the_tags_of_its_products(client: TestClient) -> None:
    product = new_product(client)
    path = f"/products/{product['productId']}"
    tag = client.get(path).headers["etag"]
    client.patch(f"/stores/{product['storeId']}", json={"city": "Porto"})
    assert client.get(path, headers={"if-none-match": tag}).status_code == 200
    problem(client.patch(path, json={}, headers={"if-match": tag}), 412, "precondition-failed")


@each_resource("PATCH", "DELETE")
def test_change_of_a_state_not_seen_is_412_with_the_current_tag(
    client: TestClient, resource: Resource
) -> None:
    path = resource.path(resource.new(client))
    change = resource.change()
    before = client.get(path)
    tag = before.headers["etag"]
    for stale in ('"x"', f"W/{tag}", tag.strip('"'), ""):
        for response in (
            client.patch(path, json=change, headers={"if-match": stale}),
            client.delete(path, headers={"if-match": stale}),
        ):
            problem(response, 412, "precondition-failed")
            assert response.headers["etag"] == tag
    assert client.get(path).json() == before.json()
    response = client.patch(path, json=change, headers={"if-match": f'"x", {tag}'})
    assert response.status_code == 200
    problem(client.delete(path, headers={"if-match": tag}), 412, "precondition-failed")
    new_tag = response.headers["etag"]
    assert client.delete(path, headers={"if-match": new_tag}).status_code == 204
    problem(client.patch(path, json=change, headers={"if-match": "*"}), 404, "not-found")
    problem(client.delete(path, headers={"if-match": "*"}), 404, "not-found")


@each_resource("PATCH", "DELETE")
def test_any_state_may_be_changed_and_deleted(client: TestClient, resource: Resource) -> None:
    path = resource.path(resource.new(client))
    change = resource.change()
    assert client.patch(path, json=change, headers={"if-match": "*"}).status_code == 200
    assert client.delete(path, headers={"if-match": "*"}).status_code == 204


def test_tags_in_several_header_lines_count_as_one_list(client: TestClient) -> None:
    """RFC 9110, 5.3."""
    path = f"/stores/{new_store(client)['storeId']}"
    tag = client.get(path).headers["etag"]
    known = [("if-none-match", '"x"'), ("if-none-match", tag)]
    assert client.get(path, headers=known).status_code == 304
    seen = [("if-match", '"x"'), ("if-match", tag)]
    assert client.patch(path, json={"city": "Porto"}, headers=seen).status_code == 200
