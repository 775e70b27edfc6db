"""`POST /products/import` and `GET /orders/export`: many objects in one request."""

import json
import logging
import sqlite3
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx2
import psycopg
import pytest
from fastapi.testclient import TestClient

from orders_api.app import create_app
from orders_api.settings import Settings
from tests.conftest import Statements, database_of, local_client
from tests.live import http, local_server
from tests.samples import STORE, Json, new_order, new_product, new_store, problem

LINES = {"content-type": "application/jsonl"}
OTHER_ID = "01a1fafd-9453-75d2-9908-2b05e8831e2c"


def product(store: Json, name: str, **members: object) -> Json:
    return {"storeId": store["storeId"], "name": name, "price": 19.99} | members


def post(client: TestClient, *lines: Any, skip_bad: bool = False) -> Any:
    text = "\n".join(line if isinstance(line, str) else json.dumps(line) for line in lines)
    query = "?skipBad=true" if skip_bad else ""
    return client.post(f"/products/import{query}", content=text.encode(), headers=LINES)


# --- Import --------------------------------------------------------------------------------


@pytest.mark.parametrize("media_type", ["application/jsonl", "application/x-ndjson; charset=utf-8"])
def test_each_line_becomes_a_product(client: TestClient, media_type: str) -> None:
    store = new_store(client)
    text = f"{json.dumps(product(store, 'A'))}\r\n\n{json.dumps(product(store, 'B', price='4.5'))}"
    headers = {"content-type": media_type}
    response = client.post("/products/import", content=text.encode(), headers=headers)
    assert (response.status_code, response.json()) == (
        200,
        {"imported": 2, "skipped": 0, "errors": []},
    )
    products = client.get("/products").json()
    assert [(p["name"], p["price"], p["store"]) for p in products] == [
        ("A", 19.99, store),
        ("B", 4.5, store),
    ]


def test_body_without_lines_imports_nothing(client: TestClient) -> None:
    assert post(client).json() == {"imported": 0, "skipped": 0, "errors": []}


def test_bad_lines_are_named_and_nothing_is_imported(client: TestClient) -> None:
    store = new_store(client)
    new_product(client, store, name="Taken")
    response = post(
        client,
        product(store, "A"),
        product(store, "B", price=-1, colour="red"),
        "{",
        product(store, "Taken"),
        product({"storeId": OTHER_ID}, "C"),
        product(store, "D", productId=OTHER_ID),
        "[]",
    )
    answer = problem(response, 422, "invalid")
    assert answer["detail"] == (
        "Nothing is imported, because of line 2: `price` must be greater than or equal to 0;"
        " `colour` is not known here (and 5 more bad lines)."
    )
    duplicate = "Another one with the same storeId and name exists already"
    assert answer["errors"] == [
        {"line": 2, "pointer": "/price", "detail": "must be greater than or equal to 0"},
        {"line": 2, "pointer": "/colour", "detail": "is not known here"},
        {"line": 3, "detail": "is not valid JSON (column 2)"},
        {"line": 4, "detail": duplicate},
        {"line": 5, "pointer": "/storeId", "detail": "is not the id of a store"},
        {"line": 6, "pointer": "/productId", "detail": "is not known here"},
        {"line": 7, "pointer": "", "detail": "must be a JSON object"},
    ]
    assert [one["name"] for one in client.get("/products").json()] == ["Taken"]


def test_good_lines_are_imported_if_bad_ones_may_be_skipped(client: TestClient) -> None:
    store = new_store(client)
    names = [str(number) for number in range(250)]
    lines = [product(store, name) for name in names]
    response = post(client, "{", *lines, product(store, "7"), skip_bad=True)
    assert response.json() == {
        "imported": 250,
        "skipped": 2,
        "errors": [
            {"line": 1, "detail": "is not valid JSON (column 2)"},
            {"line": 252, "detail": "Another one with the same storeId and name exists already"},
        ],
    }
    found = client.get("/products?limit=200").json()
    assert [one["name"] for one in found] == names[:200]


@pytest.mark.parametrize(
    ("line", "status", "kind"),
    [
        ("{", 400, "malformed"),
        ({"name": "A"}, 422, "invalid"),
        (product({"storeId": OTHER_ID}, "A"), 422, "impossible"),
    ],
)
def test_first_bad_line_decides_the_kind_of_problem(
    client: TestClient, line: Any, status: int, kind: str
) -> None:
    problem(post(client, line, "{"), status, kind)


def test_duplicate_is_409(client: TestClient) -> None:
    store = new_store(client)
    problem(post(client, product(store, "A"), product(store, "A")), 409, "already-exists")
    assert client.get("/products").json() == []


def test_no_more_than_twenty_errors_are_named(client: TestClient) -> None:
    answer = problem(post(client, "{", "{"), 400, "malformed")
    assert answer["detail"].endswith(" (and 1 more bad line).")
    answer = problem(post(client, *["{"] * 300), 400, "malformed")
    assert [error["line"] for error in answer["errors"]] == list(range(1, 21))
    assert answer["detail"].endswith("(and at least 199 more bad lines).")


def test_import_ends_when_no_more_errors_can_be_named(
    client: TestClient, statements: Statements
) -> None:
    """What comes later is not even read: here a line that is too large."""
    store = new_store(client)
    good = [product(store, str(number)) for number in range(300)]
    statements.texts.clear()
    late = "x" * (1024 * 1024 + 1)
    answer = problem(post(client, *["{"] * 100, *good, late), 400, "malformed")
    assert answer["detail"].endswith(" (and at least 99 more bad lines).")
    assert sum(text.startswith("INSERT") for text in statements.texts) <= 1
    problem(post(client, *["{"] * 100, *good, late, skip_bad=True), 413, "too-large")
    assert client.get("/products").json() == []


def test_line_with_very_many_members_is_bad(client: TestClient) -> None:
    line = product(new_store(client), "A") | {f"member{n}": n for n in range(1000)}
    answer = problem(post(client, line), 422, "invalid")
    assert answer["errors"] == [{"line": 1, "detail": "must not have more than 1000 members"}]


def test_no_more_than_twenty_errors_of_a_line_are_named(client: TestClient) -> None:
    line = product(new_store(client), "A") | {f"member{n}": n for n in range(100)}
    assert len(problem(post(client, line), 422, "invalid")["errors"]) == 20


@pytest.mark.slow  # quick: the database is not asked before the last line is read
def test_others_are_answered_and_write_while_bad_and_blank_lines_are_read(
    environment: dict[str, str], tmp_path: Path
) -> None:
    settings = {"DATABASE_POOL_SIZE": "1"} | environment
    with (
        local_server(tmp_path, **settings) as address,
        httpx2.Client(base_url=address, timeout=60, verify=False) as web,
        httpx2.Client(base_url=address, timeout=300, verify=False) as importer,
        ThreadPoolExecutor(1) as pool,
    ):
        body = b"\n" * 300_000 + b"x\n" * 30_000
        path = "/products/import?skipBad=true"
        answer = pool.submit(importer.post, path, content=body, headers=LINES)
        others = 0
        while not answer.done():
            assert web.post("/todos", json={"task": "A"}).status_code == 201
            others += 1
        assert answer.result().json()["skipped"] == 30_000
        assert others > 2  # all the others waited for the import to end


def test_lines_are_validated_with_pauses_in_which_others_run(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thread that computes would have each of the others wait for 5 ms, again and again."""
    store = new_store(client)
    pauses: list[float] = []
    monkeypatch.setattr("orders_api.web.line_bodies.time.sleep", pauses.append)
    post(client, *(product(store, str(number)) for number in range(2000)))
    assert len(pauses) > 10


def test_import_ends_when_its_client_has_left(client: TestClient, statements: Statements) -> None:
    store = new_store(client)
    lines = [json.dumps(product(store, str(number))).encode() for number in range(2000)]
    messages = [
        {"type": "http.request", "body": b"\n".join(lines), "more_body": False},
        {"type": "http.disconnect"},
    ]
    scope = {
        "type": "http",
        "method": "POST",
        "scheme": "http",
        "path": "/products/import",
        "raw_path": b"/products/import",
        "query_string": b"",
        "headers": [(b"host", b"localhost"), (b"content-type", b"application/jsonl")],
        "client": ("127.0.0.1", 50000),
    }

    async def receive() -> Any:
        return messages.pop(0)

    async def send(_: Any) -> None:
        pass

    assert client.portal is not None
    statements.texts.clear()
    client.portal.call(client.app, scope, receive, send)
    assert statements.texts == []
    assert client.get("/products").json() == []


def test_database_is_not_asked_before_the_last_line_is_read(
    client: TestClient, statements: Statements
) -> None:
    """Others can write until then: here the last line is too large."""
    store = new_store(client)
    statements.texts.clear()
    good = [product(store, str(number)) for number in range(2000)]
    for skip_bad in (False, True):
        problem(post(client, *good, "x" * (1024 * 1024 + 1), skip_bad=skip_bad), 413, "too-large")
    assert statements.texts == []


def test_lines_are_named_in_their_order_whoever_refuses_them(client: TestClient) -> None:
    store = new_store(client)
    long = "x" * 5000  # they are inserted in several batches
    lines = [
        line
        for number in range(50)
        for line in (product(store, str(number), description=long), "{", product(store, "0"))
    ]
    named = [number for number in range(1, 31) if number % 3 != 1]
    answer = problem(post(client, *lines), 400, "malformed")
    assert [error["line"] for error in answer["errors"]] == named
    answer = post(client, *lines, skip_bad=True).json()
    assert (answer["imported"], answer["skipped"]) == (50, 100)
    assert [error["line"] for error in answer["errors"]] == named


def test_refused_lines_are_found_without_a_word_in_the_log(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    store = new_store(client)
    lines = [product(store, str(number % 50)) for number in range(100)]
    assert post(client, *lines, skip_bad=True).json()["imported"] == 50
    assert [record for record in caplog.records if record.levelno >= logging.WARNING] == []


def test_lines_are_inserted_many_at_a_time(client: TestClient, statements: Statements) -> None:
    store = new_store(client)
    statements.texts.clear()
    post(client, *(product(store, str(number)) for number in range(300)))
    assert sum(text.startswith("INSERT") for text in statements.texts) == 1


@pytest.mark.parametrize("media_type", ["application/json", "text/csv", ""])
def test_other_media_types_are_refused(client: TestClient, media_type: str) -> None:
    headers = {"content-type": media_type}
    response = client.post("/products/import", content=b"{}", headers=headers)
    detail = problem(response, 415, "unsupported-media-type")["detail"]
    assert "application/jsonl or application/x-ndjson" in detail


def test_body_may_be_larger_than_others_but_no_line_of_it() -> None:
    settings = Settings(database_url="sqlite://", max_body_bytes=1000, max_import_bytes=100_000)
    with local_client(create_app(settings)) as client:
        store = new_store(client)
        lines = [product(store, str(number)) for number in range(200)]
        assert post(client, *lines).json()["imported"] == 200
        others = [product(store, f"other {number}") for number in range(200)]
        answer = problem(post(client, *others, "{" + " " * 1000), 413, "too-large")
        assert answer["detail"] == "Line 201 must not be larger than 1000 bytes."
        answer = problem(post(client, *others * 9), 413, "too-large")
        assert answer["detail"] == "The body must not be larger than 100000 bytes."
        problem(client.post("/products", content=b" " * 1001), 413, "too-large")


def test_others_write_while_a_slow_client_sends(
    environment: dict[str, str], tmp_path: Path
) -> None:
    """Nothing of an import is in a transaction before its last line is there."""
    with local_server(tmp_path, **environment) as address:
        store = http.post(f"{address}/stores", json=STORE).json()

        def slowly() -> Iterator[bytes]:
            yield json.dumps(product(store, "A")).encode() + b"\n"
            assert http.post(f"{address}/products", json=product(store, "B")).status_code == 201
            yield json.dumps(product(store, "C")).encode()

        response = http.post(f"{address}/products/import", content=slowly(), headers=LINES)
        assert response.json() == {"imported": 2, "skipped": 0, "errors": []}
        products = http.get(f"{address}/products").json()
        assert [one["name"] for one in products] == ["B", "A", "C"]


@contextmanager
def locked(url: str) -> Iterator[None]:
    """Keep everybody else from writing."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
    else:
        with psycopg.connect(url) as connection:
            connection.execute("LOCK TABLE products")
            yield


@pytest.mark.slow  # quick: the waits for another process of test_groups.py
def test_locked_database_is_503_and_no_connection_is_lost(
    environment: dict[str, str], tmp_path: Path
) -> None:
    settings = {"DATABASE_URL": f"sqlite:///{tmp_path}/orders.db"} | environment
    settings |= {"DATABASE_TIMEOUT": "0.3", "DATABASE_POOL_SIZE": "1"}
    with local_server(tmp_path, **settings) as address:
        store = http.post(f"{address}/stores", json=STORE).json()
        line = json.dumps(product(store, "A"))
        with locked(settings["DATABASE_URL"]):
            for _ in range(2):
                response = http.post(f"{address}/products/import", content=line, headers=LINES)
                problem(response, 503, "unavailable")
        response = http.post(f"{address}/products/import", content=line, headers=LINES)
        assert response.json() == {"imported": 1, "skipped": 0, "errors": []}


# --- Export --------------------------------------------------------------------------------


def test_each_order_is_a_line_as_it_is_shown_alone(client: TestClient) -> None:
    one = new_product(client)
    other = new_product(client, {"storeId": one["storeId"]}, name="B")
    orders = [new_order(client, (one, 2), (other, 1)), new_order(client, (other, 3))]
    response = client.get("/orders/export")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/jsonl")
    assert [json.loads(line) for line in response.text.splitlines()] == orders
    assert response.text.endswith("}\n")


def test_export_of_no_orders_is_empty(client: TestClient) -> None:
    response = client.get("/orders/export")
    assert (response.status_code, response.content) == (200, b"")
    problem(client.get("/orders/export?limit=3"), 422, "invalid")


def test_export_reads_many_orders_at_a_time_and_its_head_only_the_first(
    client: TestClient, statements: Statements
) -> None:
    one = new_product(client)
    orders = [new_order(client, (one, 1)) for _ in range(101)]
    statements.texts.clear()
    lines = client.get("/orders/export").text.splitlines()
    assert [json.loads(line)["orderId"] for line in lines] == [o["orderId"] for o in orders]
    assert len(statements) == 2 + 1  # two pages, and then none
    statements.texts.clear()
    response = client.head("/orders/export")
    assert (response.status_code, response.headers["content-type"]) == (200, "application/jsonl")
    assert len(statements) == 1


def test_database_that_cannot_be_read_is_answered_before_the_first_line(
    client: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail() -> None:
        raise TimeoutError

    monkeypatch.setattr(database_of(client).to_read, "acquire", fail)
    problem(client.get("/orders/export"), 503, "unavailable")
