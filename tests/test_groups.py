"""SQLite's transactions that wait for the disk together, and reads that take long."""

import asyncio
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from shutil import copyfile

import pytest
from sqlalchemy import func, literal, text
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlmodel import col, select

from orders_api.models import Todo, TodoOut
from orders_api.settings import Settings
from orders_api.storage import sqlite
from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.storage.errors import StaleConnectionError
from orders_api.storage.projection import by_key, projection_of
from orders_api.storage.statements import Statement
from orders_api.storage.unit_of_work import UnitOfWork
from tests.conftest import needs_shortcuts

pytestmark = needs_shortcuts


class Disk:
    """Commits as they are asked for; each waits until it is let go on, or fails."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.commits = 0
        self.reached = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.goes_on.set()
        self.failure: Exception | None = None
        commit = PooledConnection.commit

        async def wait(connection: PooledConnection) -> None:
            self.commits += 1
            self.reached.set()
            await self.goes_on.wait()
            if self.failure:
                raise self.failure
            await commit(connection)

        monkeypatch.setattr(PooledConnection, "commit", wait)


Check = Callable[[Database, Disk], Awaitable[None]]


@pytest.fixture
def checked(
    migrated_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    def run(check: Check, seconds: float = 60) -> None:
        async def main() -> None:
            file = copyfile(migrated_file, tmp_path / "orders.db")
            url = f"sqlite:///{file}"
            database = Database(Settings(database_url=url, database_timeout=seconds))
            try:
                await check(database, Disk(monkeypatch))
            finally:
                await database.dispose()

        asyncio.run(main())

    return run


async def add(database: Database, task: str, number: int | None = None) -> None:
    async with UnitOfWork(database) as write:
        await write.insert(Todo(task=task, todo_id=number) if number else Todo(task=task))


async def tasks(database: Database) -> list[str]:
    statement = database.statement(select(col(Todo.task)).order_by(col(Todo.todo_id)))
    return [task for (task,) in await database.read(lambda c: c.values(statement, {}))]


def counting(database: Database, most: int | None = None) -> Statement:
    """Return a query that counts up to a number, or without an end."""
    numbers = select(literal(1).label("n")).cte("numbers", recursive=True)
    following = select(numbers.c.n + 1)
    if most:
        following = following.where(numbers.c.n < most)
    return database.statement(select(func.count()).select_from(numbers.union_all(following)))


async def settle() -> None:
    for _ in range(50):
        await asyncio.sleep(0.001)


@asynccontextmanager
async def one_at_the_disk(database: Database, disk: Disk) -> AsyncIterator[None]:
    """Have others wait while the commit of a first one does not end."""
    disk.goes_on.clear()
    disk.reached.clear()
    first = asyncio.create_task(add(database, "first", 1))
    await disk.reached.wait()
    yield
    assert not first.done(), "it is not durable yet"
    disk.goes_on.set()
    with suppress(OperationalError):
        await first


def test_those_who_wait_are_committed_together(checked: Callable[..., None]) -> None:
    async def check(database: Database, disk: Disk) -> None:
        async with one_at_the_disk(database, disk):
            others = [asyncio.create_task(add(database, f"{n}")) for n in range(10)]
            await settle()
            assert await tasks(database) == []
        await asyncio.gather(*others)
        assert await tasks(database) == ["first", *(f"{n}" for n in range(10))]
        assert disk.commits == 2

    checked(check)


def test_each_of_a_group_has_its_own_success_or_failure(checked: Callable[..., None]) -> None:
    async def check(database: Database, disk: Disk) -> None:
        async with one_at_the_disk(database, disk):
            adds = [add(database, f"{n}", n) for n in (2, 2, 3, 2, 4)]
            others = [asyncio.create_task(one) for one in adds]
            await settle()
        results = await asyncio.gather(*others, return_exceptions=True)
        assert [type(result) for result in results] == [
            *(type(None), IntegrityError, type(None), IntegrityError, type(None))
        ]
        assert await tasks(database) == ["first", "2", "3", "4"]

    checked(check)


def test_none_of_a_group_is_kept_that_cannot_be_committed(checked: Callable[..., None]) -> None:
    async def check(database: Database, disk: Disk) -> None:
        async with one_at_the_disk(database, disk):
            others = [asyncio.create_task(add(database, f"{n}")) for n in range(3)]
            await settle()
            disk.failure = OperationalError("COMMIT", None, sqlite3.OperationalError("full"))
        results = await asyncio.gather(*others, return_exceptions=True)
        assert {type(result) for result in results} == {OperationalError}
        disk.failure = None
        assert await tasks(database) == []
        await add(database, "later")
        assert await tasks(database) == ["later"]

    checked(check)


def test_each_of_a_group_that_breaks_a_deferred_rule_is_to_be_repeated(
    checked: Callable[..., None],
) -> None:
    async def check(database: Database, disk: Disk) -> None:
        async with database.writer.begin() as connection:
            await connection.execute(text("CREATE TABLE parents (id INTEGER PRIMARY KEY)"))
            await connection.execute(
                text(
                    "CREATE TABLE children (parent INTEGER REFERENCES parents (id)"
                    " DEFERRABLE INITIALLY DEFERRED)"
                )
            )

        async def add_child() -> None:
            async with UnitOfWork(database) as write:
                connection = await write.pooled_connection()
                connection.execute_here("INSERT INTO children VALUES (1)")

        async with one_at_the_disk(database, disk):
            others = [asyncio.create_task(one) for one in (add(database, "A"), add_child())]
            await settle()
        results = await asyncio.gather(*others, return_exceptions=True)
        assert [type(result) for result in results] == [StaleConnectionError] * 2
        await add(database, "A")
        with pytest.raises(IntegrityError):
            await add_child()
        assert await tasks(database) == ["first", "A"]

    checked(check)


def test_end_of_the_server_waits_until_all_is_undone(checked: Callable[..., None]) -> None:
    async def check(database: Database, _: Disk) -> None:
        await add(database, "first", 1)
        with pytest.raises(IntegrityError):
            await add(database, "second", 1)  # not waited for, as there is nothing to be kept
        await database.dispose()
        with closing(sqlite3.connect(str(database.url.database), timeout=0)) as other:
            other.execute("BEGIN IMMEDIATE")

    checked(check)


def test_group_that_sqlite_has_undone_is_to_be_repeated(checked: Callable[..., None]) -> None:
    """As it does when the disk is full, or memory."""

    async def check(database: Database, disk: Disk) -> None:
        async def undo() -> None:
            async with UnitOfWork(database) as write:
                (await write.pooled_connection()).execute_here("ROLLBACK")

        async with one_at_the_disk(database, disk):
            others = [
                asyncio.create_task(one)
                for one in (add(database, "A"), undo(), add(database, "B"), undo())
            ]
            await settle()
        results = await asyncio.gather(*others, return_exceptions=True)
        assert results[0].__class__ is StaleConnectionError
        assert results[1].__class__ is StaleConnectionError
        kept = [task for task, result in zip("AxBx", results, strict=True) if result is None]
        assert await tasks(database) == ["first", *kept]

    checked(check)


def test_who_may_take_long_begins_when_those_before_are_durable(
    checked: Callable[..., None],
) -> None:
    async def check(database: Database, disk: Disk) -> None:
        released = asyncio.Event()

        async def take_long() -> None:
            async with UnitOfWork(database) as write:
                write.add(Todo(task="long"))
                await write.flush()
                await released.wait()

        async with one_at_the_disk(database, disk):
            before = [asyncio.create_task(add(database, f"{n}")) for n in range(2)]
            await settle()
            long = asyncio.create_task(take_long())
            await settle()
            after = asyncio.create_task(add(database, "after"))
            await settle()
        await asyncio.gather(*before)
        assert not after.done()
        released.set()
        await asyncio.gather(long, after)
        assert await tasks(database) == ["first", "0", "1", "long", "after"]
        assert disk.commits == 3

    checked(check)


@pytest.mark.parametrize("steps", range(0, 12, 2))
def test_who_is_cancelled_holds_up_nobody(checked: Callable[..., None], steps: int) -> None:
    async def check(database: Database, disk: Disk) -> None:
        async with one_at_the_disk(database, disk):
            others = [asyncio.create_task(add(database, f"{n}", 10 + n)) for n in range(6)]
            await settle()
            for task in others[::2]:
                task.cancel() if steps == 0 else None
        for _ in range(steps):
            await asyncio.sleep(0)
        for task in others[::2]:
            task.cancel()
        results = await asyncio.gather(*others, return_exceptions=True)
        assert results[1::2] == [None] * 3
        await add(database, "last", 100)
        found = await tasks(database)
        assert {"first", "1", "3", "5", "last"} <= set(found)
        assert len(set(found)) == len(found)

    checked(check)


def test_savepoints_of_sessions_work_in_a_group(checked: Callable[..., None]) -> None:
    async def check(database: Database, disk: Disk) -> None:
        async def fail() -> None:
            async with UnitOfWork(database) as write:
                await write.insert(Todo(task="lost"))
                write.add(Todo(task="lost", todo_id=1))
                await write.flush()

        async def go_on() -> None:
            async with UnitOfWork(database) as write:
                with suppress(IntegrityError):
                    async with write.begin_nested():
                        write.add(Todo(task="lost", todo_id=1))
                write.add(Todo(task="kept"))

        async def roll_back() -> None:
            async with UnitOfWork(database) as write:
                write.add(Todo(task="lost"))
                await write.flush()
                await write.rollback()
                await write.insert(Todo(task="kept, too"))

        async with one_at_the_disk(database, disk):
            others = [asyncio.create_task(one()) for one in (fail, go_on, roll_back)]
            others.append(asyncio.create_task(add(database, "A")))
            await settle()
        results = await asyncio.gather(*others, return_exceptions=True)
        assert [type(result) for result in results] == [IntegrityError, *[type(None)] * 3]
        assert sorted(await tasks(database)) == ["A", "first", "kept", "kept, too"]

    checked(check)


@contextmanager
def another_writer(database: Database) -> Iterator[None]:
    """Write as another process does, which has not committed yet."""
    with closing(sqlite3.connect(str(database.url.database), isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield
        other.execute("COMMIT")


def test_writer_waits_for_another_process(checked: Callable[..., None]) -> None:
    async def check(database: Database, _: Disk) -> None:
        assert await tasks(database) == []
        with another_writer(database):
            task = asyncio.create_task(add(database, "A"))
            await settle()
            assert not task.done()
            assert await tasks(database) == []  # nobody else waits for it
        await task
        assert await tasks(database) == ["A"]

    checked(check)


def test_wait_for_another_process_has_an_end(checked: Callable[..., None]) -> None:
    async def check(database: Database, _: Disk) -> None:
        assert await tasks(database) == []
        with another_writer(database), pytest.raises(TimeoutError):
            await add(database, "A")
        await add(database, "B")
        assert await tasks(database) == ["B"]

    checked(check, seconds=0.3)


# --- Reads that take long -----------------------------------------------------------------


def test_read_that_takes_long_goes_on_in_a_thread(
    checked: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite, "STEPS", 200)
    handed_over: list[bool] = []
    read = sqlite.ShortStatements.read

    def note(*arguments: object) -> object:
        try:
            result = read(*arguments)  # type: ignore[arg-type]  # passed on as they are
        except sqlite.TakesLongError:
            handed_over.append(True)
            raise
        handed_over.append(False)
        return result

    monkeypatch.setattr(sqlite.ShortStatements, "read", note)

    async def check(database: Database, disk: Disk) -> None:
        assert disk.commits == 0
        async with database.writer.begin() as connection:
            rows = ", ".join(f"(1, '{n}', false)" for n in range(300))
            await connection.execute(
                text(f"INSERT INTO todos (version, task, complete) VALUES {rows}")
            )
        handed_over.clear()
        for __ in range(30):  # more than there are connections
            assert len(await tasks(database)) == 300
        assert handed_over == [True] * 30  # in the second pool it goes on in a thread
        snapshot = await database.to_read.acquire()  # as `read.snapshot()` keeps it
        listing = database.statement(select(col(Todo.task)))
        assert len(await snapshot.values(listing, {})) == 300
        await database.to_read.release(snapshot)
        handed_over.clear()
        statement = database.statement(by_key(TodoOut))
        for __ in range(100):
            found = await database.rows(statement, {"key": 7})
            assert projection_of(TodoOut).objects(*found)[0].task == "6"
        assert handed_over == [False] * 100, "what is short stays, however often it runs"
        handed_over.clear()
        listed, _ = await database.rows(listing, {})
        assert len(list(listed)) == 300
        assert handed_over == [True]
        handed_over.clear()
        some = database.statement(select(col(Todo.task)).where(col(Todo.task).icontains("29")))
        assert len(await database.read(lambda c: c.values(some, {}))) == 13
        listed, _ = await database.rows(some, {})
        assert len(list(listed)) == 13
        assert handed_over == [], "a search in texts does not even begin here"
        async with UnitOfWork(database) as write:
            await write.insert(Todo(task="A"))
            own = await write.pooled_connection()
            assert len(await own.values(listing, {})) == 301, "of one's own transaction"

    checked(check)


def test_interrupted_read_leaves_other_connections_open(checked: Callable[..., None]) -> None:
    async def check(database: Database, _: Disk) -> None:
        pool = database.to_read
        link, other = await pool.acquire(), await pool.acquire()
        await pool.release(other)
        endless = counting(database)
        task = asyncio.create_task(link.values(endless, {}))
        await settle()
        task.cancel()
        await asyncio.wait([task])
        await pool.release(link)
        assert task.cancelled()
        assert link.connection.closed
        assert not other.connection.closed

    checked(check)


def test_short_read_ends_without_a_wait(checked: Callable[..., None]) -> None:
    async def check(database: Database, _: Disk) -> None:
        await add(database, "A")
        statement = database.statement(by_key(TodoOut))
        await database.rows(statement, {"key": 1})  # which opens a connection
        with pytest.raises(StopIteration) as ended:
            database.rows(statement, {"key": 1}).send(None)
        assert projection_of(TodoOut).objects(*ended.value.value)[0].task == "A"

    checked(check)


def test_short_read_that_fails_leaves_the_connection_in_order(checked: Callable[..., None]) -> None:
    async def check(database: Database, _: Disk) -> None:
        await add(database, "A")
        statement = database.statement(by_key(TodoOut))
        await database.rows(statement, {"key": 1})
        await _rename(database, "todos", "elsewhere")
        for __ in range(2):
            with pytest.raises(OperationalError, match="no such table: todos"):
                await database.rows(statement, {"key": 1})
        await _rename(database, "elsewhere", "todos")
        assert await tasks(database) == ["A"]

    checked(check)


async def _rename(database: Database, name: str, new: str) -> None:
    async with database.writer.begin() as connection:
        await connection.execute(text(f"ALTER TABLE {name} RENAME TO {new}"))


def test_read_for_which_nobody_waits_any_more_is_interrupted(checked: Callable[..., None]) -> None:
    async def check(database: Database, disk: Disk) -> None:
        assert disk.commits == 0
        endless = counting(database)
        others = set(threading.enumerate())
        for _ in range(5):  # more than there may be at once
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await database.read(lambda c: c.values(endless, {}))
        while set(threading.enumerate()) - others:
            await database.close_idle()
            await database.reader.dispose()  # of one that was opened for nobody
            await asyncio.sleep(0.001)

    checked(check)
