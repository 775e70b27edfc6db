"""The invariants of the pool: who holds a connection, for how long, and what happens on failure."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.util import await_only, greenlet_spawn

from orders_api.storage.driver import PooledConnection
from orders_api.storage.pool import ConnectionPool
from orders_api.storage.sqlite import prepare_connection

SIZE = 3


class Server:
    """A database that refuses new connections while it is told to."""

    def __init__(self, engine: AsyncEngine, seconds: float) -> None:
        self.engine = engine
        self.pool = ConnectionPool(engine, SIZE, seconds)
        self.opened = 0
        self.refuses = False

    def connect(self, *_: Any) -> None:
        if self.refuses:
            raise sqlite3.OperationalError("too many clients")
        self.opened += 1


@asynccontextmanager
async def served(folder: Path, seconds: float = 60) -> AsyncIterator[Server]:
    engine = create_async_engine(
        f"sqlite+aiosqlite:///{folder / 'orders.db'}", pool_size=SIZE, max_overflow=0
    )
    server = Server(engine, seconds)
    event.listen(engine.sync_engine, "do_connect", server.connect)
    event.listen(engine.sync_engine, "connect", prepare_connection)
    try:
        yield server
    finally:
        await server.pool.close_idle()
        for _ in range(10_000):  # what was opened for a cancelled task is given back meanwhile
            if engine.pool.checkedout() == 0:  # type: ignore[attr-defined]  # a QueuePool
                break
            await asyncio.sleep(0.001)
        assert engine.pool.checkedout() == 0, "a connection is lost"  # type: ignore[attr-defined]  # a QueuePool
        await engine.dispose()


Check = Callable[[Server], Awaitable[None]]


@pytest.fixture
def checked(tmp_path: Path) -> Callable[..., None]:
    def run(check: Check, **options: Any) -> None:
        async def main() -> None:
            async with served(tmp_path, **options) as server:
                await check(server)

        asyncio.run(main())

    return run


async def release_all(pool: ConnectionPool, connections: Iterable[PooledConnection]) -> None:
    for connection in connections:
        await pool.release(connection)


async def acquire_sometime(pool: ConnectionPool) -> PooledConnection:
    """Acquire a connection from a pool that waits no longer than it may take to open one."""
    while True:
        with suppress(TimeoutError):
            return await pool.acquire()


async def settle() -> None:
    """Let all other tasks come as far as they can without a connection of somebody else."""
    for _ in range(100):
        await asyncio.sleep(0.001)


def test_connection_released_last_is_taken_first(checked: Callable[..., None]) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        connections = [await pool.acquire() for _ in range(SIZE)]
        await release_all(pool, connections)
        assert [await pool.acquire() for _ in range(SIZE)] == connections[::-1]
        assert server.opened == SIZE
        await release_all(pool, connections)

    checked(check)


def test_no_more_than_its_size_are_open_and_turns_are_in_order(
    checked: Callable[..., None],
) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        connections = [await pool.acquire() for _ in range(SIZE)]
        served: list[int] = []

        async def use(number: int) -> None:
            connection = await pool.acquire()
            served.append(number)
            await pool.release(connection)

        tasks = [asyncio.create_task(use(number)) for number in range(5)]
        await settle()
        assert served == []
        await release_all(pool, connections)
        await asyncio.gather(*tasks)
        assert served == [0, 1, 2, 3, 4]
        assert server.opened == SIZE

    checked(check)


def test_idle_connections_serve_while_new_ones_are_refused(checked: Callable[..., None]) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        connection = await pool.acquire()
        await pool.release(connection)
        server.refuses = True
        for _ in range(2 * SIZE):
            assert await pool.acquire() is connection
            await pool.release(connection)

    checked(check)


def test_who_is_refused_takes_what_is_released_next(checked: Callable[..., None]) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        connection = await pool.acquire()
        server.refuses = True
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(SIZE)]
        await settle()
        assert not any(task.done() for task in waiting)
        for task in waiting:
            await pool.release(connection)
            assert await task is connection
        await pool.release(connection)
        server.refuses = False
        connections = [await pool.acquire() for _ in range(SIZE)]
        assert server.opened == SIZE
        await release_all(pool, connections)

    checked(check)


def test_who_is_refused_tries_again_when_another_one_is_closed(
    checked: Callable[..., None],
) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        broken = await pool.acquire()
        server.refuses = True
        task = asyncio.create_task(pool.acquire())
        await settle()
        server.refuses = False
        await greenlet_spawn(broken.connection.invalidate)
        await pool.release(broken)
        await pool.release(await task)

    checked(check)


def test_all_who_are_refused_are_told_so_when_nothing_is_left_to_wait_for(
    checked: Callable[..., None],
) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        broken = await pool.acquire()
        server.refuses = True
        waiting = [asyncio.create_task(pool.acquire()) for _ in range(SIZE - 1)]
        await settle()
        await greenlet_spawn(broken.connection.invalidate)
        await pool.release(broken)
        refused = await asyncio.gather(*waiting, return_exceptions=True)
        assert [type(error) for error in refused] == [OperationalError] * (SIZE - 1)

    checked(check)


def test_refusal_is_raised_when_there_is_nothing_to_wait_for(checked: Callable[..., None]) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        server.refuses = True
        for _ in range(2 * SIZE):
            with pytest.raises(OperationalError):
                await pool.acquire()
        server.refuses = False
        connections = [await pool.acquire() for _ in range(SIZE)]
        await release_all(pool, connections)

    checked(check)


def test_what_is_idle_elsewhere_makes_room_when_nothing_is_held(
    checked: Callable[..., None],
) -> None:
    async def check(server: Server) -> None:
        async def close_all_idle() -> None:
            server.refuses = False

        pool = ConnectionPool(server.engine, SIZE, 60, close_all_idle=close_all_idle)
        server.refuses = True
        await pool.release(await pool.acquire())
        await pool.close_idle()

    checked(check)


def test_broken_connection_takes_all_idle_ones_with_it(checked: Callable[..., None]) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        connections = [await pool.acquire() for _ in range(SIZE)]
        await release_all(pool, connections[1:])
        await greenlet_spawn(connections[0].connection.invalidate)
        await pool.release(connections[0])
        assert all(connection.connection.closed for connection in connections)
        await pool.release(await pool.acquire())
        assert server.opened == SIZE + 1

    checked(check)


def test_wait_has_an_end(checked: Callable[..., None]) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        connections = [await acquire_sometime(pool) for _ in range(SIZE)]
        with pytest.raises(TimeoutError):
            await pool.acquire()
        await release_all(pool, connections)
        assert await pool.acquire() in connections
        await pool.release(connections[-1])

    checked(check, seconds=0.1)


def test_connection_on_which_a_rollback_does_not_end_is_closed(
    checked: Callable[..., None],
) -> None:
    async def check(server: Server) -> None:
        connection = await acquire_sometime(server.pool)
        connection.connection.begin()
        event.listen(
            server.engine.sync_engine, "rollback", lambda _: await_only(asyncio.sleep(3600))
        )
        await server.pool.release(connection, roll_back=True)
        assert connection.connection.closed
        another = await acquire_sometime(server.pool)
        assert another is not connection
        await server.pool.release(another)

    checked(check, seconds=0.1)


@pytest.mark.parametrize("refuses", [False, True])
def test_cancelled_task_loses_nothing(checked: Callable[..., None], refuses: bool) -> None:
    """Wherever it is: it waits for its turn, for a new connection, or for one to be released."""

    async def check(server: Server) -> None:
        pool = server.pool
        for steps in range(0, 40, 3):
            await pool.close_idle()
            server.refuses = False
            connections = [await pool.acquire() for _ in range(SIZE - 1)]
            server.refuses = refuses

            async def use() -> None:
                connection = await pool.acquire()
                try:
                    await asyncio.sleep(0)
                finally:
                    await pool.release(connection, roll_back=True)

            tasks = [asyncio.create_task(use()) for _ in range(3)]
            for step in range(steps):
                await asyncio.sleep(0.0002)
                if step == steps // 2:
                    await pool.release(connections.pop())
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await release_all(pool, connections)
            server.refuses = False
            connections = await asyncio.gather(*(pool.acquire() for _ in range(SIZE)))
            assert len(set(connections)) == SIZE
            await release_all(pool, connections)

    checked(check)


@pytest.mark.parametrize("others", [0, 1])
def test_who_is_refused_takes_what_became_idle_meanwhile(
    checked: Callable[..., None], others: int
) -> None:
    async def check(server: Server) -> None:
        pool = server.pool
        connection, *held = [await pool.acquire() for _ in range(1 + others)]
        released = asyncio.Event()

        async def refuse() -> None:
            await released.wait()
            raise sqlite3.OperationalError("too many clients")

        event.listen(server.engine.sync_engine, "do_connect", lambda *_: await_only(refuse()))
        task = asyncio.create_task(pool.acquire())
        await settle()
        await pool.release(connection)
        released.set()
        assert await task is connection
        for one in [connection, *held]:
            await pool.release(one)

    checked(check)


def test_rollback_that_is_cancelled_with_all_tasks_ends(checked: Callable[..., None]) -> None:
    """As the event loop cancels them when the server stops."""

    async def check(server: Server) -> None:
        threads = {*threading.enumerate()}
        held = await server.pool.acquire()
        threads = {*threading.enumerate()} - threads
        goes_on = threading.Event()
        await held.driver.create_function("wait", 0, goes_on.wait)
        busy = asyncio.create_task(held.driver.execute_fetchall("SELECT wait()"))
        release = asyncio.create_task(server.pool.release(held, roll_back=True))
        await settle()
        others = asyncio.all_tasks() - {asyncio.current_task(), busy}
        assert release in others
        for task in others:
            task.cancel()
        await settle()
        goes_on.set()
        _, unfinished = await asyncio.wait(others, timeout=30)
        assert not unfinished
        for thread in threads:
            await asyncio.to_thread(thread.join)

    checked(check)
