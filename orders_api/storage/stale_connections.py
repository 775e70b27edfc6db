"""Connections to PostgreSQL that broke while idle, or have outdated statements."""

from sqlalchemy import Connection, ExceptionContext

from orders_api.storage.errors import READ_ONLY, StaleConnectionError

UNTRIED = "untried"
"""In the `info` of a connection to PostgreSQL from when it was idle to its next success."""


SHUT_DOWN = "57P0"  # admin_shutdown, crash_shutdown, cannot_connect_now, idle_session_timeout
UNKNOWN_STATEMENT = "26000"  # invalid_sql_statement_name


def mark_tried(connection: Connection, *_: object) -> None:
    connection.info.pop(UNTRIED, None)


def find_stale_connection(context: ExceptionContext) -> Exception | None:
    """Invalidate a connection that is of no use any more.

    Return StaleConnectionError if the transaction may be repeated, because nothing was done in it,
    or a prepared statement was refused.
    """
    error = context.original_exception
    if not isinstance(error, Exception):
        return None  # it was cancelled: its request has been answered, and must not be repeated
    state = getattr(error, "sqlstate", None) or ""
    is_outdated = _has_outdated_plan(error)
    if is_outdated or state == READ_ONLY or state.startswith(SHUT_DOWN):
        context.is_disconnect = True
    connection = context.connection
    is_untried = connection is not None and UNTRIED in connection.info
    if is_outdated or (context.is_disconnect and is_untried):
        return StaleConnectionError(str(error))
    return None


def _has_outdated_plan(error: BaseException) -> bool:
    """Tell whether a prepared statement is gone, or its columns have other types by now.

    For the latter PostgreSQL has no SQLSTATE but that of any unsupported feature, and the name of
    the function that its own tests of clients go by.
    """
    diagnostics = getattr(error, "diag", None)
    return getattr(error, "sqlstate", None) == UNKNOWN_STATEMENT or (
        getattr(diagnostics, "source_function", None) == "RevalidateCachedQuery"
    )
