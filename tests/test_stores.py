from fastapi.testclient import TestClient

from tests.samples import (
    STORE,
    new_product,
    new_store,
    problem,
    without_times,
)


def test_created_store_is_answered_whole_with_its_location(client: TestClient) -> None:
    response = client.post("/stores", json=STORE)
    store = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/stores/{store['storeId']}"
    assert without_times(store) == STORE | {
        "domain": None,
        "phone": None,
        "email": None,
        "storeId": store["storeId"],
    }
    assert client.get(response.headers["location"]).json() == store


def test_collection_answers_with_and_without_a_slash(client: TestClient) -> None:
    store = client.post("/stores/", json=STORE).json()
    for path in ("/stores", "/stores/"):
        response = client.get(path, follow_redirects=False)
        assert (response.status_code, response.json()) == (200, [store])


def test_patch_changes_only_what_is_sent_and_null_clears(client: TestClient) -> None:
    store = new_store(client, phone="1", email="a@b.example")
    path = f"/stores/{store['storeId']}"
    response = client.patch(path, json={"city": "Porto", "phone": None})
    assert response.status_code == 200
    changed = store | {"city": "Porto", "phone": None}
    assert without_times(response.json()) == without_times(changed)
    assert client.get(path).json() == response.json()
    assert client.patch(path, json={}).json() == response.json()


def test_store_with_products_is_not_deleted(client: TestClient) -> None:
    product = new_product(client)
    path = f"/stores/{product['storeId']}"
    problem(client.delete(path), 409, "in-use")
    assert client.delete(f"/products/{product['productId']}").status_code == 204
    response = client.delete(path)
    assert (response.status_code, response.content) == (204, b"")
    problem(client.get(path), 404, "not-found")
    problem(client.delete(path), 404, "not-found")
    problem(client.patch(path, json={"city": "Porto"}), 404, "not-found")


def test_filters_select_stores(client: TestClient) -> None:
    lisbon = new_store(client)
    porto = new_store(client, name="100% Vinyl", city="Porto")
    turin = new_store(client, name="Caffè 10", city="Turin", country="Italy", currency="CHF")

    def names(query: str) -> list[str]:
        response = client.get(f"/stores?{query}")
        assert response.status_code == 200, response.text
        return [store["name"] for store in response.json()]

    assert names("country=Portugal") == [lisbon["name"], porto["name"]]
    assert names("country=Portugal&city=Porto") == [porto["name"]]
    assert names("currency=CHF") == [turin["name"]]
    assert names("q=corner") == [lisbon["name"]]
    assert names("q=") == [lisbon["name"], porto["name"], turin["name"]]


def test_q_is_text_in_any_case_and_never_a_pattern(client: TestClient) -> None:
    names = ["100% Vinyl", "100 Vinyls", "Caffè_È", "a\\b", "a/b", "'quoted'"]
    for name in names:
        new_store(client, name=name)
    expected = {
        "%": ["100% Vinyl"],
        "_": ["Caffè_È"],
        "CAFFÈ_è": ["Caffè_È"],
        "VINYL": ["100% Vinyl", "100 Vinyls"],
        "\\": ["a\\b"],
        "/": ["a/b"],
        "'": ["'quoted'"],
    }
    found = {
        q: [store["name"] for store in client.get("/stores", params={"q": q}).json()]
        for q in expected
    }
    assert found == expected


def test_products_of_a_store_are_listed_as_by_its_id(client: TestClient) -> None:
    store, other = new_store(client), new_store(client, name="Other")
    for name, price in (("A", 3), ("B", 1), ("C", 2)):
        new_product(client, store, name=name, price=price)
    new_product(client, other)
    path = f"/stores/{store['storeId']}/products"
    for query in ("", "sort=price", "q=b", "minPrice=2&sort=-name", "limit=2"):
        response = client.get(f"{path}?{query}")
        expected = client.get(f"/products?storeId={store['storeId']}&{query}")
        assert (response.status_code, response.content) == (200, expected.content)
        assert "etag" not in response.headers
    names = [product["name"] for product in client.get(f"{path}?sort=price").json()]
    assert names == ["B", "C", "A"]


def test_products_of_a_store_come_in_pages(client: TestClient) -> None:
    store = new_store(client)
    products = [new_product(client, store, name=name) for name in "ABC"]
    new_product(client, new_store(client))
    response = client.get(f"/stores/{store['storeId']}/products?limit=2")
    assert response.json() == products[:2]
    rest = client.get(response.links["next"]["url"])
    assert (rest.json(), "link" in rest.headers) == (products[2:], False)


def test_products_of_a_store_that_is_not_there_are_404(client: TestClient) -> None:
    store = new_store(client)
    assert client.get(f"/stores/{store['storeId']}/products").json() == []
    client.delete(f"/stores/{store['storeId']}")
    problem(client.get(f"/stores/{store['storeId']}/products"), 404, "not-found")
    problem(client.get(f"/stores/{store['storeId']}/products?storeId=x"), 422, "invalid")
