"""A node of a Citus cluster is killed and comes back: nothing is lost, nothing is doubled.

TEST_CITUS_KILL and TEST_CITUS_START are the commands that do so, and TEST_DATABASE_URL names the
database of the coordinator.
"""

import asyncio
import os
import shlex
from pathlib import Path

import psycopg
import pytest

from tests.conftest import Postgres
from tests.drills.ledger import WHOLE, Ledger, Load, check, check_answers, recovered
from tests.live import running_server
from tests.test_citus import empty

KILL, START = (shlex.split(os.environ.get(f"TEST_CITUS_{name}", "")) for name in ("KILL", "START"))

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(
        not (Postgres.is_citus and KILL and START),
        reason="needs a Citus cluster, and TEST_CITUS_KILL and TEST_CITUS_START for a node",
    ),
]


async def run(command: list[str]) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


def test_node_that_is_killed_under_load(tmp_path: Path) -> None:
    asyncio.run(empty(Postgres.url or ""))

    async def drill(address: str) -> Ledger:
        async with Load(address) as load:
            await load.acknowledged(50)
            await run(KILL)
            await asyncio.sleep(3)
            await run(START)
            await recovered(load)
        return load.ledger

    with running_server(tmp_path, DATABASE_URL=Postgres.url or "") as address:
        ledger = asyncio.run(drill(address))
    check_answers(ledger)
    assert ledger.statuses[503] > 0
    with psycopg.connect(Postgres.url or "") as connection:
        check(ledger, connection.execute(WHOLE).fetchall())
    asyncio.run(empty(Postgres.url or ""))
