"""Through PgBouncer in transaction mode, each transaction has another connection to the server."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from orders_api.app import create_app
from orders_api.cli import commands
from orders_api.settings import Settings
from tests.conftest import Postgres, local_client
from tests.pgbouncer import PROGRAM, PgBouncer
from tests.test_connections import ENOUGH, Everything

pytestmark = [
    pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer"),
    pytest.mark.skipif(Postgres.server is None, reason="needs the embedded PostgreSQL"),
]


@pytest.fixture(scope="module")
def pgbouncer() -> Iterator[PgBouncer]:
    pgbouncer = PgBouncer(Postgres.server.get_uri(), Postgres.server.system_user)
    yield pgbouncer
    pgbouncer.remove()


@pytest.fixture
def url(pgbouncer: PgBouncer, request: pytest.FixtureRequest) -> str:
    """The address of an empty database."""
    name = urlsplit(Postgres.create(request.function.__name__)).path.strip("/")
    return pgbouncer.url(name)


def run(url: str, *arguments: str) -> None:
    result = CliRunner().invoke(commands.app, arguments, env={"DATABASE_URL": url})
    assert result.exit_code == 0, result.output


def test_requests_rely_on_no_connection_to_the_server(url: str) -> None:
    run(url, "migrate")
    with local_client(create_app(Settings(database_url=url))) as client:
        everything = Everything(client)
        for _ in range(2 * ENOUGH):
            everything.send()


@pytest.mark.slow  # quick: requests rely on no connection to the server
def test_commands_rely_on_no_connection_to_the_server(url: str, tmp_path: Path) -> None:
    run(url, "migrate")
    run(url, "migrate")
    run(url, "demo", "--size", "7000")
    for _ in range(8):
        run(url, "export", "products", str(tmp_path / "products.jsonl"))
