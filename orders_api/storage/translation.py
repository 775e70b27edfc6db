"""Errors of a driver, raised as SQLAlchemy raises them."""

from typing import NoReturn

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import greenlet_spawn

from orders_api.storage.stale_connections import examine


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
    else:
        is_broken = isinstance(error, driver_error) and dialect.is_disconnect(
            error, connection.connection, None
        )
        stale = None
        if dialect.name != "sqlite":
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
