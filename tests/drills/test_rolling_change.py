"""The schema changes beside servers of the old code and of the new one: nobody notices."""

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

import httpx2
import psycopg
import pytest

from tests.conftest import ROOT, Postgres
from tests.drills.cluster import Cluster
from tests.drills.ledger import PATIENCE, WHOLE, Ledger, Load, check
from tests.live import running_server
from tests.samples import STORE
from tests.sessions import blocks

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(Postgres.server is None, reason="needs the embedded PostgreSQL"),
]

FORTH, BACK = blocks("sh", (ROOT / "docs" / "rolling-changes.md").read_text("utf-8"))
ADDED = """class StoreIn(In):
    motto: Text | None = None
    is_open: bool = True
"""


class NewCode:
    """A copy of the project with columns and a migration more."""

    def __init__(self, folder: Path, url: str) -> None:
        self.folder = folder
        for name in ("orders_api", "migrations"):
            shutil.copytree(ROOT / name, folder / name)
        for name in ("alembic.ini", "pyproject.toml"):
            shutil.copy(ROOT / name, folder)
        # It comes before the virtual environment, in which the project itself is installed.
        self.environment = {"DATABASE_URL": url, "PYTHONPATH": str(folder)}
        models = folder / "orders_api" / "models.py"
        models.write_text(models.read_text().replace("class StoreIn(In):\n", ADDED))

    def run(self, commands: str) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        result = subprocess.run(
            ["bash", "-euc", commands],
            cwd=self.folder,
            env=os.environ | self.environment | {"PATH": path},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert result.returncode == 0, result.stdout


WAITING = "SELECT 1 FROM pg_locks WHERE relation = 'stores'::regclass AND NOT granted"


async def migrate_beside_a_long_transaction(cluster: Cluster, new_code: NewCode) -> None:
    with psycopg.connect(cluster.url) as reader:
        reader.execute("SELECT FROM stores")
        migration = asyncio.create_task(asyncio.to_thread(new_code.run, FORTH))
        while not cluster.execute(WAITING):
            assert not migration.done(), "it does not wait"
            await asyncio.sleep(0.05)
        await asyncio.sleep(PATIENCE)  # longer than requests may wait
        assert not migration.done()
    await migration


async def create_store(address: str, **more: object) -> None:
    async with httpx2.AsyncClient(base_url=address) as client:
        response = await client.post("/stores", json=STORE)
        assert response.status_code == 201
        assert response.json().items() >= more.items()


def test_schema_changes_forth_and_back_beside_two_servers(cluster: Cluster, tmp_path: Path) -> None:
    new_code = NewCode(tmp_path / "new", cluster.url)

    async def drill(old: str, new: str) -> list[Ledger]:
        async with Load(old) as of_old:
            await of_old.acknowledged(20)
            await migrate_beside_a_long_transaction(cluster, new_code)
            async with Load(new) as of_new:
                await create_store(new, isOpen=True)
                await create_store(old)
                await of_new.acknowledged(50)
                await of_old.acknowledged(50)
            await asyncio.to_thread(new_code.run, BACK)
            await create_store(old)
            await of_old.acknowledged(20)
        return [of_old.ledger, of_new.ledger]

    with (
        running_server(tmp_path, DATABASE_URL=cluster.url) as old,
        running_server(new_code.folder, **new_code.environment) as new,
    ):
        ledgers = asyncio.run(drill(old, new))
    for ledger in ledgers:
        ledger.report()
        assert set(ledger.statuses) == {200, 201}
        assert ledger.unanswered == 0
        assert ledger.slowest < PATIENCE
    both = Ledger(orders={key: order for one in ledgers for key, order in one.orders.items()})
    check(both, cluster.execute(WHOLE))
