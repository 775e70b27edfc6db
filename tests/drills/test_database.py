"""The database goes away: only 2xx, 4xx and 503 with Retry-After, soon, and then all is well."""

import asyncio
import os
import shutil
import sqlite3
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx2
import psycopg
import pytest

from orders_api.settings import Settings
from orders_api.storage.migrations import migrate
from tests.conftest import Postgres
from tests.drills.cluster import Cluster
from tests.drills.ledger import WHOLE, Ledger, Load, check, check_answers, recovered
from tests.live import running_server

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(Postgres.server is None, reason="needs the embedded PostgreSQL"),
]


@pytest.fixture
def address(cluster: Cluster, tmp_path: Path) -> Iterator[str]:
    with running_server(tmp_path, DATABASE_URL=cluster.url) as address:
        yield address


@pytest.mark.parametrize("mode", ["fast", "immediate"])
def test_restart_of_the_database(cluster: Cluster, address: str, mode: str) -> None:
    async def drill() -> Ledger:
        async with Load(address) as load:
            await load.acknowledged(50)
            await asyncio.to_thread(cluster.stop, mode)
            await asyncio.sleep(1)
            await asyncio.to_thread(cluster.start)
            await recovered(load)
        return load.ledger

    ledger = asyncio.run(drill())
    check_answers(ledger)
    assert ledger.statuses[503] > 0
    check(ledger, cluster.execute(WHOLE))


def test_server_that_refuses_connections(cluster: Cluster, tmp_path: Path) -> None:
    """All connections of the service end, and then it may have none, and fewer than it wants."""
    cluster.execute(
        "CREATE ROLE service LOGIN;"
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO service;"
        "GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO service"
    )

    async def drill(address: str) -> Ledger:
        async with Load(address) as load:
            await load.acknowledged(50)
            for limit in (0, 3):
                cluster.execute(f"ALTER ROLE service CONNECTION LIMIT {limit}")
                cluster.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE usename = 'service'"
                )
                await asyncio.sleep(1)
        # The burst is over, and it still may have three only.
        await asyncio.sleep(1)
        async with load.client() as client:
            for _ in range(20):
                for response in (
                    await client.get("/products"),
                    await client.post("/orders", json=load.body),
                ):
                    assert response.is_success, response.text
        return load.ledger

    url = cluster.url.replace("postgres@", "service@")
    with running_server(tmp_path, DATABASE_URL=url) as address:
        ledger = asyncio.run(drill(address))
    assert ledger.statuses[503] > 0
    check_answers(ledger)
    found = cluster.execute(WHOLE)
    assert len(found) >= len(ledger.orders) + 20


def test_database_that_hangs(cluster: Cluster, address: str) -> None:
    async def drill() -> Ledger:
        async with Load(address) as load:
            await load.acknowledged(50)
            cluster.hang()
            await asyncio.sleep(9)
            async with load.client() as client:
                assert (await client.get("/health")).status_code == 200
                assert (await client.get("/ready")).status_code == 503
            cluster.go_on()
            await recovered(load)
        return load.ledger

    ledger = asyncio.run(drill())
    check_answers(ledger)
    assert ledger.statuses[503] > 0
    check(ledger, cluster.execute(WHOLE))


def test_database_that_is_absent_at_start(cluster: Cluster, tmp_path: Path) -> None:
    cluster.stop()
    with running_server(tmp_path, DATABASE_URL=cluster.url) as address:
        assert httpx2.get(f"{address}/health").status_code == 200
        for path in ("/ready", "/stores"):
            response = httpx2.get(f"{address}{path}")
            assert response.status_code == 503
            assert "retry-after" in response.headers
        cluster.start()
        assert httpx2.get(f"{address}/ready").status_code == 200
        assert httpx2.get(f"{address}/stores").json() == []


def test_database_without_a_connection_to_spare(tmp_path: Path) -> None:
    cluster = Cluster("-c max_connections=5 -c superuser_reserved_connections=0").make()
    migrate(Settings(database_url=cluster.url).url)

    async def drill(address: str) -> Ledger:
        async with Load(address) as load:
            taken = []
            for _ in range(2):
                with pytest.raises(psycopg.OperationalError):  # noqa: PT012 - takes all there are
                    while True:
                        taken.append(psycopg.connect(cluster.url))
                await asyncio.sleep(1)
                for connection in taken:
                    connection.close()
                await load.acknowledged(20)
        return load.ledger

    try:
        with running_server(tmp_path, DATABASE_URL=cluster.url) as address:
            ledger = asyncio.run(drill(address))
        check_answers(ledger)
        check(ledger, cluster.execute(WHOLE))
    finally:
        cluster.remove()


def test_failover_to_a_standby(cluster: Cluster, tmp_path: Path) -> None:
    standby = cluster.standby()
    hosts = f"127.0.0.1:{cluster.port},127.0.0.1:{standby.port}"
    url = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

    async def drill(address: str) -> Ledger:
        async with Load(address) as load:
            await load.acknowledged(50)
            # The old primary becomes a standby in name: it refuses every write.
            cluster.execute("ALTER SYSTEM SET default_transaction_read_only = on")
            cluster.execute("SELECT pg_reload_conf()")
            await asyncio.sleep(1)
            await asyncio.to_thread(standby.catch_up, cluster)
            await asyncio.to_thread(standby.promote)
            await recovered(load)
        return load.ledger

    try:
        with running_server(tmp_path, DATABASE_URL=url) as address:
            ledger = asyncio.run(drill(address))
        check_answers(ledger)
        assert ledger.statuses[503] > 0
        check(ledger, standby.execute(WHOLE))
    finally:
        standby.remove()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    if os.geteuid() != 0 or shutil.which("mount") is None:
        pytest.skip("only root may mount a small file system")
    folder = Path(tempfile.mkdtemp(prefix="orders-api-disk-"))
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=200m,mode=777", "tmpfs", folder], check=False
    )
    if mounted.returncode != 0:
        pytest.skip("no file system can be mounted here")
    yield folder
    subprocess.run(["umount", "-l", folder], check=True)
    folder.rmdir()


def fill(folder: Path) -> Path:
    """Take all the space that is left."""
    filler = folder / "filler"
    with filler.open("wb", buffering=0) as file:
        size = 1 << 20
        while size:
            try:
                file.write(b"\0" * size)
            except OSError:
                size //= 2
    return filler


def test_full_disk_of_sqlite(small_disk: Path, tmp_path: Path) -> None:
    file = small_disk / "orders.db"

    async def drill(address: str) -> Ledger:
        async with Load(address) as load:
            await load.acknowledged(50)
            filler = fill(small_disk)
            await asyncio.sleep(2)
            filler.unlink()
            await recovered(load)
        return load.ledger

    with running_server(tmp_path, DATABASE_URL=f"sqlite:///{file}") as address:
        ledger = asyncio.run(drill(address))
    check_answers(ledger)
    assert ledger.statuses[503] > 0
    check(ledger, sqlite_rows(file))


def sqlite_rows(file: Path) -> list[tuple[object, ...]]:
    connection = sqlite3.connect(file)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        return connection.execute(WHOLE).fetchall()
    finally:
        connection.close()


def test_full_disk_of_postgresql(small_disk: Path, tmp_path: Path) -> None:
    folder = small_disk / "server"
    folder.mkdir()
    cluster = Cluster(folder=folder).make()
    migrate(Settings(database_url=cluster.url).url)

    async def drill(address: str) -> Ledger:
        async with Load(address) as load:
            await load.acknowledged(50)
            filler = fill(small_disk)
            await asyncio.sleep(3)
            filler.unlink()
            if not is_running(cluster):  # it gives up when there is no room for its log
                await asyncio.to_thread(cluster.start)
            await recovered(load)
        return load.ledger

    try:
        with running_server(tmp_path, DATABASE_URL=cluster.url) as address:
            ledger = asyncio.run(drill(address))
        check_answers(ledger)
        check(ledger, cluster.execute(WHOLE))
    finally:
        cluster.remove()


def is_running(cluster: Cluster) -> bool:
    try:
        cluster.execute("SELECT 1")
    except psycopg.OperationalError:
        return False
    return True
