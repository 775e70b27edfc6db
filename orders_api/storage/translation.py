"""Errors of a driver, raised alike by SQLAlchemy and by the shortcut."""

from typing import NoReturn

from sqlalchemy import Connection, ExceptionContext
from sqlalchemy.exc import DBAPIError, StatementError
from sqlalchemy.util import greenlet_spawn

from orders_api.storage.stale_connections import examine, note_interruption


def handle_error(context: ExceptionContext) -> Exception | None:
    """Listen to SQLAlchemy's event of that name."""
    error = context.original_exception
    if context.connection is None:
        return None
    if not isinstance(error, Exception):
        note_interruption(context.connection)
        return None  # its request has been answered, and must not be repeated
    if isinstance(error, OverflowError | ValueError):
        # SQLAlchemy raises what is no error of the driver's class as it is, without the statement.
        return StatementError(str(error), context.statement, None, error, hide_parameters=True)
    context.is_disconnect, stale = examine(context.connection, error, context.is_disconnect)
    return stale


async def raise_translated(connection: Connection, error: BaseException, text: str) -> NoReturn:
    """Raise the error of a statement, by its text; a broken connection is invalidated."""
    translated = await greenlet_spawn(translate, connection, error, text)
    if translated is error:
        raise error
    raise translated from error


def translate(connection: Connection, error: BaseException, text: str) -> BaseException:
    """Return what SQLAlchemy would raise; invalidate the connection if that is broken."""
    dialect = connection.dialect
    driver_error = dialect.loaded_dbapi.Error
    translated: BaseException = error
    if not isinstance(error, Exception):
        is_broken = True  # nobody knows what it was interrupted in
        note_interruption(connection)
    else:
        is_broken = isinstance(error, driver_error) and dialect.is_disconnect(
            error, connection.connection, None
        )
        is_broken, stale = examine(connection, error, is_broken)
        translated = stale or DBAPIError.instance(
            text,
            None,
            error,
            driver_error,
            hide_parameters=True,
            connection_invalidated=is_broken,
            dialect=dialect,
        )
    if is_broken and not connection.invalidated:
        connection.invalidate(error)
    return translated
