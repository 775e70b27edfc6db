"""The connection to PostgreSQL: what it leaves out of psycopg's way must not be missed."""

import asyncio
import socket
import struct
from collections.abc import Awaitable, Callable
from itertools import permutations
from socket import AF_UNIX
from typing import Any
from unittest.mock import Mock

import psycopg
import pytest
import uvloop
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from orders_api.storage.postgresql import PostgresConnection
from tests.conftest import Postgres

pytestmark = pytest.mark.skipif(Postgres.url is None, reason="needs PostgreSQL")

Check = Callable[[PostgresConnection], Awaitable[None]]
MAX_UNPREPARED = 5  # psycopg prepares a statement that was run more often


def connected(check: Check, **options: Any) -> None:
    """Run a check with a connection in autocommit, unless the options say otherwise."""

    async def run() -> None:
        options.setdefault("autocommit", True)
        connection = await PostgresConnection.connect(Postgres.url or "", **options)
        assert isinstance(connection, PostgresConnection)
        try:
            await check(connection)
        finally:
            await connection.close()

    for runner in (asyncio.run, uvloop.run):  # uvloop is what the server runs on
        runner(run())


async def prepared(connection: PostgresConnection) -> int:
    [(count,)] = await connection.fetch(b"SELECT count(*) FROM pg_prepared_statements", [])
    return int(count)


def test_rows_and_their_types_are_given() -> None:
    async def check(connection: PostgresConnection) -> None:
        assert await connection.fetch(b"SELECT $1::int4, $2::text", [1, "a"]) == [(1, "a")]
        assert connection.column_types() == (23, 25)
        assert await connection.fetch(b"SELECT 1 WHERE false", []) == []

    connected(check)


def test_statement_is_prepared_when_it_is_used_often() -> None:
    async def check(connection: PostgresConnection) -> None:
        for n in range(MAX_UNPREPARED + 3):
            assert await connection.fetch(b"SELECT $1::int4", [n]) == [(n,)]
        assert await prepared(connection) == 1

    connected(check)


def test_value_of_another_type_is_another_statement() -> None:
    async def check(connection: PostgresConnection) -> None:
        for value in (1, 40_000, 3_000_000_000, None) * (MAX_UNPREPARED + 3):
            assert await connection.fetch(b"SELECT $1::int8", [value]) == [(value,)]

    connected(check)


def test_nothing_is_prepared_if_it_must_not() -> None:
    async def check(connection: PostgresConnection) -> None:
        for _ in range(MAX_UNPREPARED + 3):
            await connection.fetch(b"SELECT 1", [])
        assert await prepared(connection) == 0

    connected(check, prepare_threshold=None)


def test_no_more_is_prepared_than_psycopg_would() -> None:
    async def check(connection: PostgresConnection) -> None:
        connection.prepared_max = 3
        for n in range(10):
            for _ in range(MAX_UNPREPARED + 3):
                assert await connection.fetch(b"SELECT %d" % n, []) == [(n,)]
        # One more is there until the next new statement has run.
        assert await prepared(connection) == 4
        # Nothing else tells how much is kept of statements that are not prepared yet.
        assert len(connection._prepared._counts) == 1

    connected(check)


def test_psycopg_forgets_what_is_prepared_when_it_deallocates_all() -> None:
    """It does so after a rollback, if it has prepared anything itself."""

    async def check(connection: PostgresConnection) -> None:
        for _ in range(MAX_UNPREPARED + 3):
            await connection.fetch(b"SELECT 1", [])
            await connection.execute("SELECT 2")
        await connection.rollback()
        for _ in range(MAX_UNPREPARED + 3):
            assert await connection.fetch(b"SELECT 1", []) == [(1,)]

    connected(check, autocommit=False)


def test_statement_that_fails_again_and_again_is_prepared_once() -> None:
    async def check(connection: PostgresConnection) -> None:
        for _ in range(MAX_UNPREPARED + 3):
            assert await connection.fetch(b"SELECT 1 / $1::int4", [1]) == [(1,)]
        for _ in range(3 * MAX_UNPREPARED):
            with pytest.raises(psycopg.errors.DivisionByZero):
                await connection.fetch(b"SELECT 2 / $1::int4", [0])
        assert await prepared(connection) == 1

    connected(check)


def test_first_statement_begins_a_transaction() -> None:
    async def check(connection: PostgresConnection) -> None:
        assert not connection.in_transaction
        assert await connection.fetch(b"SELECT 1", []) == [(1,)]
        assert connection.in_transaction
        await connection.commit()
        assert not connection.in_transaction

    connected(check, autocommit=False)


def test_failure_of_the_first_statement_leaves_a_transaction_to_roll_back() -> None:
    async def check(connection: PostgresConnection) -> None:
        for _ in range(MAX_UNPREPARED + 3):
            with pytest.raises(psycopg.errors.UndefinedTable, match="nowhere"):
                await connection.fetch(b"SELECT 1 FROM nowhere", [])
            assert connection.info.transaction_status == TransactionStatus.INERROR
            await connection.rollback()
        assert await connection.fetch(b"SELECT 1", []) == [(1,)]

    connected(check, autocommit=False)


def test_statement_may_be_larger_than_what_the_socket_takes() -> None:
    async def check(connection: PostgresConnection) -> None:
        text = "x" * 5_000_000
        for _ in range(2):
            assert await connection.fetch(b"SELECT $1::text", [text]) == [(text,)]

    connected(check)


INSERT = b"INSERT INTO numbers VALUES ($1)"


async def make_table(connection: PostgresConnection) -> None:
    await connection.fetch(b"DROP TABLE IF EXISTS numbers", [])
    await connection.fetch(b"CREATE TEMPORARY TABLE numbers (n int PRIMARY KEY)", [])
    await connection.commit()


async def numbers(connection: PostgresConnection) -> list[int]:
    rows = await connection.fetch(b"SELECT n FROM numbers ORDER BY n", [])
    await connection.rollback()
    return [n for (n,) in rows]


def test_many_rows_are_run() -> None:
    async def check(connection: PostgresConnection) -> None:
        await make_table(connection)
        await connection.fetch_last([(INSERT, [[n] for n in range(100)])])
        assert await connection.fetch(b"SELECT sum(n) FROM numbers", []) == [(4950,)]
        assert await prepared(connection) == 1

    connected(check)


def test_statements_that_are_sent_together_are_committed_together() -> None:
    async def check(connection: PostgresConnection) -> None:
        await make_table(connection)
        for n in range(0, 3 * (MAX_UNPREPARED + 3), 3):
            on_success = Mock()
            statements = [(INSERT, [[n], [n + 1]]), (INSERT + b" RETURNING n", [[n + 2]])]
            assert await connection.fetch_last(statements, True, on_success) == [(n + 2,)]
            assert on_success.call_count == 2
            assert not connection.in_transaction
        assert await numbers(connection) == list(range(n + 3))

    connected(check, autocommit=False)


@pytest.mark.parametrize("times", [0, MAX_UNPREPARED + 3])
@pytest.mark.parametrize("begun", [True, False])
@pytest.mark.parametrize("bad", range(3))
def test_failure_of_one_of_the_statements_keeps_the_others_from_being_committed(
    times: int, begun: bool, bad: int
) -> None:
    async def check(connection: PostgresConnection) -> None:
        await make_table(connection)
        for n in range(times + 1):
            await connection.fetch_last([(INSERT, [[-n]])], True)
        there = await numbers(connection)
        values = [1, 2, 3]
        values[bad] = 0
        for _ in range(2):
            if begun:
                await connection.fetch(b"SELECT 1", [])
            on_success = Mock()
            with pytest.raises(psycopg.errors.UniqueViolation):
                await connection.fetch_last([(INSERT, [[n]]) for n in values], True, on_success)
            assert on_success.call_count == bad
            assert connection.info.transaction_status == TransactionStatus.INERROR
            await connection.rollback()
            assert await numbers(connection) == there
        await connection.fetch_last([(INSERT, [[1], [2]])], True)
        assert await numbers(connection) == [*there, 1, 2]

    connected(check, autocommit=False)


@pytest.mark.parametrize("autocommit", [True, False])
def test_interrupted_statement_is_cancelled_on_the_server(autocommit: bool) -> None:
    async def check(connection: PostgresConnection) -> None:
        for _ in range(2):
            statement = asyncio.create_task(connection.fetch(b"SELECT pg_sleep(60)", []))
            await until_it_sleeps(connection.info.backend_pid)
            statement.cancel()
            with pytest.raises(asyncio.CancelledError):
                await statement
            await connection.rollback()
            assert await connection.fetch(b"SELECT 1", []) == [(1,)]

    connected(check, autocommit=autocommit)


async def end(process: int) -> None:
    """End a connection, and wait until it is gone; the server would look only each 0.1 s."""
    query = "SELECT FROM pg_stat_activity WHERE pid = %s"
    async with await psycopg.AsyncConnection.connect(Postgres.url or "", autocommit=True) as other:
        await other.execute("SELECT pg_terminate_backend(%s::int4)", [process])
        while await (await other.execute(query, [process])).fetchone():
            pass


async def until_it_sleeps(process: int) -> None:
    """Wait until the server runs `pg_sleep`: what is cancelled before runs on."""
    query = "SELECT wait_event FROM pg_stat_activity WHERE pid = %s"
    async with await psycopg.AsyncConnection.connect(Postgres.url or "", autocommit=True) as other:
        event = None
        while event != ("PgSleep",):
            event = await (await other.execute(query, [process])).fetchone()


def test_statements_of_psycopgs_own_run_in_between() -> None:
    async def check(connection: PostgresConnection) -> None:
        for n in range(3):
            assert await connection.fetch(b"SELECT $1::int4", [n]) == [(n,)]
            assert await (await connection.execute("SELECT %s", [n])).fetchall() == [(n,)]

    connected(check)


@pytest.mark.parametrize("seconds", [0, 0.1])
def test_connection_that_the_server_ends_is_closed(
    seconds: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    arrived = PostgresConnection._wake  # what the event loop calls, and nothing else tells of

    def count(connection: PostgresConnection) -> None:
        nonlocal looks
        looks += 1
        arrived(connection)

    async def check(connection: PostgresConnection) -> None:
        nonlocal looks
        looks = 0
        await connection.fetch(b"SELECT 1", [])
        process = connection.info.backend_pid
        await end(process)
        await asyncio.sleep(seconds)
        assert looks < 5, "the event loop looks at it again and again"
        with pytest.raises(psycopg.OperationalError):
            await connection.fetch(b"SELECT 1", [])
        assert connection.closed

    monkeypatch.setattr(PostgresConnection, "_wake", count)
    connected(check)


@pytest.mark.parametrize("autocommit", [True, False])
def test_statement_that_the_server_ends_has_its_error(autocommit: bool) -> None:
    async def check(connection: PostgresConnection) -> None:
        process = connection.info.backend_pid
        statement = asyncio.create_task(connection.fetch(b"SELECT pg_sleep(60)", []))
        await until_it_sleeps(process)
        await end(process)
        with pytest.raises(psycopg.OperationalError):
            await statement
        assert connection.closed

    connected(check, autocommit=autocommit)


def test_statement_ends_when_another_task_closes_the_connection() -> None:
    async def check(connection: PostgresConnection) -> None:
        process = connection.info.backend_pid
        statement = asyncio.create_task(connection.fetch(b"SELECT pg_sleep(60)", []))
        await until_it_sleeps(process)
        await connection.close()
        ended, _ = await asyncio.wait([statement], timeout=20)
        assert ended
        assert isinstance(statement.exception(), psycopg.OperationalError)

    connected(check)


def test_connection_that_the_network_resets_is_closed() -> None:
    """uvloop tells of that once only."""
    there = conninfo_to_dict(Postgres.url or "")
    if not str(there.get("host", "")).startswith("/"):
        pytest.skip("needs the embedded PostgreSQL, which has a Unix socket")
    path = f"{there['host']}/.s.PGSQL.{there.get('port', 5432)}"

    async def run() -> None:
        loop = asyncio.get_running_loop()
        with socket.create_server(("127.0.0.1", 0)) as listener, socket.socket(AF_UNIX) as server:
            listener.setblocking(False)
            server.setblocking(False)
            await loop.sock_connect(server, path)
            here = {"host": "127.0.0.1", "port": listener.getsockname()[1], "autocommit": True}
            connecting = asyncio.create_task(PostgresConnection.connect(**(there | here)))
            client, _ = await loop.sock_accept(listener)
            pumps = [asyncio.create_task(pump(*ends)) for ends in permutations((client, server))]
            connection = await connecting
            assert isinstance(connection, PostgresConnection)
            assert await connection.fetch(b"SELECT 1", []) == [(1,)]
            for task in pumps:
                task.cancel()
            await asyncio.wait(pumps)
            client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            client.close()  # with that it is a reset
            await asyncio.sleep(0.05)
            async with asyncio.timeout(20):
                with pytest.raises(psycopg.OperationalError):
                    await connection.fetch(b"SELECT 1", [])
            await connection.close()

    for runner in (asyncio.run, uvloop.run):
        runner(run())


async def pump(source: socket.socket, target: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    while data := await loop.sock_recv(source, 65536):
        await loop.sock_sendall(target, data)


def test_connection_may_have_the_number_of_one_that_was_lost() -> None:
    """The event loop must not take the new socket for the old one."""

    async def check(connection: PostgresConnection) -> None:
        for _ in range(3):
            await connection.fetch(b"SELECT 1", [])
            number = connection.fileno()
            await connection.close()
            connection = await PostgresConnection.connect(Postgres.url or "", autocommit=True)
            async with asyncio.timeout(10):
                assert await connection.fetch(b"SELECT 1", []) == [(1,)]
            assert connection.fileno() == number
        await connection.close()

    connected(check)
