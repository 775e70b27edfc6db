"""The commands `orders-api snapshot`: keep what a database has, and put it back."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from orders_api.cli.common import (
    check_writable,
    fail,
    fail_to_write,
    migrate_or_exit,
    nearest,
    open_session,
    reason_of,
)
from orders_api.cli.snapshot_files import (
    file_of,
    files_of,
    folder_of,
    sqlite_file,
    working_folder,
)

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from orders_api.settings import Settings

snapshots = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown")

Name = Annotated[str, typer.Argument(help="Of letters, digits, `.`, `_` and `-`.")]
Yes = Annotated[
    str | None, typer.Option(metavar="NAME", help="The name of a database on another machine.")
]


@snapshots.callback()
def snapshot() -> None:
    """Keep what the database has, and put it back. A server may run meanwhile."""


@snapshots.command()
def save(name: Name, yes: Yes = None) -> None:
    """Keep what the database has now."""
    settings = read_settings()
    file = file_of(settings, name)
    if settings.is_sqlite and not sqlite_file(settings).exists():
        fail(f"There is no database {sqlite_file(settings)} to save.")
    if file.is_file():
        fail(f"There is a snapshot {name} already: choose another name, or remove {file}.")
    with (
        failure_said(f"The snapshot {name} could not be saved"),
        working_folder(settings) as folder,
    ):
        new = folder / file.name
        if settings.is_sqlite:
            from orders_api.storage.sqlite_snapshots import save_database

            save_database(sqlite_file(settings), new)
        else:
            from orders_api.storage.postgresql_snapshots import save_rows

            with transaction(yes, "REPEATABLE READ") as connection:
                save_rows(connection, new)
        os.replace(new, file)
    typer.echo(f"Saved {name}.")


@snapshots.command(name="list")
def list_snapshots() -> None:
    """List what was kept of this database, and where it is."""
    settings = read_settings()
    found = files_of(settings)
    for file in sorted(found, key=lambda file: file.stat().st_mtime):
        state = file.stat()
        when = datetime.fromtimestamp(state.st_mtime).astimezone()
        typer.echo(f"{when:%Y-%m-%d %H:%M}  {state.st_size / 1e3:10,.0f} kB  {file.stem}")
    count = f"{len(found) or 'no'} snapshot{'' if len(found) == 1 else 's'}"
    typer.echo(f"{count} in {folder_of(settings)}", err=True)


@snapshots.command()
def restore(name: Name, yes: Yes = None) -> None:
    """Put back what was kept, in place of what the database has now."""
    import zlib
    from zipfile import BadZipFile

    settings = read_settings()
    file = file_of(settings, name)
    if not file.is_file():
        others = [other.stem for other in files_of(settings)]
        hint = nearest(name, others, "; see `orders-api snapshot list`.")
        fail(f"There is no snapshot {name}{hint}")
    with failure_said(f"The snapshot {name} could not be restored"):
        if settings.is_sqlite:
            from orders_api.storage.sqlite_snapshots import check_snapshot, save_database

            check_snapshot(file)
            with temporary_database(settings) as (copy, its_settings):
                save_database(file, copy)
                migrate_or_exit(its_settings)
        else:
            from orders_api.storage.postgresql_snapshots import restore_rows, revision_of

            with transaction(yes) as connection:
                try:
                    check_revision(connection, revision_of(file), name)
                    restore_rows(connection, file)
                except (LookupError, ValueError, EOFError, zlib.error):
                    raise BadZipFile(f"{file} is no snapshot, or damaged") from None
    typer.echo(f"Restored {name}.")


@snapshots.command()
def reset(
    demo: Annotated[bool, typer.Option("--demo", help="Fill it with made-up data.")] = False,
    yes: Yes = None,
) -> None:
    """Empty the database, and migrate it. What it has is lost, unless it was saved."""
    import sqlalchemy as sa

    settings = read_settings()
    with failure_said("The database could not be reset"):
        if settings.is_sqlite:
            with temporary_database(settings) as (copy, its_settings):
                migrate_or_exit(its_settings)
                with sa.create_engine(f"sqlite:///{copy}", poolclass=sa.NullPool).begin() as new:
                    fill(new, demo)
        else:
            from orders_api.storage.postgresql_snapshots import delete_rows

            with transaction(yes):
                pass  # on another machine it is left alone
            migrate_or_exit(settings)
            with transaction(yes) as connection:
                delete_rows(connection)
                fill(connection, demo)
    typer.echo(f"The database has {'the made-up data alone' if demo else 'no rows any more'}.")


def fill(connection: "Connection", demo: bool) -> None:
    from orders_api.cli.demo import Demo

    for _ in Demo(100, 1).fill(connection) if demo else ():
        pass


def read_settings() -> "Settings":
    from orders_api.settings import IN_MEMORY, Settings

    settings = Settings()
    if settings.url.database in IN_MEMORY:
        fail("DATABASE_URL names no database of which there could be snapshots.")
    return settings


# --- How they are put back ----------------------------------------------------------------


@contextmanager
def temporary_database(settings: "Settings") -> Iterator[tuple[Path, "Settings"]]:
    """Make a file of which a SQLite database becomes a copy at the end."""
    from orders_api.settings import Settings
    from orders_api.storage.sqlite_snapshots import copy_database

    file = sqlite_file(settings)
    check_writable(settings)
    if not os.access(file.parent, os.W_OK):
        fail_to_write(settings)
    with working_folder(settings) as folder:
        copy = folder / "new.db"
        yield copy, Settings(database_url=f"sqlite:///{copy}")
        copy_database(copy, file)


@contextmanager
def transaction(yes: str | None, isolation: str = "READ COMMITTED") -> Iterator["Connection"]:
    """Open a transaction on PostgreSQL, on another machine only if its name was said."""
    with open_session() as session:
        connection = session.connection(execution_options={"isolation_level": isolation})
        where = place_of(connection)
        name = connection.engine.url.database
        if where and yes != name:
            fail(
                f"The database {name} is on {where}, not on this machine: add `--yes {name}` if"
                " that is what you mean."
            )
        yield connection
        session.commit()


def place_of(connection: "Connection") -> str:
    """Return the address of the machine that a database is on; empty for this one."""
    from ipaddress import ip_address

    driver: Any = connection.connection.driver_connection
    address: str = driver.info.hostaddr  # none for a Unix socket
    return "" if not address or ip_address(address).is_loopback else address


def check_revision(connection: "Connection", revision: str | None, name: str) -> None:
    """End unless the rows of a snapshot fit the schema of a database."""
    from alembic.runtime.migration import MigrationContext

    current = MigrationContext.configure(connection).get_current_revision()
    if revision is None:
        fail(f"The snapshot {name} is of a database without tables: `snapshot reset` empties this.")
    if revision != current:
        fail(
            f"The snapshot {name} is of revision {revision}, and the database of {current}: take it"
            f" there by `alembic downgrade {revision}` or `alembic upgrade {revision}`, restore the"
            " snapshot, and run `orders-api migrate`."
        )


@contextmanager
def failure_said(what: str) -> Iterator[None]:
    """End with a sentence if files or databases refuse something."""
    import sqlite3
    from zipfile import BadZipFile

    import psycopg

    try:
        yield
    except (sqlite3.Error, psycopg.Error, OSError, BadZipFile) as error:
        fail(f"{what}: {reason_of(error)}.")
