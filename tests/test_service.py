import re

import pytest
from fastapi.testclient import TestClient

from orders_api.app import create_app
from orders_api.settings import Settings
from tests.conftest import local_client
from tests.samples import STORE


def test_root_says_where_everything_is(client: TestClient) -> None:
    response = client.get("/")
    assert response.json() == {
        "status": "ok",
        "docs": "/docs",
        "redoc": "/redoc",
        "openapi": "/openapi.json",
        "health": "/health",
        "ready": "/ready",
        "stores": "/stores",
        "products": "/products",
        "orders": "/orders",
        "coupons": "/coupons",
        "users": "/users",
        "todos": "/todos",
    }
    for path in list(response.json().values())[1:]:
        assert client.get(path).status_code == 200


def test_health_and_ready_are_200_when_all_is_well(client: TestClient) -> None:
    assert client.get("/health").json() == {"status": "ok"}
    assert client.get("/ready").json() == {"status": "ok"}


def test_prefix_moves_everything_below_it() -> None:
    with local_client(create_app(Settings(database_url="sqlite://", api_prefix="/v1"))) as client:
        assert client.get("/v1").json() == client.get("/v1/").json()
        assert client.get("/v1").json()["stores"] == "/v1/stores"
        for path in client.get("/v1").json().values():
            assert path == "ok" or client.get(path).status_code == 200
        for _ in range(2):
            response = client.post("/v1/stores", json=STORE)
            assert client.get(response.headers["location"]).json() == response.json()
        link = client.get("/v1/stores?limit=1").headers["link"]
        assert link.startswith("<http://localhost/v1/stores?limit=1&after=")
        assert client.get("/stores").status_code == 404


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_documentation_pages_load_nothing_from_elsewhere(prefix: str) -> None:
    with local_client(create_app(Settings(database_url="sqlite://", api_prefix=prefix))) as client:
        for page in ("/docs", "/redoc"):
            html = client.get(prefix + page).text
            links = re.findall(r'(?:src|href)="([^"]+)"', html)
            assert len(links) >= 2
            for link in links:
                assert link.startswith(f"{prefix}/docs/static/")
                assert client.get(link).status_code == 200
            assert "https://" not in html
            assert f"{prefix}/openapi.json" in html


def test_answer_without_a_body_has_no_content_type(client: TestClient) -> None:
    store = client.post("/stores", json=STORE).json()
    response = client.delete(f"/stores/{store['storeId']}")
    assert (response.status_code, response.content) == (204, b"")
    assert "content-type" not in response.headers
