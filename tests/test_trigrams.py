"""`q` finds its rows in a trigram index where PostgreSQL has the extension pg_trgm.

The embedded PostgreSQL has not. So these tests use the server of TEST_DATABASE_URL if that has it,
or start the one that Debian installs with `apt install postgresql`.
"""

import os
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlsplit
from uuid import uuid4

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url

from orders_api.app import create_app
from orders_api.settings import Settings
from orders_api.storage.migrations import MIGRATIONS, migrate
from tests.conftest import ROOT, Postgres, database_of, local_client
from tests.drills.cluster import Cluster
from tests.sessions import blocks
from tests.test_indexes import Work

PAGE = (ROOT / "docs" / "postgresql.md").read_text("utf-8")

pytestmark = pytest.mark.slow  # it starts a server of its own

PROGRAMS = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
INDEXES = {"ix_products_name_description_trgm", "ix_stores_name_trgm"}
BEFORE = "b806e64d9c02"
"""The revision before the trigram indexes."""


def has_trigrams(url: str) -> bool:
    query = "SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'"
    with psycopg.connect(url) as connection:
        return connection.execute(query).fetchone() is not None


@contextmanager
def debian() -> Iterator[str]:
    """Start Debian's newest server, which root may not run."""
    user = "postgres" if os.getuid() == 0 else None
    installed = SimpleNamespace(bin_path=PROGRAMS[-1].parent, system_user=user)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Postgres, "server", installed)
        cluster = Cluster("-c fsync=off", Path(tempfile.mkdtemp(prefix="orders-api-", dir="/tmp")))
        cluster.make()
    yield cluster.url
    cluster.remove()


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    given = os.environ.get("TEST_DATABASE_URL")
    if given and has_trigrams(given):
        yield given
    elif PROGRAMS:
        with debian() as url:
            yield url
    else:
        pytest.skip("There is no PostgreSQL with pg_trgm: apt install postgresql")


@pytest.fixture
def url(server: str) -> Iterator[str]:
    """A new, empty database."""
    name = f"trigrams_{uuid4().hex}"
    execute(server, f"CREATE DATABASE {name}")
    yield urlsplit(server)._replace(path=f"/{name}").geturl()
    execute(server, f"DROP DATABASE {name} WITH (FORCE)")


def execute(url: str, *statements: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def trigram_indexes(url: str) -> set[str]:
    query = "SELECT indexname FROM pg_indexes WHERE indexdef LIKE '%gin_trgm_ops%'"
    with psycopg.connect(url) as connection:
        return {name for (name,) in connection.execute(query)}


def configuration(url: str) -> Config:
    config = Config(attributes={"url": Settings(database_url=url).url})
    config.set_main_option("script_location", str(MIGRATIONS))
    return config


def test_indexes_are_made_left_alone_and_removed(url: str) -> None:
    config = configuration(url)
    command.upgrade(config, "head")
    assert trigram_indexes(url) == INDEXES
    command.check(config)
    command.downgrade(config, BEFORE)
    assert trigram_indexes(url) == set()
    command.upgrade(config, "head")
    assert trigram_indexes(url) == INDEXES


def test_indexes_made_by_hand_are_left_alone(url: str) -> None:
    config = configuration(url)
    command.upgrade(config, BEFORE)
    execute(
        url,
        "CREATE SCHEMA extensions",
        "CREATE EXTENSION pg_trgm SCHEMA extensions",
        "CREATE INDEX ix_stores_name_trgm ON stores USING gin (name extensions.gin_trgm_ops)",
    )
    command.upgrade(config, "head")
    assert trigram_indexes(url) == INDEXES


def test_indexes_can_be_made_later_as_the_documentation_says(url: str) -> None:
    config = configuration(url)
    command.upgrade(config, "head")
    before = definitions(url)
    for name in INDEXES:
        execute(url, f"DROP INDEX {name}")
    _, indexes = blocks("sql", PAGE)
    execute(url, *indexes.split(";")[:-1])
    assert definitions(url) == before
    command.check(config)


def definitions(url: str) -> set[str]:
    query = "SELECT indexdef FROM pg_indexes WHERE indexname LIKE '%trgm'"
    with psycopg.connect(url) as connection:
        return {definition for (definition,) in connection.execute(query)}


def test_without_permission_there_are_no_indexes(
    url: str, caplog: pytest.LogCaptureFixture
) -> None:
    role = f"guest_{uuid4().hex}"
    database = url.rpartition("/")[2]
    execute(
        url,
        f"CREATE ROLE {role} LOGIN PASSWORD 'guest'",
        f"GRANT ALL ON SCHEMA public TO {role}",
        f"REVOKE CREATE ON DATABASE {database} FROM public",
    )
    guest = make_url(url).set(username=role, password="guest")
    try:
        migrate(Settings(database_url=guest).url)
        assert "may not create the extension pg_trgm" in caplog.text
        assert trigram_indexes(url) == set()
        command.check(configuration(url))
    finally:
        execute(url, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


FILL = """
INSERT INTO stores (store_id, version, name, city, country, currency, street, zipcode)
SELECT gen_random_uuid(), 1, 'Store ' || n, 'City', 'Country', 'EUR', 'Street', '1000'
FROM generate_series(1, {stores}) AS n;
INSERT INTO products (product_id, version, store_id, name, description, price)
SELECT gen_random_uuid(), 1, store_id, 'Atlas ' || n, 'Printed in ' || city, 1
FROM stores, generate_series(1, {products}) AS n;
UPDATE products SET description = 'Printed in ZANZIBAR' WHERE name LIKE 'Atlas 777_';
UPDATE stores SET name = name || ' in Zanzibar' WHERE name LIKE 'Store 777_';
ANALYZE;
"""


@pytest.mark.parametrize("path", ["/products", "/stores"])
def test_q_reads_no_more_than_it_finds(
    url: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=url)
    migrate(settings.url)
    many = {"/products": (1, 20_000), "/stores": (20_000, 0)}[path]
    execute(url, FILL.format(stores=many[0], products=many[1]))
    with local_client(create_app(settings)) as client:
        work = Work(database_of(client))
        work.watch_postgresql(monkeypatch)
        found = client.get(f"{path}?q=zanzibar").json()
        assert len(found) == 10
        with closing(work.postgresql):
            assert work.amount() <= 3 * len(found)
