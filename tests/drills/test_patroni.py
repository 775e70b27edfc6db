"""The leader of two PostgreSQL servers is killed under load, and Patroni promotes the other."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from orders_api.settings import Settings
from orders_api.storage.migrations import migrate
from tests.conftest import Postgres
from tests.drills.ledger import WHOLE, Ledger, Load, check, check_answers, recovered
from tests.drills.patroni import MISSING, Patroni
from tests.live import running_server

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(bool(MISSING), reason=f"needs {', '.join(MISSING)}"),
    pytest.mark.skipif(Postgres.server is None, reason="needs the embedded PostgreSQL"),
]


@pytest.fixture
def patroni() -> Iterator[Patroni]:
    patroni = Patroni()
    try:
        yield patroni
    finally:
        patroni.remove()


def is_synchronous(nodes: dict[str, str]) -> bool:
    return {"leader", "sync_standby"} <= nodes.keys()


def test_leader_that_is_killed(patroni: Patroni, tmp_path: Path) -> None:
    leader = patroni.wait_until(is_synchronous)["leader"]
    hosts = ",".join(f"127.0.0.1:{node.port}" for node in patroni.nodes.values())
    several_hosts = f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"
    proxy = f"postgresql://postgres@127.0.0.1:{patroni.port}/postgres"
    migrate(Settings(database_url=several_hosts).url)

    def has_another_leader(nodes: dict[str, str]) -> bool:
        return nodes.get("leader", leader) != leader

    async def drill(addresses: list[str]) -> list[Ledger]:
        loads = [Load(address) for address in addresses]
        async with loads[0], loads[1]:
            for load in loads:
                await load.acknowledged(50)
            await asyncio.to_thread(patroni.kill, leader)
            await asyncio.to_thread(patroni.wait_until, has_another_leader)
            for load in loads:
                await recovered(load)
        return [load.ledger for load in loads]

    folders = [tmp_path / "several", tmp_path / "proxy"]
    for folder in folders:
        folder.mkdir()
    with (
        running_server(folders[0], DATABASE_URL=several_hosts) as first,
        running_server(folders[1], DATABASE_URL=proxy) as second,
    ):
        ledgers = asyncio.run(drill([first, second]))
    for ledger in ledgers:
        check_answers(ledger)
        assert ledger.statuses[503] > 0
    both = Ledger(orders={key: order for one in ledgers for key, order in one.orders.items()})
    with psycopg.connect(several_hosts) as connection:
        check(both, connection.execute(WHOLE).fetchall())
