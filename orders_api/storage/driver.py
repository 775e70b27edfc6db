"""Statements that the database's driver runs itself.

Pool, transactions, types and errors are SQLAlchemy's.
"""

from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.util import greenlet_spawn

from orders_api.storage.row_mapper import ResultProcessors, Row
from orders_api.storage.statements import Statement, Values

Result = TypeVar("Result")


class PooledConnection:
    """A connection of SQLAlchemy's, and the driver's own beneath it."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        driver: Any = connection.connection.driver_connection
        self.driver = driver
        self.is_sqlite = connection.dialect.name == "sqlite"

    async def rows(
        self, statement: Statement, values: Values
    ) -> tuple[Iterable[Row], ResultProcessors]:
        """Run a statement that answers with rows, and give them and how to process their values."""
        bind_values = statement.bind_values(values)
        if self.is_sqlite:
            rows = await self._run(
                statement, self.driver.execute_fetchall, statement.text, bind_values
            )
            return rows, statement.processors(statement.unknown_types)
        rows = await self._run(statement, self.driver.fetch, statement.encoded, bind_values)
        return rows, statement.processors(self.driver.column_types())

    async def values(self, statement: Statement, values: Values) -> list[tuple[Any, ...]]:
        """Run a statement, and give its rows of values as Python's."""
        rows, processors = await self.rows(statement, values)
        return [
            tuple(process(v) if process else v for v, process in zip(row, processors, strict=True))
            if processors
            else tuple(row)
            for row in rows
        ]

    async def run(self, statement: Statement, *rows: Values) -> None:
        """Run a statement that answers with nothing, once for each of these rows of values."""
        bind_values = [statement.bind_values(row) for row in rows]
        if self.is_sqlite:
            await self._run(statement, self.driver.executemany, statement.text, bind_values)
        elif len(bind_values) == 1:
            await self._run(statement, self.driver.fetch, statement.encoded, bind_values[0])
        else:
            await self._run(statement, self.driver.run_many, statement.encoded, bind_values)

    async def begin(self) -> None:
        """Begin a transaction; PostgreSQL does so with its first statement."""
        if self.is_sqlite:
            await greenlet_spawn(self.connection.begin)

    async def commit(self) -> None:
        if not self.is_sqlite and self.driver.is_aborted:
            # PostgreSQL would answer COMMIT with ROLLBACK, and psycopg raise nothing.
            raise PendingRollbackError("A statement of the transaction has failed")
        if self.connection.in_transaction():
            await greenlet_spawn(self.connection.commit)
            return
        try:
            await self.driver.commit()
        except BaseException as error:
            await self._fail(error, "COMMIT")

    async def rollback(self) -> None:
        """Undo what was not committed, whether SQLAlchemy knows of it or not."""

        def rollback() -> None:
            try:
                self.connection.rollback()
                if not self.connection.invalidated:
                    self.connection.connection.rollback()
            except Exception:
                self.connection.invalidate()

        await greenlet_spawn(rollback)

    async def _run(
        self, statement: Statement, run: Callable[..., Awaitable[Result]], *bind_values: Any
    ) -> Result:
        events = self.connection.engine.dispatch  # those who listen hear of this statement too
        told = self.connection, None, statement.text, None, None, False
        for listener in events.before_cursor_execute:
            listener(*told)
        try:
            result = await run(*bind_values)
        except BaseException as error:
            await self._fail(error, statement.text)
        for listener in events.after_cursor_execute:
            listener(*told)
        return result

    async def _fail(self, error: BaseException, text: str) -> NoReturn:
        """Raise what SQLAlchemy makes of a driver's error; a broken connection leaves the pool."""

        def fail() -> NoReturn:
            # SQLAlchemy did not begin PostgreSQL's transaction, and would roll it back for a
            # handler that catches the error and goes on.
            if not self.connection.in_transaction() and not self.is_sqlite:
                self.connection.begin()
            try:
                raise error  # noqa: TRY301 - SQLAlchemy looks for it in sys.exc_info()
            except BaseException:
                self.connection._handle_dbapi_exception(error, text, None, None, None)

        await greenlet_spawn(fail)
        raise error  # not reached, but greenlet_spawn does not say so
