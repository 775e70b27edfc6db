"""What the log says of requests and statements, and what it never says."""

import io
import json
import logging
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from orders_api import logs
from orders_api.app import create_app
from orders_api.logs import JsonFormatter, TextFormatter, log_slow
from orders_api.settings import Settings
from tests.conftest import ROOT, local_client
from tests.live import free_port, http, running_server, wait_until_healthy
from tests.samples import new_order, new_product, new_store, new_user, sign_in
from tests.sessions import blocks

Fields = dict[str, Any]


class Recorder(logging.Handler):
    """Keeps the records of a test."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@pytest.fixture
def lines(caplog: pytest.LogCaptureFixture) -> Iterator[list[logging.LogRecord]]:
    recorder = Recorder()
    logs.log.addHandler(recorder)
    with caplog.at_level("INFO", "orders_api"):
        yield recorder.records
    logs.log.removeHandler(recorder)


def fields(record: logging.LogRecord) -> Fields:
    assert isinstance(record.args, dict)
    return record.args


def last(lines: list[logging.LogRecord]) -> Fields:
    return fields(lines[-1])


def test_line_says_all_of_a_request(client: TestClient, lines: list[logging.LogRecord]) -> None:
    store = new_store(client)
    path = f"/stores/{store['storeId']}"
    client.get(f"{path}?", headers={"x-request-id": "abc-1"})
    duration = last(lines).pop("durationMs")
    assert duration >= 0
    assert last(lines) == {
        "method": "GET",
        "path": path,
        "status": 200,
        "statements": 1,
        "route": "/stores/{storeId}",
        "user": "-",
        "client": "127.0.0.1",
        "requestId": "abc-1",
    }


def test_line_names_the_user_by_id(client: TestClient, lines: list[logging.LogRecord]) -> None:
    user = new_user(client, "ada")
    token = sign_in(client, "ada")
    client.get("/todos", headers={"authorization": f"Bearer {token}"})
    assert last(lines)["user"] == user["userId"]


@pytest.mark.parametrize(
    ("method", "path", "status", "route"),
    [
        ("GET", "/shops", 404, "-"),
        ("PUT", "/stores", 405, "/stores"),
        ("GET", "/stores/x", 422, "/stores/{storeId}"),
        ("GET", f"/stores/{uuid.UUID(int=0)}", 404, "/stores/{storeId}"),
        ("GET", "/stores/", 200, "/stores/"),
    ],
)
def test_line_names_the_route_whatever_the_answer(
    client: TestClient, lines: list[logging.LogRecord],
    method: str, path: str, status: int, route: str,
) -> None:  # fmt: skip
    client.request(method, path)
    assert (last(lines)["status"], last(lines)["route"]) == (status, route)


def test_statements_are_counted_for_the_request_that_sends_them(
    client: TestClient, lines: list[logging.LogRecord]
) -> None:
    client.get("/health")
    assert last(lines)["statements"] == 0
    product = new_product(client)
    new_order(client, (product, 1))
    one = last(lines)["statements"]
    new_order(client, (product, 1))
    assert last(lines)["statements"] == one > 1


def test_line_holds_neither_query_nor_body(
    client: TestClient, lines: list[logging.LogRecord]
) -> None:
    client.get("/stores?q=open-sesame")
    client.post("/users", json={"username": "open-sesame", "password": "open-sesame"})
    assert "open-sesame" not in "".join(map(JsonFormatter().format, lines))


def test_path_that_is_no_ascii_is_escaped(
    client: TestClient, lines: list[logging.LogRecord]
) -> None:
    client.get("/a%0Ab%C3%A9")
    assert last(lines)["path"] == "/a%0Ab%C3%A9"


# --- Slow statements ----------------------------------------------------------------------


def test_slow_statement_is_logged_without_its_parameters(
    database_url: str, lines: list[logging.LogRecord]
) -> None:
    settings = Settings(database_url=database_url, slow_statement_ms=0, database_pool_size=1)
    with local_client(create_app(settings)) as client:
        client.get("/stores?city=open-sesame", headers={"x-request-id": "abc-1"})
    slow = [record for record in lines if record.levelname == "WARNING"]
    assert {record.getMessage() for record in slow} == {"Slow statement"}
    (of_request,) = [fields(record) for record in slow if "stores.city" in str(record.args)]
    assert of_request["requestId"] == "abc-1"
    assert of_request["statement"].startswith("SELECT stores.name AS ")
    assert "\n" not in of_request["statement"]
    assert "open-sesame" not in "".join(map(JsonFormatter().format, lines))


def test_quick_statement_is_not_logged(client: TestClient, lines: list[logging.LogRecord]) -> None:
    client.get("/stores")
    assert [record.levelname for record in lines] == ["INFO"]


def test_slow_statement_of_no_request_is_logged_too(lines: list[logging.LogRecord]) -> None:
    log_slow("SELECT\n 1", 0.75)
    assert last(lines) == {"durationMs": 750.0, "requestId": "-", "statement": "SELECT 1"}


# --- Formats ------------------------------------------------------------------------------


def record_of(
    message: str, *args: object, exc_info: Any = None, level: int = logging.INFO
) -> logging.LogRecord:
    return logging.LogRecord("orders_api", level, "", 0, message, args, exc_info)


def test_json_has_all_by_name() -> None:
    line = JsonFormatter().format(record_of("%(method)s /\n", {"method": "GET", "status": 200}))
    assert "\n" not in line
    members = json.loads(line)
    assert datetime.fromisoformat(members.pop("time")).utcoffset() is not None
    assert members == {"level": "INFO", "message": "GET /\n", "method": "GET", "status": 200}


def test_json_of_a_failure_has_its_traceback() -> None:
    error = RuntimeError("so it is")
    record = record_of("It failed", exc_info=(RuntimeError, error, None))
    line = JsonFormatter().format(record)
    assert "\n" not in line
    assert json.loads(line)["exception"].endswith("RuntimeError: so it is")


def test_text_repeats_nothing_that_the_message_says() -> None:
    formatter = TextFormatter("%(levelname)s %(message)s")
    line = formatter.format(record_of("%(method)s /", {"method": "GET", "status": 200}))
    assert line == "INFO GET / status=200"
    assert formatter.format(record_of("%s it", "Say")) == "INFO Say it"


@pytest.mark.parametrize(
    ("record", "colour"),
    [
        (record_of("%(status)s", {"status": 200}), 32),
        (record_of("%(status)s", {"status": 304}), 36),
        (record_of("%(status)s", {"status": 404}), 33),
        (record_of("%(status)s", {"status": 503}), 31),
        (record_of("Slow statement", {"durationMs": 1}, level=logging.WARNING), 33),
        (record_of("It failed", level=logging.ERROR), 31),
        (record_of("Started"), None),
        (record_of("%(status)s", {"status": 0}), None),  # there was no answer
    ],
)
def test_terminal_shows_statuses_and_warnings_in_colours(
    monkeypatch: pytest.MonkeyPatch, record: logging.LogRecord, colour: int | None
) -> None:
    formatter = TextFormatter("%(message)s")
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.delenv("NO_COLOR", raising=False)
    plain = formatter.format(record)
    assert "\x1b" not in plain
    monkeypatch.setattr(stream, "isatty", lambda: True)
    message = record.getMessage()
    coloured = f"\x1b[{colour}m{message}\x1b[0m" if colour else message
    assert formatter.format(record) == plain.replace(message, coloured)
    monkeypatch.setenv("NO_COLOR", "1")  # no-color.org
    assert formatter.format(record) == plain


@pytest.mark.parametrize(
    ("setting", "is_terminal", "is_json"),
    [
        ("auto", True, False),
        ("auto", False, True),
        ("text", False, False),
        ("json", True, True),
    ],
)
def test_terminal_gets_text_unless_told_otherwise(
    monkeypatch: pytest.MonkeyPatch, setting: Any, is_terminal: bool, is_json: bool
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: is_terminal)
    monkeypatch.setattr(sys, "stderr", stream)
    assert logs.writes_json(Settings(log_format=setting)) is is_json


UVICORN = [sys.executable, "-m", "uvicorn", "orders_api.main:app"]


@pytest.mark.slow
@pytest.mark.parametrize(("log_format", "workers"), [("text", "1"), ("json", "2")])
def test_server_writes_one_format(tmp_path: Path, log_format: str, workers: str) -> None:
    with running_server(tmp_path, "--workers", workers, LOG_FORMAT=log_format) as server:
        http.get(f"{server}/stores", headers={"x-request-id": "abc-1"})
    check_log((tmp_path / "server.log").read_text().splitlines()[2:], log_format)


@pytest.mark.slow
def test_server_that_uvicorn_starts_writes_the_same(tmp_path: Path) -> None:
    port = str(free_port())
    with (
        (tmp_path / "log").open("wb") as output,
        subprocess.Popen(
            [*UVICORN, "--port", port],
            env=os.environ | {"DATABASE_URL": "sqlite://"},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}", process)
            http.get(f"http://127.0.0.1:{port}/stores", headers={"x-request-id": "abc-1"})
        finally:
            process.terminate()
    # The first two lines are uvicorn's, before it has started the application.
    check_log((tmp_path / "log").read_text().splitlines()[2:], "json")


def check_log(lines: list[str], log_format: str) -> None:
    (line,) = [line for line in lines if "abc-1" in line]
    if log_format == "json":
        assert {json.loads(line)["level"] for line in lines} == {"INFO"}
        assert json.loads(line)["message"] == "GET /stores 200"
        (shown,) = blocks("json", (ROOT / "docs" / "operations.md").read_text("utf-8"))
        assert list(json.loads(line)) == list(json.loads(shown))
    else:
        assert " INFO GET /stores 200 durationMs=" in line
        assert line.endswith(" client=127.0.0.1 requestId=abc-1")
    assert any("Application startup complete." in line for line in lines)
