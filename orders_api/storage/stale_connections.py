"""Connections that are of no use any more.

Those to PostgreSQL broke while idle, or have outdated statements. One of SQLite's whose file was
damaged or replaced goes on with what it has read of the old one.
"""

from typing import Any

from sqlalchemy import Connection

from orders_api.storage.errors import BAD_FILE, READ_ONLY, StaleConnectionError, code_of
from orders_api.storage.observers import Info

UNTRIED = "untried"
"""In the `info` of a connection to PostgreSQL from when it was idle to its next success."""

INTERRUPTED = "interrupted"
"""In the `info` of a connection that is of no use only because its statement was interrupted."""

SHUT_DOWN = "57P0"  # admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
BROKEN = (SHUT_DOWN, READ_ONLY, "SQLITE_IOERR", *BAD_FILE)
SETTLED = {"IDLE", "INTRANS", "INERROR"}  # psycopg.pq.TransactionStatus
UNKNOWN_STATEMENT = "26000"  # invalid_sql_statement_name


def mark_tried(info: Info, _: str) -> None:
    info.pop(UNTRIED, None)


def note_interruption(connection: Connection) -> None:
    """Note whether the database has answered to an interruption: then others are in order."""
    if connection.closed or connection.invalidated:
        return
    driver: Any = connection.connection.driver_connection
    answers = connection.dialect.name == "sqlite" or driver.info.transaction_status.name in SETTLED
    connection.info[INTERRUPTED] = answers


def examine(
    connection: Connection, error: Exception, is_disconnect: bool
) -> tuple[bool, StaleConnectionError | None]:
    """Return whether a connection is of no use any more after an error of its driver's.

    With it StaleConnectionError if the transaction may be repeated, because nothing was done in it,
    or a prepared statement was refused.
    """
    is_outdated = _has_outdated_plan(error)
    is_disconnect = is_disconnect or is_outdated or code_of(error).startswith(BROKEN)
    if is_outdated or (is_disconnect and UNTRIED in connection.info):
        return is_disconnect, StaleConnectionError(str(error))
    return is_disconnect, None


def _has_outdated_plan(error: Exception) -> bool:
    """Tell whether a prepared statement is gone, or its columns have other types by now.

    For the latter PostgreSQL has no SQLSTATE but that of any unsupported feature, and the name of
    the function that its own tests of clients go by.
    """
    diagnostics = getattr(error, "diag", None)
    return getattr(error, "sqlstate", None) == UNKNOWN_STATEMENT or (
        getattr(diagnostics, "source_function", None) == "RevalidateCachedQuery"
    )
