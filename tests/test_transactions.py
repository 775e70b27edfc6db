"""Transactions that collide are repeated; what was acknowledged is kept."""

import asyncio
import gc
import shutil
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import sqlalchemy.exc
from fastapi import FastAPI, Request, Response
from fastapi.testclient import TestClient
from sqlalchemy import event, func
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import select

from orders_api.app import create_app
from orders_api.models import Todo
from orders_api.settings import Settings
from orders_api.storage.engines import Database
from orders_api.storage.unit_of_work import UnitOfWork
from orders_api.web import retries
from orders_api.web.retries import retry_on_conflict
from tests.conftest import database_of, local_client
from tests.samples import STORE, new_coupon, new_product, problem


class CollisionError(Exception):
    """What a driver raises when a transaction had to be rolled back."""

    def __init__(self, sqlstate: str) -> None:
        super().__init__("could not serialize access")
        self.sqlstate = sqlstate


def error(sqlstate: str) -> Exception:
    return sqlalchemy.exc.OperationalError("", {}, CollisionError(sqlstate))


class Fault:
    """Fails the statements that contain some words, a number of times."""

    def __init__(self, client: TestClient, words: str, failure: Exception, times: int) -> None:
        self.engine = database_of(client).writer.sync_engine
        self.words, self.failure, self.times = words, failure, times
        self.met = 0

    def __call__(self, _connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if self.words in statement:
            self.met += 1
            if self.met <= self.times:
                raise self.failure

    def __enter__(self) -> "Fault":
        event.listen(self.engine, "before_cursor_execute", self)
        return self

    def __exit__(self, *_: object) -> None:
        event.remove(self.engine, "before_cursor_execute", self)


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retries, "LONGEST_PAUSE", 0.001)


@pytest.mark.parametrize("failure", [error("40001"), error("40P01"), StaleDataError("changed")])
def test_collision_is_repeated_whole(client: TestClient, failure: Exception) -> None:
    coupon = new_coupon(client)
    product = new_product(client)
    body = {
        "items": [{"productId": product["productId"], "quantity": 1}],
        "couponCode": coupon["code"],
    }
    headers = {"idempotency-key": "a"}
    with Fault(client, "INSERT INTO order_items", failure, times=4) as fault:
        response = client.post("/orders", json=body, headers=headers)
    assert (response.status_code, fault.met) == (201, 5)
    assert len(client.get("/orders").json()) == 1
    [changed] = client.get("/coupons").json()
    assert changed["remainingCount"] == coupon["remainingCount"] - 1


def test_collisions_without_end_are_503_when_the_time_is_over_and_change_nothing(
    database_url: str,
) -> None:
    settings = Settings(database_url=database_url, database_timeout=0.5)
    with local_client(create_app(settings)) as client:
        assert client.get("/ready").status_code == 200  # so that a connection is there
        with Fault(client, "INSERT INTO stores", error("40001"), times=1_000_000) as fault:
            response = client.post("/stores", json=STORE)
        problem(response, 503, "unavailable")
        assert response.headers["retry-after"] == "1"
        assert fault.met > 1
        assert client.get("/stores").json() == []


def test_collisions_are_repeated_for_as_long_as_there_is_time(client: TestClient) -> None:
    with Fault(client, "INSERT INTO stores", error("40001"), times=7) as fault:
        assert client.post("/stores", json=STORE).status_code == 201
    assert fault.met == 8


def test_log_tells_how_many_attempts_a_request_took(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "orders_api")
    with Fault(client, "INSERT INTO stores", error("40001"), times=2):
        client.post("/stores", json=STORE)
    client.post("/stores", json=STORE)
    first, second = (record.args for record in caplog.records if isinstance(record.args, dict))
    assert first["attempts"] == 3
    assert "attempts" not in second


def test_lost_connection_is_not_repeated(client: TestClient) -> None:
    """Nobody knows then whether the commit has happened."""
    with Fault(client, "INSERT INTO stores", error("08006"), times=1) as fault:
        problem(client.post("/stores", json=STORE), 503, "unavailable")
    assert fault.met == 1
    assert client.get("/stores").json() == []


def test_request_whose_time_is_over_is_not_repeated() -> None:
    """It has been answered with 503, so it must not happen later, whatever ends its statement."""
    calls = 0

    async def answer(_: Request) -> Response:
        nonlocal calls
        calls += 1
        task = asyncio.current_task()
        assert task
        task.cancel()
        raise error("40001")

    app = FastAPI()
    app.state.database = SimpleNamespace(timeout=60)
    request = Request({"type": "http", "app": app})
    with pytest.raises(sqlalchemy.exc.OperationalError):
        asyncio.run(retry_on_conflict(answer, request))
    assert calls == 1


@pytest.mark.parametrize("place", ["sqlite://", "sqlite:///orders.db"])
def test_statement_that_was_cancelled_leaves_no_lock_in_sqlite(
    place: str, migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Garbage is not collected meanwhile, as the cursor with rows that nobody fetched is."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(migrated_file, "orders.db")
    runs, goes_on = threading.Event(), threading.Event()

    def pause() -> int:
        runs.set()
        return goes_on.wait()

    async def main() -> None:
        database = Database(Settings(database_url=place, database_timeout=600))
        await database.migrate_if_empty()
        event.listen(
            database.writer.sync_engine,
            "connect",
            lambda opened, _: opened.run_async(lambda raw: raw.create_function("pause", 0, pause)),
        )

        async def read() -> None:
            async with UnitOfWork(database) as write:
                write.add_all([Todo(task="A"), Todo(task="B")])
                await write.exec(select(Todo.task, func.pause()))

        task = asyncio.create_task(read())
        await asyncio.to_thread(runs.wait)
        task.cancel()
        goes_on.set()
        with pytest.raises(asyncio.CancelledError):
            await task
        try:
            async with UnitOfWork(database) as write:
                assert (await write.exec(select(Todo))).all() == []
                write.add(Todo(task="C"))
        finally:
            await database.dispose()

    gc.disable()
    try:
        asyncio.run(main())
    finally:
        gc.enable()
