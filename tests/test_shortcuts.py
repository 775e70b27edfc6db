"""What is read and inserted without SQLAlchemy's Connection is as right as with it."""

import gc
import json
import sqlite3
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, get_args
from uuid import uuid4

import aiosqlite
import fastapi
import psycopg
import pytest
from fastapi import Depends, FastAPI, Header
from fastapi.testclient import TestClient
from opentelemetry import trace
from psycopg.pq import TransactionStatus
from sqlalchemy import Integer, Numeric, TypeDecorator, column, event, select
from sqlalchemy.dialects import sqlite
from starlette.types import Message

from orders_api.app import create_app
from orders_api.models import OrderDetail, OrderOut
from orders_api.settings import Settings
from orders_api.storage import engines
from orders_api.storage.insertion import Insertion
from orders_api.storage.migrations import migrate
from orders_api.storage.postgresql import PostgresConnection
from orders_api.storage.schemas import table_of
from orders_api.storage.statements import Statement
from orders_api.web import UNAUTHORIZED, Problem, Read, Router
from tests.conftest import (
    Postgres,
    database_of,
    empty,
    local_client,
    needs_shortcuts,
)
from tests.samples import STORE, new_order, new_product, new_store, problem

needs_postgresql = pytest.mark.skipif(Postgres.url is None, reason="needs PostgreSQL")


def test_default_is_made_anew_for_each_row() -> None:
    insertion = Insertion(table=None, members={}, inherited={}, defaults={"key": uuid4})
    assert insertion.row(None)["key"] != insertion.row(None)["key"]


class Cents(TypeDecorator[Decimal]):
    """Amounts that are whole numbers of cents in the database."""

    impl = Integer
    cache_ok = True

    def process_result_value(self, value: Any, _: Any) -> Any:
        return Decimal(value) / 100


def test_number_that_is_kept_otherwise_in_sqlite_is_read_as_that_alone() -> None:
    amount = Numeric(12, 2)
    types = [
        *(amount.with_variant(Cents(), "sqlite"), amount.with_variant(Numeric(12, 4), "sqlite")),
        *(amount, Numeric(12, 3)),
    ]
    query = select(*(column(f"c{place}", type_) for place, type_ in enumerate(types)))
    compiled = Statement(query, sqlite.dialect()).compiled
    processors = compiled.processors(compiled.unknown_types)
    values = [str(process(1999)) for process in processors if process]
    assert values == ["19.99", "1999.0000", "1999.00", "1999.000"]


def test_out_class_finds_its_table() -> None:
    assert table_of(OrderOut) is table_of(OrderDetail)


@needs_shortcuts
@pytest.mark.usefixtures("client")  # which cleans up
def test_filter_is_compiled_once_for_all_its_values(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled = []

    def compile_statement(*arguments: Any) -> Statement:
        compiled.append(Statement(*arguments))
        return compiled[-1]

    monkeypatch.setattr(engines, "Statement", compile_statement)
    with local_client(create_app(Settings(database_url=database_url))) as client:
        stores = [new_store(client, name=name, city=name) for name in ("Porto", "Faro", "Braga")]
        compiled.clear()
        assert client.get("/stores", params={"city": "Lisbon"}).json() == []
        assert len(compiled) == 1
        for store in stores:
            assert client.get("/stores", params={"city": store["city"]}).json() == [store]
        assert len(compiled) == 1


def test_product_deleted_while_it_is_ordered_is_422(database_url: str, client: TestClient) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has one writer at a time, so nothing can be deleted meanwhile.")
    product, other = new_product(client), new_product(client, name="Atlas", price=5)
    engine = database_of(client).writer.sync_engine

    def delete(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if "INSERT INTO orders" in statement:
            with psycopg.connect(database_url) as connection:
                connection.execute("DELETE FROM products WHERE name = 'Atlas'")

    event.listen(engine, "before_cursor_execute", delete)
    try:
        items = [{"productId": one["productId"], "quantity": 1} for one in (product, other)]
        response = client.post("/orders", json={"items": items})
    finally:
        event.remove(engine, "before_cursor_execute", delete)
    problem(response, 422, "impossible")
    assert client.get("/orders").json() == []
    new_order(client, (product, 1))


@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", "/todos", '{"task": "Wait"}', 201),
        ("POST", "/products/import", '{"storeId": "{}", "name": "A", "price": 1}', 200),
        ("POST", "/products/import", "nonsense", 400),
        ("PATCH", "/stores/{}", '{"city": "Porto"}', 200),
        ("PATCH", "/stores/{}", '{"name": null}', 422),
        ("DELETE", "/stores/{}", "", 204),
    ],
)
def test_transaction_has_ended_when_its_request_has(
    client: TestClient, method: str, path: str, content: str, status: int
) -> None:
    store = new_store(client)
    response = client.request(
        method,
        path.replace("{}", store["storeId"]),
        content=content.replace("{}", store["storeId"]).encode(),
        headers={"content-type": "application/jsonl" if "import" in path else "application/json"},
    )
    assert response.status_code == status
    pool = database_of(client).to_write
    assert client.portal is not None
    link = client.portal.call(pool.acquire)
    if link.is_sqlite:
        is_in_transaction = link.driver.in_transaction
    else:
        is_in_transaction = link.driver.info.transaction_status != TransactionStatus.IDLE
    is_in_transaction |= link.connection.in_transaction()
    client.portal.call(pool.release, link)
    assert not is_in_transaction


@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "a"}])
def test_commit_that_fails_leaves_a_connection_that_works(
    database_url: str, headers: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_sqlite = database_url.startswith("sqlite")
    url = f"sqlite:///{tmp_path / 'orders.db'}" if is_sqlite else database_url
    driver: Any = aiosqlite.Connection if is_sqlite else psycopg.AsyncConnection
    failure = sqlite3.OperationalError if is_sqlite else psycopg.OperationalError
    settings = Settings(database_url=url)
    migrate(settings.url)

    async def fail(_: object) -> None:
        raise failure("the disk is full")

    fetch = PostgresConnection.fetch_last

    async def fetch_or_fail(
        connection: PostgresConnection, statements: Any, commit: bool = False, *rest: Any
    ) -> Any:
        rows = await fetch(connection, statements, False, *rest)
        return await fail(connection) if commit else rows

    with local_client(create_app(settings)) as client:
        new_store(client)
        with monkeypatch.context() as patch:
            patch.setattr(driver, "commit", fail)
            patch.setattr(PostgresConnection, "fetch_last", fetch_or_fail)
            for _ in range(2):
                response = client.post("/todos", json={"task": "Wait"}, headers=headers)
                problem(response, 503, "unavailable")
        assert client.get("/todos").json() == []
        for _ in range(2):
            response = client.post("/todos", json={"task": "Wait"}, headers=headers)
            assert response.status_code == 201
        empty(client)


def test_endpoint_may_ask_for_what_only_fastapi_gives() -> None:
    router = Router(prefix="/extras", tags=["extras"])

    @router.get("/sync")
    def get_sync() -> dict[str, int]:
        return {"answer": 42}

    @router.get("/header")
    async def get_header(user_agent: Annotated[str, Header()]) -> str:
        return user_agent

    @router.get("/excluding", response_model_exclude={"secret"})
    async def get_excluding() -> dict[str, int]:
        return {"answer": 42, "secret": 1}

    @router.get("/plain")
    async def get_plain() -> int:
        return 42

    @router.get("/named/{given}")
    async def get_named(number: Annotated[int, fastapi.Path(validation_alias="given")]) -> int:
        return number

    with local_client(with_extras(router)) as client:
        assert client.get("/extras/sync").json() == {"answer": 42}
        assert client.get("/extras/header", headers={"user-agent": "curl"}).json() == "curl"
        assert client.get("/extras/excluding").json() == {"answer": 42}
        assert client.get("/extras/plain").json() == 42
        assert client.get("/extras/named/42").json() == 42


def with_extras(router: Router, **options: Any) -> FastAPI:
    """Make an application that calls the endpoints of this router as it does its own."""
    app = create_app(Settings(database_url="sqlite://"))
    app.include_router(router, **options)
    return app


async def refuse() -> None:
    raise Problem(UNAUTHORIZED, "Not you.")


def test_dependency_of_an_included_router_is_called() -> None:
    router = Router(prefix="/extras", tags=["extras"])

    @router.get("/{number}")
    async def get_extra(number: int) -> int:
        return number

    with local_client(with_extras(router)) as client:
        assert client.get("/extras/42").json() == 42
    with local_client(with_extras(router, dependencies=[Depends(refuse)])) as client:
        problem(client.get("/extras/42"), 401, "unauthorized")


def test_override_of_a_dependency_is_called(client: TestClient) -> None:
    assert isinstance(client.app, FastAPI)
    assert client.get("/stores").status_code == 200
    dependency = get_args(Read)[1].dependency
    client.app.dependency_overrides[dependency] = refuse
    try:
        problem(client.get("/stores"), 401, "unauthorized")
    finally:
        client.app.dependency_overrides.clear()


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/stores", b"", 200),
        ("POST", "/stores", json.dumps(STORE).encode(), 201),
        ("POST", "/todos", b'{"task": "Wait"}', 201),
    ],
)
def test_request_leaves_nothing_to_the_garbage_collector(
    client: TestClient, method: str, path: str, body: bytes, status: int
) -> None:
    assert isinstance(client.app, FastAPI)
    assert client.portal is not None
    app = client.app
    statuses = []
    scope = {"type": "http", "http_version": "1.1", "scheme": "http", "client": ("127.0.0.1", 1)}
    headers = [(b"host", b"127.0.0.1"), (b"content-type", b"application/json")]
    request = scope | {"method": method, "path": path, "raw_path": b"", "query_string": b""}

    async def receive() -> Message:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: Message) -> None:
        if message["type"] == "http.response.start":
            statuses.append(message["status"])

    async def count(times: int) -> int:
        gc.collect()
        for _ in range(times):
            await app({**request, "headers": headers, "state": {}}, receive, send)
        return gc.collect()

    gc.disable()
    gc.freeze()  # what was there before is not looked at, neither here nor later
    try:
        client.portal.call(count, 10)  # what is made once
        garbage = client.portal.call(count, 20)
    finally:
        gc.enable()
    assert statuses == [status] * 30
    assert garbage == 0


class Tracer(trace.NoOpTracer):
    def __init__(self) -> None:
        self.spans: list[Span] = []

    def start_span(self, name: str, *_: Any, **__: Any) -> "Span":
        self.spans.append(Span(name))
        return self.spans[-1]


class Span(trace.NonRecordingSpan):
    def __init__(self, name: str) -> None:
        super().__init__(trace.INVALID_SPAN_CONTEXT)
        self.name = name

    def update_name(self, name: str) -> None:
        self.name = name


class Provider(trace.TracerProvider):
    def __init__(self) -> None:
        self.tracer = Tracer()

    def get_tracer(self, *_: Any, **__: Any) -> Tracer:
        return self.tracer


def test_traced_request_goes_the_way_of_fastapi(monkeypatch: pytest.MonkeyPatch) -> None:
    provider = Provider()
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    with local_client(create_app(Settings(database_url="sqlite://"))) as client:
        assert client.get(f"/stores/{uuid4()}").status_code == 404
    assert "GET /stores/{storeId}" in [span.name for span in provider.tracer.spans]
