"""PgBouncer goes away under load: 503 with Retry-After meanwhile, and then all is well."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Postgres
from tests.drills.cluster import Cluster
from tests.drills.ledger import WHOLE, Ledger, Load, check, check_answers, recovered
from tests.live import running_server
from tests.pgbouncer import PROGRAM, PgBouncer

pytestmark = [
    pytest.mark.drill,
    pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer"),
    pytest.mark.skipif(Postgres.server is None, reason="needs the embedded PostgreSQL"),
]


@pytest.fixture
def pgbouncer(cluster: Cluster) -> Iterator[PgBouncer]:
    pgbouncer = PgBouncer(cluster.url, Postgres.server.system_user)
    yield pgbouncer
    pgbouncer.remove()


def test_restarts_of_pgbouncer_and_of_the_database_behind_it(
    cluster: Cluster, pgbouncer: PgBouncer, tmp_path: Path
) -> None:
    restarts: list[tuple[Callable[[], object], Callable[[], object]]] = [
        (lambda: pgbouncer.end(signal.SIGINT), pgbouncer.start),  # lets transactions end first
        (lambda: pgbouncer.end(signal.SIGKILL), pgbouncer.start),
        (cluster.stop, cluster.start),
    ]

    async def drill(address: str) -> Ledger:
        async with Load(address) as load:
            for stop, start in restarts:
                await load.acknowledged(20)
                await asyncio.to_thread(stop)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(start)
                await recovered(load)
        return load.ledger

    with running_server(tmp_path, DATABASE_URL=pgbouncer.url("postgres")) as address:
        ledger = asyncio.run(drill(address))
    check_answers(ledger)
    assert ledger.statuses[503] > 0
    check(ledger, cluster.execute(WHOLE))
