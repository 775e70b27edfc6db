"""Who listens to SQLAlchemy's events hears of every statement, as it is without shortcuts."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from fastapi.testclient import TestClient
from opentelemetry import trace
from opentelemetry.instrumentation.fastapi import FastAPIInstrumentor
from opentelemetry.instrumentation.sqlalchemy import SQLAlchemyInstrumentor
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from sqlalchemy import Engine, event

from orders_api.app import create_app
from orders_api.settings import Settings
from orders_api.storage.engines import Database
from tests.conftest import ROOT, Statements, database_of, empty, local_client
from tests.samples import STORE, create, new_coupon, new_product, problem
from tests.sessions import blocks


def engines(database: Database) -> list[Engine]:
    """Return the engines of a database, which are one for SQLite in memory."""
    return list({database.reader.sync_engine, database.writer.sync_engine})


@contextmanager
def listening(database: Database, name: str, listener: Any) -> Iterator[None]:
    for engine in engines(database):
        event.listen(engine, name, listener)
    try:
        yield
    finally:
        for engine in engines(database):
            event.remove(engine, name, listener)


def everything(client: TestClient) -> list[Any]:
    """Read and write in an empty database; return what is the same each time."""
    product = new_product(client)
    coupon = new_coupon(client, code=product["productId"])
    item = {"productId": product["productId"], "quantity": 2}
    order = create(client, "/orders", {"items": [item], "couponCode": coupon["code"]})
    assert client.get(f"/orders/{order['orderId']}").json() == order
    assert client.get("/products", params={"storeId": product["storeId"], "q": "Lus"}).json() == [
        product
    ]
    todo = client.post("/todos", json={"task": "A"}).json()
    assert client.get("/todos", params={"complete": False}).json()[-1] == todo
    path = f"/stores/{product['storeId']}"
    # Always the same: with one of 16 keys old ones are deleted, by a statement more.
    headers = {"idempotency-key": "once"}
    stores = [client.post("/stores", json=STORE, headers=headers).json() for _ in range(2)]
    twice = client.post("/coupons", json={"code": coupon["code"], "initCount": 1})
    return [
        product["price"],
        order["total"],
        todo["complete"],
        client.patch(path, json={"city": "Porto"}).json()["city"],
        problem(twice, 409, "already-exists")["detail"],
        problem(client.delete(path), 409, "in-use")["detail"],
        stores[0] == stores[1],
    ]


def test_listener_that_uses_its_context_hears_what_observers_hear(
    client: TestClient, statements: Statements
) -> None:
    database = database_of(client)
    heard = []

    def listen(_: Any, cursor: Any, sql: str, values: Any, context: Any, many: bool) -> None:
        assert context.cursor is cursor
        assert context.executemany is many
        assert values is not None
        if not sql.startswith("BEGIN"):
            heard.append(sql)

    expected = everything(client)
    fast = len(statements)
    empty(client)
    statements.texts.clear()
    with listening(database, "before_cursor_execute", listen):
        answers = everything(client)
    assert answers == expected
    assert heard == statements.texts
    assert len(heard) == fast
    empty(client)
    heard.clear()
    everything(client)
    assert heard == []


def test_error_handler_of_others_is_called(client: TestClient) -> None:
    errors = []
    coupon = new_coupon(client)
    body = {"code": coupon["code"], "initCount": 1}
    with listening(
        database_of(client), "handle_error", lambda context: errors.append(context.statement)
    ):
        problem(client.post("/coupons", json=body), 409, "already-exists")
    assert [error.split()[0] for error in errors] == ["INSERT"]
    problem(client.post("/coupons", json=body), 409, "already-exists")
    assert len(errors) == 1


def test_commits_and_statements_are_heard_by_others(client: TestClient) -> None:
    database = database_of(client)
    heard = []
    with (
        listening(database, "commit", lambda _: heard.append("commit")),
        listening(database, "after_execute", lambda *_: heard.append("execute")),
    ):
        client.post("/stores", json=STORE)
    assert heard[-2:] == ["execute", "commit"]


def test_sqlalchemys_own_log_has_each_statement(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "sqlalchemy.engine")
    client.get("/todos")
    # A connection asks for the level when it is opened.
    assert database_of(client).is_sqlite == any("FROM todos" in line for line in caplog.messages)


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.mark.parametrize("when", ["before the engines are made", "later"])
def test_opentelemetry_has_a_span_for_each_statement(
    database_url: str, when: str, spans: InMemorySpanExporter
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    instrumentor = SQLAlchemyInstrumentor()
    # It says that it is for SQLAlchemy up to 2.0, but works.
    options = {"tracer_provider": provider, "skip_dep_check": True}
    app = create_app(Settings(database_url=database_url))
    FastAPIInstrumentor.instrument_app(app, tracer_provider=provider)
    if when != "later":
        instrumentor.instrument(**options)
    try:
        with local_client(app) as client:
            if when == "later":
                instrumentor.instrument(engines=engines(database_of(client)), **options)
            assert everything(client)
            spans.clear()
            client.post("/stores", json=STORE)
            client.get("/stores")
            finished: dict[str, Any] = {s.name.split()[0]: s for s in spans.get_finished_spans()}
            empty(client)
    finally:
        instrumentor.uninstrument()
        FastAPIInstrumentor.uninstrument_app(app)
    for name, request in {"INSERT": "POST", "SELECT": "GET"}.items():
        statement = finished[name].attributes["db.statement"]
        assert "stores" in str(statement)
        assert str(statement).startswith(name)
        assert finished[name].parent.span_id == finished[request].context.span_id


def test_statements_have_spans_as_documented(
    database_url: str, spans: InMemorySpanExporter, monkeypatch: pytest.MonkeyPatch
) -> None:
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(spans))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    (block,) = blocks("python", (ROOT / "docs" / "operations.md").read_text("utf-8"))
    exec(block, {})
    try:
        with local_client(create_app(Settings(database_url=database_url))) as client:
            spans.clear()
            client.get("/stores")
    finally:
        SQLAlchemyInstrumentor().uninstrument()
    assert "SELECT" in [span.name.split()[0] for span in spans.get_finished_spans()]


SENTRY = """
import json, sys
import sentry_sdk
from sentry_sdk.transport import Transport

transactions = []

class InMemory(Transport):
    def capture_envelope(self, envelope):
        transactions.append(envelope.get_transaction_event())

sentry_sdk.init(dsn="http://key@127.0.0.1/1", transport=InMemory, traces_sample_rate=1.0)

from tests.conftest import create_app, database_of, delete_all_rows, local_client, Settings
from tests.samples import STORE

with local_client(create_app(Settings(database_url=sys.argv[1]))) as client:
    statuses = [client.post("/stores", json=STORE).status_code, client.get("/stores").status_code]
    sentry_sdk.flush()
    spans = [[span["description"] for span in one["spans"]] for one in transactions if one]
    print(json.dumps({"statuses": statuses, "spans": spans}))
    client.portal.call(delete_all_rows, database_of(client))
"""


@pytest.mark.slow
def test_sentry_has_a_span_for_each_statement(database_url: str) -> None:
    """In a process of its own, as it listens to all engines for ever."""
    command = [sys.executable, "-c", SENTRY, database_url]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["statuses"] == [201, 200]
    inserts, selects = found["spans"]
    assert inserts[-1].startswith("INSERT INTO stores")
    assert selects[-1].startswith("SELECT stores.name")
