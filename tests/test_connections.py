"""Connections that die while nobody uses them, and schemas that change beside a running server."""

import asyncio
import gc
import json
import sqlite3
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import func, make_url
from sqlmodel import col, select

from orders_api.app import create_app
from orders_api.models import Todo, TodoOut
from orders_api.settings import Settings
from orders_api.storage.engines import Database
from orders_api.storage.postgresql import PostgresConnection
from orders_api.web import Read, Router, Write
from tests.conftest import Postgres, database_of, local_client, needs_shortcuts
from tests.samples import (
    STORE,
    Json,
    create,
    new_coupon,
    new_order,
    new_product,
    new_store,
    new_user,
    problem,
    sign_in,
)

needs_one_connection = pytest.mark.skipif(
    bool(Postgres.through), reason="PgBouncer goes on with another connection"
)
ENOUGH = 6  # psycopg prepares a statement that was run more than five times
BACKENDS = """
    FROM pg_stat_activity WHERE application_name = 'orders-api' AND datname = current_database()
"""


@pytest.fixture
def postgresql(database_url: str) -> Iterator[psycopg.Connection]:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite has no server that could end a connection.")
    with psycopg.connect(Postgres.url or "", autocommit=True) as connection:
        yield connection


def end_all(postgresql: psycopg.Connection) -> None:
    """End the server's connections to the database, as its restart would."""
    ended = set(postgresql.execute(f"SELECT pid, pg_terminate_backend(pid) {BACKENDS}").fetchall())
    wait_until_gone(postgresql, {process for process, _ in ended})


def wait_until_gone(postgresql: psycopg.Connection, processes: set[int]) -> None:
    for _ in range(10_000):
        left = {process for (process,) in postgresql.execute(f"SELECT pid {BACKENDS}").fetchall()}
        if not left & processes:
            return
        time.sleep(0.001)
    raise AssertionError(f"connections are still open: {left & processes}")


def warm_up(client: TestClient) -> None:
    """Let several connections to read and to write with be idle."""
    with ThreadPoolExecutor(3) as pool:
        for _ in range(3):
            list(pool.map(lambda _: client.get("/stores"), range(3)))
            list(pool.map(lambda _: client.post("/todos", json={"task": "A"}), range(3)))


REQUESTS: dict[str, Callable[[TestClient, Json], Any]] = {
    "list": lambda client, _: client.get("/products"),
    "get": lambda client, known: client.get(f"/stores/{known['storeId']}"),
    "ready": lambda client, _: client.get("/ready"),
    "export": lambda client, _: client.get("/orders/export"),
    "create": lambda client, _: client.post("/todos", json={"task": "B"}),
    "retry": lambda client, _: client.post("/stores", json=STORE, headers={"idempotency-key": "a"}),
    "order": lambda client, known: client.post(
        "/orders", json={"items": [{"productId": known["productId"], "quantity": 1}]}
    ),
    "update": lambda client, known: client.patch(
        f"/stores/{known['storeId']}", json={"city": "Porto"}
    ),
    "delete": lambda client, known: client.delete(f"/products/{known['unsold']}"),
    "import": lambda client, known: client.post(
        "/products/import",
        content=json.dumps({"storeId": known["storeId"], "name": "B", "price": 1}),
        headers={"content-type": "application/jsonl"},
    ),
    "sign in": lambda client, _: client.post(
        "/token", data={"username": "ada", "password": "correct horse"}
    ),
    "signed in": lambda client, known: client.get(
        "/coupons", headers={"authorization": f"Bearer {known['token']}", "host": "api.example"}
    ),
}


def test_connection_that_died_while_idle_costs_no_request(
    client: TestClient, postgresql: psycopg.Connection, subtests: pytest.Subtests
) -> None:
    known = new_product(client)
    known["unsold"] = new_product(client, known, name="Unsold")["productId"]
    new_user(client, "ada")
    known["token"] = sign_in(client, "ada")
    for name, request in REQUESTS.items():
        with subtests.test(name):
            warm_up(client)
            end_all(postgresql)
            response = request(client, known)
            assert response.is_success, response.text
            for path in ("/stores", "/todos"):
                assert client.get(path).status_code == 200
            assert client.post("/todos", json={"task": "C"}).status_code == 201


def test_all_idle_connections_are_closed_when_one_is_dead(
    client: TestClient, postgresql: psycopg.Connection
) -> None:
    assert client.portal is not None
    processes = set()
    database = database_of(client)
    for pool in (database.to_write, database.to_read):
        links = [client.portal.call(pool.acquire) for _ in range(3)]
        for link in links:
            client.portal.call(pool.release, link)
            process = link.driver.info.backend_pid
            processes.add(process)
    # The one to be taken first.
    postgresql.execute("SELECT pg_terminate_backend(%s::int4)", [process])
    wait_until_gone(postgresql, {process})
    assert client.get("/stores").status_code == 200
    wait_until_gone(postgresql, processes)


@pytest.mark.usefixtures("postgresql")
def test_statement_that_is_cancelled_is_never_repeated(client: TestClient) -> None:
    """Its request was answered with 503, so that nothing must be done any more."""
    warm_up(client)
    database = database_of(client)
    pool = database.to_write

    async def cancelled() -> bool:
        link = await pool.acquire()  # which was idle
        statement = database.statement(select(func.pg_sleep(60)))
        task = asyncio.create_task(link.values(statement, {}))
        await asyncio.sleep(0.05)
        task.cancel()
        await asyncio.wait([task])
        await pool.release(link, roll_back=True)
        return task.cancelled()

    assert client.portal is not None
    assert client.portal.call(cancelled)


@needs_one_connection
@pytest.mark.parametrize("silent", [False, True])
def test_interrupted_statement_leaves_other_connections_open_if_the_server_answers(
    client: TestClient,
    postgresql: psycopg.Connection,
    monkeypatch: pytest.MonkeyPatch,
    silent: bool,
) -> None:
    warm_up(client)
    database = database_of(client)
    pool = database.to_read

    async def give_up(connection: psycopg.AsyncConnection, **_: float) -> None:
        await connection.close()  # as psycopg does when nothing comes

    async def others_are_open() -> bool:
        runs = f"SELECT count(*) {BACKENDS} AND state = 'active'"
        link, other = await pool.acquire(), await pool.acquire()
        await pool.release(other)
        statement = database.statement(select(func.pg_sleep(60)))
        task = asyncio.create_task(link.values(statement, {}))
        for _ in range(10_000):
            if postgresql.execute(runs).fetchone() == (1,):
                break
            await asyncio.sleep(0.001)
        if silent:
            monkeypatch.setattr(psycopg.AsyncConnection, "cancel_safe", give_up)
        task.cancel()
        await asyncio.wait([task])
        await pool.release(link)
        assert link.connection.closed
        return not other.connection.closed

    assert client.portal is not None
    assert client.portal.call(others_are_open) is not silent
    end_all(postgresql)  # it sleeps on


def test_request_that_is_out_of_time_is_not_carried_out_later(
    client: TestClient, postgresql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    warm_up(client)
    monkeypatch.setattr(database_of(client), "timeout", 0.3)
    with postgresql.transaction():
        postgresql.execute("LOCK TABLE stores IN ACCESS EXCLUSIVE MODE")
        problem(client.post("/stores", json=STORE), 503, "unavailable")
        time.sleep(0.1)  # longer than the first pause between two attempts
    waits = f"SELECT count(*) {BACKENDS} AND state <> 'idle'"
    while postgresql.execute(waits).fetchone() != (0,):
        time.sleep(0.01)
    assert client.get("/stores").json() == []


@needs_one_connection
def test_commit_is_never_repeated(
    client: TestClient, postgresql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody knows whether it has happened when the connection ends during it."""
    commit = psycopg.AsyncConnection.commit
    commits = 0

    async def commit_and_lose(self: psycopg.AsyncConnection) -> None:
        nonlocal commits
        commits += 1
        await commit(self)
        end_all(postgresql)
        await self.execute("SELECT 1")  # is not answered any more

    warm_up(client)
    with monkeypatch.context() as patch:
        patch.setattr(psycopg.AsyncConnection, "commit", commit_and_lose)
        problem(client.post("/stores", json=STORE), 503, "unavailable")
    assert commits == 1
    assert len(client.get("/stores").json()) == 1


@needs_shortcuts
@needs_one_connection
def test_commit_that_is_sent_with_an_insert_is_never_repeated(
    client: TestClient, postgresql: psycopg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch = PostgresConnection.fetch_last
    commits = 0

    async def commit_and_lose(
        self: PostgresConnection, statements: Any, commit: bool = False, *rest: Any
    ) -> Any:
        nonlocal commits
        rows = await fetch(self, statements, commit, *rest)
        if commit:
            commits += 1
            end_all(postgresql)
            await self.execute("SELECT 1")
        return rows

    product = new_product(client)
    warm_up(client)
    with monkeypatch.context() as patch:
        patch.setattr(PostgresConnection, "fetch_last", commit_and_lose)
        body = {"items": [{"productId": product["productId"], "quantity": 1}]}
        problem(client.post("/orders", json=body), 503, "unavailable")
    assert commits == 1
    assert len(client.get("/orders").json()) == 1


@pytest.mark.usefixtures("postgresql")
def test_options_in_the_url_count(database_url: str) -> None:
    url = make_url(database_url).update_query_dict(
        {"connect_timeout": "7", "application_name": "another"}
    )
    text = url.render_as_string(hide_password=False)
    with local_client(create_app(Settings(database_url=text))) as client:
        assert client.portal is not None
        pool = database_of(client).to_read
        connection = client.portal.call(pool.acquire)
        parameters = connection.driver.info.get_parameters()
        client.portal.call(pool.release, connection)
    assert (parameters["connect_timeout"], parameters["application_name"]) == ("7", "another")


# --- Schemas ------------------------------------------------------------------------------

ANEW = """
    BEGIN;
    ALTER TABLE {table} RENAME TO old;
    CREATE TABLE {table} (LIKE old INCLUDING ALL);
    INSERT INTO {table} SELECT * FROM old;
    DROP TABLE old;
    COMMIT
"""

POSTGRESQL_CHANGES = [
    [
        "ALTER TABLE stores ADD COLUMN note varchar(10) NOT NULL DEFAULT 'a'",
        "ALTER TABLE products ALTER COLUMN price TYPE numeric(14, 2)",
        "ALTER TABLE coupons ALTER COLUMN init_count TYPE bigint",
    ],
    [
        "ALTER TABLE stores ALTER COLUMN city TYPE varchar(300), DROP COLUMN note",
        "ALTER TABLE products ALTER COLUMN price TYPE double precision",
        "ALTER TABLE order_items ALTER COLUMN name TYPE text, ALTER COLUMN quantity TYPE bigint",
        "ALTER TABLE users ALTER COLUMN username TYPE text",
    ],
    [
        "ALTER TABLE stores ALTER COLUMN name TYPE text",
        "ALTER TABLE products ALTER COLUMN price TYPE numeric(12, 2)",
        "ALTER TABLE coupons ALTER COLUMN code TYPE text",
        "ALTER TABLE tokens ALTER COLUMN token_hash TYPE text",
    ],
    ["CREATE INDEX added ON products (description)"],
    [ANEW.format(table="idempotency_keys")],
]
SQLITE_CHANGES = [
    ["ALTER TABLE stores ADD COLUMN note varchar(10) NOT NULL DEFAULT 'a'"],
    ["ALTER TABLE stores DROP COLUMN note", "CREATE INDEX added ON products (description)"],
    [
        """
        BEGIN;
        CREATE TABLE made (
            key_hash text PRIMARY KEY, fingerprint text, created datetime, status bigint,
            location text, body text
        );
        INSERT INTO made SELECT key_hash, fingerprint, created, status, location, body
            FROM idempotency_keys;
        DROP TABLE idempotency_keys;
        ALTER TABLE made RENAME TO idempotency_keys;
        COMMIT
        """,
    ],
]


@pytest.fixture
def alterable(environment: dict[str, str], tmp_path: Path) -> str:
    """The URL of a database whose schema no other test minds."""
    return environment.get("DATABASE_URL", f"sqlite:///{tmp_path / 'orders.db'}")


def execute(url: str, *statements: str) -> None:
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60)) as connection:
            for statement in statements:
                connection.executescript(statement)
    else:
        with psycopg.connect(url, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)


def test_duplicate_under_an_index_added_by_hand_names_no_wrong_members(alterable: str) -> None:
    with local_client(create_app(Settings(database_url=alterable))) as client:
        execute(alterable, "CREATE UNIQUE INDEX added ON coupons (lower(code))")
        new_coupon(client, code="1.2")
        new_coupon(client, code="a")
        body = {"code": "A", "initCount": 1}
        answer = problem(client.post("/coupons", json=body), 409, "already-exists")
        assert answer["detail"] == "Another one with the same value exists already."


class Everything:
    """Requests that together run most statements there are."""

    def __init__(self, client: TestClient) -> None:
        self.client = client
        self.number = 0
        self.product = new_product(client)
        self.coupon = new_coupon(client, initCount=1_000_000)
        new_user(client, "ada")
        self.token = sign_in(client, "ada")

    def send(self) -> None:
        client, product = self.client, self.product
        self.number += 1
        name = f"{self.number}"
        key = {"idempotency-key": name}
        store = create(client, "/stores", STORE)
        assert client.get(f"/stores/{store['storeId']}").json() == store
        assert client.get("/products", params={"limit": 1}).json() == [product]
        assert client.get(f"/products/{product['productId']}").json() == product
        other = new_product(client, product, name=name, price=1.5)
        path = f"/products/{other['productId']}"
        assert client.patch(path, json={"price": 2.25}).json()["price"] == 2.25
        assert client.delete(path).status_code == 204
        body = {
            "items": [{"productId": product["productId"], "quantity": 2}],
            "couponCode": self.coupon["code"],
        }
        for replayed in (False, True):
            response = client.post("/orders", json=body, headers=key)
            assert (response.status_code, response.json()["total"]) == (201, 39.98)
            assert ("idempotent-replayed" in response.headers) == replayed
        order = response.json()
        assert client.get(f"/orders/{order['orderId']}").json() == order
        away = {"authorization": f"Bearer {self.token}", "host": "api.example"}
        assert client.get("/users", headers=away).status_code == 200
        assert sign_in(client, "ada")


@pytest.fixture
def prepares_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let psycopg prepare a statement as soon as it is run again."""
    connect: Any = psycopg.AsyncConnection.connect

    async def connect_to_prepare(cls: Any, *arguments: Any, **options: Any) -> Any:
        return await connect.__func__(cls, *arguments, **options, prepare_threshold=1)

    monkeypatch.setattr(psycopg.AsyncConnection, "connect", classmethod(connect_to_prepare))


@pytest.mark.usefixtures("prepares_at_once")
def test_changed_schema_costs_no_request(alterable: str) -> None:
    changes = SQLITE_CHANGES if alterable.startswith("sqlite") else POSTGRESQL_CHANGES
    with local_client(create_app(Settings(database_url=alterable))) as client:
        everything = Everything(client)
        for change in changes:
            for _ in range(1 if changes is SQLITE_CHANGES else 2):
                everything.send()
            execute(alterable, *change)
        everything.send()


@pytest.mark.parametrize("shortcuts", [True, False])
def test_value_that_no_driver_takes_is_refused_by_an_idle_connection_too(
    alterable: str, shortcuts: bool
) -> None:
    app = create_app(Settings(database_url=alterable, shortcuts=shortcuts))
    router = Router(prefix="/tasks")

    @router.get("/{number}")
    async def get_task(read: Read, number: int) -> TodoOut:
        return await read.get_or_404(TodoOut, number)

    @router.get("/{number}/same")
    async def list_same(read: Read, number: int) -> list[TodoOut]:
        query = select(Todo).where(col(Todo.todo_id) == number)
        return [TodoOut.model_validate(todo) for todo in await read.exec(query)]

    @router.post("/{number}", status_code=201)
    async def create_task(write: Write, number: int) -> TodoOut:
        return await write.create(Todo(todo_id=number, task="A"))

    app.include_router(router)
    with local_client(app) as client:
        for path in (f"/tasks/{2**70}", f"/tasks/{-(2**63) - 1}"):
            for _ in range(3):
                problem(client.get(path), 422, "invalid")
                problem(client.get(f"{path}/same"), 422, "invalid")
                problem(client.post(path), 422, "invalid")


@pytest.mark.slow  # quick: a changed schema costs no request
def test_schema_changes_under_load(alterable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # ALTER TABLE that rewrites a table is not MVCC-safe (PostgreSQL's manual, 13.6): transactions
    # with a snapshot from before, as serializable ones have while they wait, find it empty.
    monkeypatch.setenv("PGOPTIONS", r"-c default_transaction_isolation=read\ committed")
    changes = SQLITE_CHANGES if alterable.startswith("sqlite") else POSTGRESQL_CHANGES
    settings = Settings(database_url=alterable, database_timeout=60)
    with local_client(create_app(settings)) as client:
        product = new_product(client)
        is_over = False

        def read() -> set[int]:
            statuses = set()
            while not is_over:
                for path in (
                    "/stores",
                    "/products",
                    f"/products/{product['productId']}",
                    "/orders",
                ):
                    statuses.add(client.get(path).status_code)
            return statuses

        def write(number: int) -> set[int]:
            statuses = set()
            sent = 0
            while not is_over:
                sent += 1
                key = {"idempotency-key": f"{number}-{sent}"}
                body: Json = {"items": [{"productId": product["productId"], "quantity": 1}]}
                statuses.add(client.post("/orders", json=body, headers=key).status_code)
                body = {"name": f"{number}-{sent}", "price": 1, "storeId": product["storeId"]}
                response = client.post("/products", json=body)
                statuses.add(response.status_code)
                path = response.headers.get("location", "/")
                statuses.add(client.patch(path, json={"price": 2}).status_code)
            return statuses

        with ThreadPoolExecutor(4) as pool:
            tasks = [
                pool.submit(read),
                pool.submit(read),
                pool.submit(write, 1),
                pool.submit(write, 2),
            ]
            try:
                for change in changes:
                    for _ in range(ENOUGH):
                        assert client.get("/stores").status_code == 200
                    execute(alterable, *change)
            finally:
                is_over = True
            statuses = set().union(*(task.result() for task in tasks))
        assert statuses == {200, 201}


@pytest.mark.usefixtures("postgresql")
def test_prepared_statements_that_are_gone_cost_no_request(client: TestClient) -> None:
    everything = Everything(client)
    for _ in range(ENOUGH):
        everything.send()
    database = database_of(client)
    assert client.portal is not None
    for pool in (database.to_read, database.to_write):
        link = client.portal.call(pool.acquire)
        link.driver.pgconn.exec_(b"DISCARD ALL")
        client.portal.call(pool.release, link)
    everything.send()
    new_order(client, (everything.product, 1))
    new_store(client)


@pytest.mark.parametrize("shortcuts", [True, False])
def test_damaged_file_is_503_until_it_is_put_right(
    migrated_file: Path, tmp_path: Path, shortcuts: bool
) -> None:
    good = migrated_file.read_bytes()
    file = tmp_path / "orders.db"
    file.write_bytes(good)
    settings = Settings(database_url=f"sqlite:///{file}", shortcuts=shortcuts)
    with local_client(create_app(settings)) as client:
        create(client, "/todos", {"task": "A"})
        with closing(sqlite3.connect(file)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        for bad in (good[:4096] + b"x" * (len(good) - 4096), b"x" * len(good)):
            file.write_bytes(bad)
            for request in (REQUESTS["list"], REQUESTS["create"], REQUESTS["ready"]):
                answer = problem(request(client, {}), 503, "unavailable")
                assert answer["detail"] == "The database's file is damaged, or is no database."
        file.write_bytes(good)
        for request in (REQUESTS["list"], REQUESTS["create"], REQUESTS["ready"]):
            assert request(client, {}).is_success


def test_database_in_memory_is_freed_with_the_application_that_was_not_run() -> None:
    database = Database(Settings(database_url="sqlite://"))
    address = f"{database.url.database}?mode=memory&cache=shared"

    def tables() -> list[Any]:
        with closing(sqlite3.connect(address, uri=True)) as other:
            return other.execute("SELECT name FROM sqlite_master").fetchall()

    with closing(sqlite3.connect(address, uri=True)) as other:
        other.execute("CREATE TABLE things (name text)")
    assert tables() == [("things",)]
    del database
    gc.collect()
    assert tables() == []


def test_server_whose_file_is_removed_or_replaced_refuses_to_write(
    migrated_file: Path, tmp_path: Path
) -> None:
    file, other = tmp_path / "orders.db", tmp_path / "other.db"
    file.write_bytes(migrated_file.read_bytes())
    other.write_bytes(migrated_file.read_bytes())
    with local_client(create_app(Settings(database_url=f"sqlite:///{file}"))) as client:
        assert client.get("/ready").status_code == 200
        new_store(client)
        for change in (file.unlink, lambda: other.rename(file)):
            change()
            sentence = "The database's file was removed or replaced: start the server anew."
            assert problem(client.get("/ready"), 503, "not-migrated")["detail"] == sentence
            for path, body in (("/stores", STORE), ("/todos", {"task": "A"})):
                answer = client.post(path, json=body)
                assert problem(answer, 503, "unavailable")["detail"] == sentence
            assert len(client.get("/stores").json()) == 1
    assert file.read_bytes() == migrated_file.read_bytes()
