"""Copies of a SQLite database, made by its backup API while others use it.

A copy is of one moment, and nobody waits for it. To be put back it waits until no transaction is
under way; then it is one itself: a reader goes on with what was there, and a writer waits.
"""

import sqlite3
import time
from contextlib import closing
from pathlib import Path

from orders_api.storage.sqlite import remove_leftovers

SECONDS = 60  # to wait for those who write


def copy_database(source: Path, target: Path) -> None:
    """Let one database become what another is; sqlite3.Error if it cannot in time."""
    end = time.monotonic() + SECONDS

    def give_up(status: int, *_: int) -> None:
        if status in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED} and time.monotonic() > end:
            raise sqlite3.OperationalError("database is locked")

    remove_leftovers(target)
    with closing(_open(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new, progress=give_up, sleep=0.01)


def save_database(source: Path, target: Path) -> None:
    """Copy a database into a new file, which is complete or not there."""
    target.touch(mode=0o600)  # it has what the database has, hashes of passwords included
    copy_database(source, target)
    with closing(sqlite3.connect(target)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE")  # one file, without another beside it


def check_snapshot(file: Path) -> None:
    """Raise sqlite3.Error for a file that is empty or damaged, or no database with a revision."""
    with closing(_open(file)) as connection:
        connection.execute("SELECT version_num FROM alembic_version")
        (found,) = connection.execute("PRAGMA integrity_check(1)").fetchone()
    if found != "ok":
        raise sqlite3.DatabaseError(found)


def _open(file: Path) -> sqlite3.Connection:
    """Open a database that is there."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)
