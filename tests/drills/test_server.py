"""We go away: what was acknowledged is there, and nothing is half there."""

import asyncio
import os
import signal
import sqlite3
import subprocess
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import psycopg
import pytest

from orders_api.settings import Settings
from orders_api.storage.migrations import migrate
from tests.conftest import Postgres
from tests.drills.ledger import WHOLE, Ledger, Load, check
from tests.live import COMMAND, free_port, running_server, wait_until_healthy

pytestmark = pytest.mark.drill


class Server:
    """`orders-api serve`, to be killed and started again on the same port."""

    def __init__(self, url: str, log: Path) -> None:
        self.url, self.log = url, log
        self.port = free_port()
        self.address = f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                [COMMAND, "serve", "--port", str(self.port)],
                env=os.environ | {"DATABASE_URL": self.url},
                stdout=output,
                stderr=output,
            )
        wait_until_healthy(self.address, self.process)

    def end(self, number: signal.Signals) -> float:
        """Send the signal, and return the seconds until the process has ended."""
        started = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(timeout=30)
        return time.monotonic() - started


@pytest.fixture
def server(database_url: str, tmp_path: Path) -> Iterator[Server]:
    if database_url == "sqlite://":
        url = f"sqlite:///{tmp_path}/orders.db"
    elif Postgres.server is None:
        pytest.skip("needs the embedded PostgreSQL")
    else:
        url = Postgres.create(f"drill_{time.monotonic_ns()}")
        migrate(Settings(database_url=url).url)
    server = Server(url, tmp_path / "log")
    server.start()
    yield server
    if server.process.poll() is None:
        server.end(signal.SIGKILL)


def rows(server: Server, tmp_path: Path) -> list[tuple[object, ...]]:
    if server.url.startswith("sqlite"):
        with closing(sqlite3.connect(tmp_path / "orders.db")) as connection:
            return connection.execute(WHOLE).fetchall()
    with psycopg.connect(server.url) as connection:
        return list(connection.execute(WHOLE).fetchall())


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_server_that_ends_under_load(
    server: Server, tmp_path: Path, number: signal.Signals
) -> None:
    times = []

    async def drill() -> Ledger:
        async with Load(server.address) as load:
            for _ in range(3):
                await load.acknowledged(30)
                times.append(await asyncio.to_thread(server.end, number))
                await asyncio.to_thread(server.start)
            await load.acknowledged(30)
        return load.ledger

    ledger = asyncio.run(drill())
    ledger.report()
    assert set(ledger.statuses) == {200, 201}
    assert max(times) < 10
    check(ledger, rows(server, tmp_path))


def test_processes_on_one_sqlite_file_write_in_turn(tmp_path: Path) -> None:
    async def drill(address: str) -> Ledger:
        async with Load(address) as load:
            await load.acknowledged(300)
        return load.ledger

    url = f"sqlite:///{tmp_path}/orders.db"
    with running_server(tmp_path, "--workers=2", DATABASE_URL=url) as address:
        ledger = asyncio.run(drill(address))
    ledger.report()
    assert set(ledger.statuses) == {200, 201}
    assert not ledger.unanswered
    with closing(sqlite3.connect(tmp_path / "orders.db")) as connection:
        check(ledger, connection.execute(WHOLE).fetchall())


def test_sigterm_lets_running_requests_finish(server: Server) -> None:
    """New connections are refused from then on."""
    with httpx2.Client(base_url=server.address) as client:
        body = b'{"task": "A"}'

        def slowly() -> Iterator[bytes]:
            yield body[:5]
            time.sleep(0.5)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            with pytest.raises(httpx2.ConnectError):
                httpx2.get(f"{server.address}/health")
            yield body[5:]

        headers = {"content-type": "application/json"}
        response = client.post("/todos", content=slowly(), headers=headers)
    assert response.status_code == 201
    assert server.process.wait(timeout=10) in {0, -signal.SIGTERM}
