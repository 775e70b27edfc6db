"""Pages of other origins, which `CORS_ORIGINS` lets in."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from orders_api.app import create_app
from orders_api.settings import Settings
from tests.conftest import empty, local_client
from tests.live import http, local_server
from tests.resources import DOCUMENT
from tests.samples import STORE, new_store, new_user, problem, sign_in

PAGE = "http://localhost:5173"
FROM_PAGE = {"origin": PAGE, "sec-fetch-site": "same-site"}
ALLOWED = "access-control-allow-origin"


@pytest.fixture(scope="module")
def running() -> Iterator[TestClient]:
    settings = Settings(database_url="sqlite://", cors_origins=PAGE, max_body_bytes=500)
    with local_client(create_app(settings)) as client:
        yield client


@pytest.fixture
def served(running: TestClient) -> Iterator[TestClient]:
    yield running
    empty(running)


def preflight(client: TestClient, path: str, origin: str, method: str = "POST") -> Any:
    headers = {
        "origin": origin,
        "access-control-request-method": method,
        "access-control-request-headers": "authorization,content-type,if-match",
    }
    return client.options(path, headers=headers)


@pytest.mark.parametrize("path", ["/orders", "/orders/", "/todos/1", "/nothing"])
def test_preflight_allows_methods_and_headers_of_every_path(served: TestClient, path: str) -> None:
    for method in ("GET", "POST", "PUT", "PATCH", "DELETE"):
        answer = preflight(served, path, PAGE, method)
        assert answer.status_code == 200
        assert answer.headers[ALLOWED] == PAGE
        assert method in answer.headers["access-control-allow-methods"]
        allowed = answer.headers["access-control-allow-headers"]
        assert allowed == "authorization,content-type,if-match"
        assert "x-request-id" in answer.headers
        assert "access-control-allow-credentials" not in answer.headers


def test_preflight_of_another_origin_is_refused_with_a_problem(served: TestClient) -> None:
    answer = preflight(served, "/orders", "http://localhost:3000")
    assert "CORS_ORIGINS" in problem(answer, 403, "forbidden")["detail"]
    assert ALLOWED not in answer.headers


def test_page_from_the_internet_may_use_a_server_at_home_if_it_was_named(
    served: TestClient,
) -> None:
    """Chromium asks so before a public page sends a request to a private address."""
    asked = {"access-control-request-method": "GET"}
    asked |= {"access-control-request-private-network": "true"}
    answer = served.options("/orders", headers={"origin": PAGE} | asked)
    assert answer.status_code == 200
    assert answer.headers["access-control-allow-private-network"] == "true"
    other = {"origin": "https://x.example"}
    problem(served.options("/orders", headers=other | asked), 403, "forbidden")
    settings = Settings(database_url="sqlite://", cors_origins="*")
    with local_client(create_app(settings)) as client:
        problem(client.options("/orders", headers={"origin": PAGE} | asked), 403, "forbidden")


def test_every_header_of_an_answer_can_be_read(served: TestClient) -> None:
    answer = served.get("/stores", headers=FROM_PAGE)
    exposed = answer.headers["access-control-expose-headers"].split(", ")
    assert set(exposed) == {*DOCUMENT["components"]["headers"], "X-Fault"}
    assert {"ETag", "Link", "Location", "X-Request-ID", "Retry-After"} <= set(exposed)
    assert (answer.headers[ALLOWED], answer.headers["vary"]) == (PAGE, "Origin")


def test_caches_keep_answers_to_origins_apart(served: TestClient) -> None:
    assert served.get("/").headers["vary"] == "Accept, Origin"
    assert ALLOWED not in served.get("/").headers
    assert ALLOWED not in served.get("/", headers={"origin": "http://localhost:3000"}).headers


def test_problems_can_be_read(served: TestClient) -> None:
    answers = {
        "unauthorized": served.get("/orders", headers=FROM_PAGE),
        "not-found": served.get("/nothing", headers=FROM_PAGE),
        "invalid": served.get("/stores?citty=x", headers=FROM_PAGE),
        "method-not-allowed": served.put("/stores", headers=FROM_PAGE),
        "too-large": served.post("/token", content=b"x" * 501, headers=FROM_PAGE),
    }
    for name, answer in answers.items():
        assert problem(answer, answer.status_code, name)
        assert answer.headers[ALLOWED] == PAGE, name
    control = served.get("/a%00", headers=FROM_PAGE)
    assert (control.status_code, control.headers[ALLOWED]) == (404, PAGE)


def test_failure_can_be_read() -> None:
    app = create_app(Settings(database_url="sqlite://", cors_origins=PAGE))

    @app.get("/fails")
    async def fail() -> None:
        raise RuntimeError

    with local_client(app) as client:
        answer = client.get("/fails", headers=FROM_PAGE)
        problem(answer, 500, "internal")
        assert answer.headers[ALLOWED] == PAGE


def test_refusal_of_what_is_no_request_can_be_read(tmp_path: Path) -> None:
    with local_server(tmp_path, CORS_ORIGINS=PAGE) as address:
        large = {"origin": PAGE, "x-large": "x" * 40_000}
        malformed = {"origin": PAGE, "host": "no host"}
        for headers, status in ((large, 431), (malformed, 400)):
            answer = http.get(f"{address}/stores", headers=headers)
            assert (answer.status_code, answer.headers.get(ALLOWED)) == (status, PAGE)


def test_page_of_an_allowed_origin_needs_a_token(served: TestClient) -> None:
    assert served.post("/stores", json=STORE).status_code == 201  # as curl on this machine
    for headers in (FROM_PAGE, {"origin": PAGE}, {"sec-fetch-site": "same-site"}):
        problem(served.post("/stores", json=STORE, headers=headers), 401, "unauthorized")
    new_user(served, "ada")
    token = {"authorization": f"Bearer {sign_in(served, 'ada')}"}
    created = served.post("/stores", json=STORE, headers=FROM_PAGE | token)
    assert created.status_code == 201
    assert created.headers[ALLOWED] == PAGE


def test_page_of_any_origin_reads_what_is_public_if_all_are_allowed() -> None:
    settings = Settings(database_url="sqlite://", cors_origins="*")
    with local_client(create_app(settings)) as client:
        store = new_store(client)
        answer = client.get("/stores", headers=FROM_PAGE)
        assert (answer.json(), answer.headers[ALLOWED]) == ([store], "*")
        problem(client.get("/orders", headers=FROM_PAGE), 401, "unauthorized")
        assert preflight(client, "/orders", "https://any.example").headers[ALLOWED] == "*"


def test_no_origin_is_allowed_unless_set(client: TestClient) -> None:
    answer = client.get("/stores", headers=FROM_PAGE)
    assert {name for name in answer.headers if name.startswith("access-control")} == set()
    assert "vary" not in answer.headers
    assert preflight(client, "/orders", PAGE).status_code == 204
