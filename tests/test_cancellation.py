"""Whoever is cancelled, however often, leaves the database as usable as it was."""

import asyncio
import inspect
import io
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from pathlib import Path
from shutil import copyfile
from types import SimpleNamespace
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlalchemy.util import await_only
from starlette.datastructures import State

from orders_api.models import Product, ProductIn, Todo
from orders_api.settings import Settings
from orders_api.storage.deadline import abandon_after
from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.storage.sqlite import SqliteConnection
from orders_api.storage.unit_of_work import UnitOfWork
from orders_api.web import line_bodies
from orders_api.web.line_bodies import import_body, temporary_file
from orders_api.web.sessions import Writer
from tests.test_groups import add, counting, tasks

Check = Callable[[Database], Awaitable[None]]
Checked = Callable[[Check], None]
LONG = 60


@pytest.fixture
def checked(
    client: TestClient,  # noqa: ARG001 - it deletes the rows on PostgreSQL
    database_url: str,
    migrated_file: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> Checked:
    url = database_url
    if url == "sqlite://":
        url = f"sqlite:///{copyfile(migrated_file, tmp_path / 'orders.db')}"

    @asynccontextmanager
    async def used() -> AsyncIterator[Database]:
        database = Database(Settings(database_url=url, database_timeout=LONG))
        try:
            yield database
        finally:
            await database.dispose()
            engines: list[Any] = [database.reader, database.writer]
            assert [engine.pool.checkedout() for engine in engines] == [0, 0]
            assert [engine.pool.checkedin() for engine in engines] == [0, 0]

    def run(check: Check) -> None:
        before = set(threading.enumerate())

        async def main() -> None:
            async with used() as database:
                await check(database)
            # A thread that is told to stop still has something to tell the event loop.
            left = set(threading.enumerate()) - before
            for thread in [one for one in left if "_connection_worker_thread" in one.name]:
                await asyncio.to_thread(thread.join, LONG)
                assert not thread.is_alive()

        asyncio.run(main())
        assert [one for one in caplog.records if one.name.startswith("sqlalchemy")] == []

    return run


async def cancel_again_and_again(task: asyncio.Task[Any]) -> None:
    """Cancel a task in each of its waits, as anyio does in a scope that is cancelled."""
    while not task.done():
        task.cancel()
        await asyncio.sleep(0)


@pytest.mark.parametrize("waits", range(12))
def test_transaction_that_is_cancelled_again_and_again_is_undone(
    checked: Checked, waits: int
) -> None:
    async def check(database: Database) -> None:
        async def write() -> None:
            async with UnitOfWork(database) as write:
                write.add(Todo(task="cancelled"))
                await write.flush()
                await asyncio.sleep(0)
                raise ZeroDivisionError

        task = asyncio.create_task(write())
        for _ in range(waits):
            await asyncio.sleep(0)
        await cancel_again_and_again(task)
        assert task.cancelled() or isinstance(task.exception(), ZeroDivisionError)
        await add(database, "later")
        assert await tasks(database) == ["later"]

    checked(check)


def test_connection_whose_statement_is_cancelled_again_and_again_is_not_used_again(
    checked: Checked,
) -> None:
    async def check(database: Database) -> None:
        connection = await database.to_write.acquire()
        started = asyncio.Event()

        async def read() -> None:
            started.set()
            connection.takes_long = True
            await connection.values(counting(database, 1_000_000), {})

        task = asyncio.create_task(read())
        await started.wait()
        await asyncio.sleep(0.01)
        await cancel_again_and_again(task)
        await database.to_write.release(connection)
        assert database.to_write.idle is None
        await add(database, "later")
        assert await tasks(database) == ["later"]

    checked(check)


def test_import_that_is_cancelled_ends_before_its_transaction(
    checked: Checked, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, goes_on = asyncio.Event(), asyncio.Event()

    def insert(*_: Any) -> Iterator[list[Any]]:
        begun.set()
        try:
            await_only(asyncio.Event().wait())
        except asyncio.CancelledError:
            await_only(goes_on.wait())
            raise
        yield []

    async def check(database: Database) -> None:
        async def is_disconnected() -> bool:
            return False

        app = SimpleNamespace(state=State({"database": database, "settings": Settings()}))
        request: Any = SimpleNamespace(app=app, is_disconnected=is_disconnected)
        line = b'{"storeId": "01890000-0000-7000-8000-000000000000", "name": "A", "price": 1}\n'

        async def do() -> None:
            async with Writer(request) as write:
                await import_body(write, Product, ProductIn, io.BytesIO(line), False)

        task = asyncio.create_task(do())
        await begun.wait()
        task.cancel()
        for _ in range(100):
            await asyncio.sleep(0)
        assert database.to_write.idle is None, "others would get what is still in use"
        goes_on.set()
        await asyncio.wait([task])
        assert task.cancelled()
        await add(database, "later")
        assert await tasks(database) == ["later"]

    monkeypatch.setattr(line_bodies, "insert_lines", insert)
    checked(check)


def test_end_waits_for_what_nobody_waits_for_any_more(checked: Checked) -> None:
    async def check(database: Database) -> None:
        await add(database, "A")
        begun = asyncio.Event()
        ended = False

        async def work(_: PooledConnection) -> None:
            nonlocal ended
            begun.set()
            try:
                await asyncio.Event().wait()
            finally:
                for __ in range(100):
                    await asyncio.sleep(0)
                ended = True

        task = asyncio.create_task(abandon_after(LONG, database.read(work)))
        await begun.wait()
        task.cancel()
        await asyncio.wait([task])
        await database.dispose()
        assert ended

    checked(check)


def test_work_that_has_not_begun_is_closed() -> None:
    async def never() -> None:
        raise AssertionError

    async def check() -> None:
        work = never()
        waiting = asyncio.create_task(abandon_after(LONG, work))
        asyncio.get_running_loop().call_soon(waiting.cancel)  # before the work's own task runs
        await asyncio.wait([waiting])
        await asyncio.sleep(0)
        assert inspect.getcoroutinestate(work) == inspect.CORO_CLOSED

    asyncio.run(check())


def test_temporary_file_is_closed_when_no_thread_is_free() -> None:
    async def check() -> None:
        executor = ThreadPoolExecutor(1)
        asyncio.get_running_loop().set_default_executor(executor)
        is_free = threading.Event()
        executor.submit(is_free.wait)
        files = []

        async def use() -> None:
            async with temporary_file() as file:
                files.append(file)

        task = asyncio.create_task(use())
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.wait([task])
        is_free.set()
        await asyncio.to_thread(lambda: None)
        assert files[0].closed

    asyncio.run(check())


def test_sqlite_connection_can_be_closed_twice() -> None:
    connection = sqlite3.connect(":memory:", factory=SqliteConnection)
    cursor = connection.execute("SELECT 1 UNION SELECT 2")
    connection.close()
    connection.close()
    with pytest.raises(sqlite3.ProgrammingError):
        cursor.fetchone()
