import re
import shutil
import subprocess
from html import unescape
from pathlib import Path

import pytest
from fastapi.testclient import TestClient

from orders_api.app import create_app
from orders_api.settings import Settings
from tests.conftest import local_client
from tests.live import http, local_server
from tests.resources import OPERATIONS
from tests.samples import STORE

LISTS = [
    name.removeprefix("GET ")
    for name, operation in OPERATIONS.items()
    if name.startswith("GET ") and "{" not in name
    for answer in [operation["responses"].get("200", {})]
    for content in [answer.get("content", {}).get("application/json", {})]
    if content.get("schema", {}).get("type") == "array"
]


def test_root_says_where_everything_is(client: TestClient) -> None:
    response = client.get("/")
    assert response.json() == {
        "status": "ok",
        "docs": "/docs",
        "redoc": "/redoc",
        "openapi": "/openapi.json",
        "health": "/health",
        "ready": "/ready",
        **{path.strip("/"): path for path in LISTS},
    }
    for path in list(response.json().values())[1:]:
        assert client.get(path).status_code == 200


BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        (BROWSER, True),
        ("text/html", True),
        ("text/*", True),
        ("TEXT/HTML;q=0.2, application/json;q=0.1", True),
        ("application/json;q=0, */*", True),
        ("*/*", False),
        ("", False),
        ("application/json", False),
        ("application/json, */*;q=0.5", False),
        ("text/html, application/json", False),
        ("text/html;q=0.5, */*", False),
        ("text/html;level=1;q=0.5, application/*;q=0.6", False),
        ("image/png", False),
        ("text/html;q=x, ;;,", True),
    ],
)
def test_root_is_a_page_to_those_who_prefer_html(
    client: TestClient, accept: str, is_page: bool
) -> None:
    response = client.get("/", headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["vary"] == "Accept"
    expected = "text/html; charset=utf-8" if is_page else "application/json"
    assert response.headers["content-type"] == expected
    assert response.text.startswith("<!doctype html>" if is_page else "{")


def test_root_is_json_to_those_who_say_nothing(client: TestClient) -> None:
    request = client.build_request("GET", "/")
    del request.headers["accept"]
    assert client.send(request).json()["status"] == "ok"


@pytest.mark.parametrize("prefix", ["", "/v1"])
def test_page_links_to_all_that_root_names(prefix: str) -> None:
    with local_client(create_app(Settings(database_url="sqlite://", api_prefix=prefix))) as client:
        for root in (prefix, f"{prefix}/"):
            named = client.get(root).json()
            html = client.get(root, headers={"accept": BROWSER}).text
            links = re.findall(r'<a href="([^"]+)"', html)
            assert sorted(links) == sorted(path for path in named.values() if path != "ok")
            assert f"http://localhost{prefix}/stores" in html
            assert f"POST {prefix}/token" in html
            assert re.findall(r'(?:src|href)="((?!/)[^"]+)"', html) == ["data:,"]


def test_commands_of_the_page_work(tmp_path: Path) -> None:
    if shutil.which("curl") is None:
        pytest.skip("needs curl")
    with local_server(tmp_path, API_PREFIX="/v1") as server:
        html = http.get(f"{server}/v1/", headers={"accept": BROWSER}).text
        (commands,) = re.findall(r"<pre>(.*?)</pre>", html, re.DOTALL)
        script = f"set -e\nalias curl='curl --silent'\n{unescape(commands)}"
        output = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
        created = http.get(f"{server}/v1/stores").text
        assert created.count("storeId") == 1
        assert output.decode() == created.strip("[]") + created


def test_page_shows_a_strange_host_as_text(client: TestClient) -> None:
    headers = {"accept": "text/html", "host": "a<b>'\""}
    assert "<b>" not in client.get("/", headers=headers).text


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


def test_database_that_does_not_answer_is_one_line_at_start(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with local_client(create_app(Settings(database_url="postgresql://127.0.0.1:1/orders"))):
        (said,) = [
            record.getMessage() for record in caplog.records if record.levelname == "WARNING"
        ]
    assert said.startswith("The database cannot be used yet; is DATABASE_URL right? connection")
    assert "\n" not in said
