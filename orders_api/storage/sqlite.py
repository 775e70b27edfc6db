"""What SQLite's connections need before they are used, and how their statements run.

Short statements run in the thread of the event loop: to hand one to another thread and to wait for
its rows takes several times as long. What may take long never does:

- A read that takes more than `STEPS` steps of SQLite's virtual machine is begun again in a thread.
  A step takes some ten nanoseconds, but for the comparison of texts: a search in texts, with or
  without an index, runs in a thread from the start.
- Nothing waits for a lock here. Who finds the database locked tries again after a pause.
- What waits for the disk, as a commit does, runs in a thread.
"""

import os
import sqlite3
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any
from weakref import WeakSet

from sqlalchemy import Connection

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL may lose the last commits in a power cut
    "PRAGMA foreign_keys = ON",
)
STEPS = 100_000


def remove_leftovers(file: str | Path | None) -> None:
    """Remove what stands beside a database file that is gone, before a new one is made.

    A server that still has the old one open would share locks and an index with the new one, which
    would be damaged. It keeps what it has open.
    """
    found = [one for end in ("-wal", "-shm") if (one := Path(f"{file}{end}")).is_file()]
    if found and not Path(f"{file}").exists():  # looked at last: another process may just make it
        for one in found:
            one.unlink(missing_ok=True)


def identity_of(file: str | None) -> tuple[int, int] | None:
    """Return what tells a file from one that takes its place, and None if there is none."""
    try:
        state = os.stat(file or "")
    except OSError:
        return None
    return state.st_dev, state.st_ino


class SqliteConnection(sqlite3.Connection):
    """A connection that ends its cursors when it is closed.

    SQLite would keep the transaction and its locks while a cursor has rows left, as that of a
    cancelled task has until the garbage collector finds it.
    """

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._cursors: WeakSet[sqlite3.Cursor] = WeakSet()

    def cursor(self, *arguments: Any, **options: Any) -> Any:
        cursor = super().cursor(*arguments, **options)
        self._cursors.add(cursor)
        return cursor

    def close(self) -> None:
        for cursor in self._cursors:
            with suppress(sqlite3.ProgrammingError):  # the connection is closed already
                cursor.close()
        super().close()


def prepare_connection(connection: Any, _: Any) -> None:
    _stop_once(connection.driver_connection)
    # SQLite's own lower() knows ASCII only; PostgreSQL's knows Unicode.
    connection.run_async(lambda raw: raw.create_function("lower", 1, _lower, deterministic=True))
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _stop_once(driver: Any) -> None:
    """Let a connection be closed several times at once, as when all tasks are cancelled.

    aiosqlite asks its thread to stop each time, and waits for ever if that has stopped already.
    """
    stop = driver.stop

    def stop_first() -> Any:
        driver.stop = lambda: None
        return stop()

    driver.stop = stop_first


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


def begin_immediate(connection: Connection) -> None:
    # A transaction that starts as a reader and then writes can fail half-way, or lose an update.
    driver: Any = connection.connection.driver_connection
    if not driver.in_transaction:
        connection.exec_driver_sql("BEGIN IMMEDIATE")


class TakesLongError(Exception):
    """A read has not ended in time, and nothing is known of its rows."""


class ShortStatements:
    """Runs statements of a connection in the thread that calls it, and never for long."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._cursor = connection.cursor()
        self._is_limited = False
        self._has_stopped = False
        self._rounds = 0
        connection.set_progress_handler(self._is_over, STEPS // 2)
        connection.execute("PRAGMA busy_timeout = 0")

    def read(self, text: str, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Return the rows of a query; TakesLongError if it takes too many steps."""
        self._rounds = 0
        self._is_limited = True
        try:
            return self.execute(text, values)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorname == "SQLITE_INTERRUPT":
                raise TakesLongError from None
            raise
        finally:
            self._is_limited = False

    def execute(self, text: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a statement to its end, and return its rows.

        SQLite would undo the whole transaction of a statement that writes and is interrupted.
        """
        return self._cursor.execute(text, values).fetchall()

    def execute_many(self, text: str, rows: Sequence[Sequence[Any]]) -> None:
        self._cursor.executemany(text, rows)

    def _is_over(self) -> bool:
        # SQLite counts on from the last time that the statement ran: the first round may be short.
        self._rounds += 1
        return self._has_stopped or (self._is_limited and self._rounds > 2)

    def stop(self) -> None:
        """Interrupt what another thread runs, or is about to; the connection is of no use then."""
        self._has_stopped = True
        self._connection.interrupt()
