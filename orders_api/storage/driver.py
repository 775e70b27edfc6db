"""A connection, and the two ways on which it runs a statement.

The ordinary way is `Connection.execute` of SQLAlchemy. The shortcut has the database's driver run
what SQLAlchemy compiled once. It is taken unless a setting turns it off, the driver's connection
is not made for it, or, when the connection is acquired, somebody listens to SQLAlchemy's events who
needs a cursor or a context. Who asks for a statement cannot tell one way from the other:

- The values, the rows and the errors are the same, and so is the transaction: both ways may be
  taken in one, in any order.
- A failed statement leaves the connection as it is, for the transaction to be rolled back. One
  that broke the connection, or was interrupted, invalidates it; the pool closes it then.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.util import greenlet_spawn

from orders_api.storage.observers import observers_of, tell
from orders_api.storage.pipeline import PIPELINE, Pipeline
from orders_api.storage.row_mapper import ResultProcessors, Row
from orders_api.storage.sqlite import ShortStatements, TakesLongError
from orders_api.storage.stale_connections import INTERRUPTED
from orders_api.storage.statements import CompiledStatement, Statement, Values
from orders_api.storage.translation import handle_error, raise_translated, translate

Result = TypeVar("Result")
FEW = 100  # rows that are inserted without another thread
SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY"


class PooledConnection:
    """A connection of SQLAlchemy's, and the driver's own beneath it."""

    def __init__(self, connection: Connection, shortcuts: bool = False) -> None:
        self.connection = connection
        driver: Any = connection.connection.driver_connection
        self.driver = driver
        self.is_sqlite = connection.dialect.name == "sqlite"
        self.short: ShortStatements | None = None
        if self.is_sqlite and shortcuts:
            self.short = ShortStatements(driver._conn)
        self.hands_over = False
        """Whether a read that takes long is left to another connection: TakesLongError."""

        self.takes_long = False
        """Whether reads are known to take long."""

        self._shortcuts = shortcuts
        self._takes_shortcut = False
        self._before: list[Any] = []
        self._after: list[Any] = []
        self.info = connection.info
        self.pipeline = Pipeline(connection)
        if not self.is_sqlite:
            self.info[PIPELINE] = self.pipeline
        self.running = asyncio.Lock()
        """Held while a statement runs: several tasks may, but the transaction must not end then."""

    def choose_way(self) -> None:
        """Look for listeners who need the ordinary way, for as long as the connection is held."""
        found = observers_of(self.connection.engine, handle_error) if self._shortcuts else None
        self._takes_shortcut = found is not None
        if found:
            self._before, self._after = found

    async def rows(
        self, statement: Statement, values: Values
    ) -> tuple[Iterable[Row], ResultProcessors]:
        """Run a statement that answers with rows; return them and how to process their values."""
        if not self._takes_shortcut:
            async with self.running:
                return await greenlet_spawn(self._execute, statement, values), ()
        compiled = statement.compiled
        bind_values = compiled.bind_values(values)
        if self.short:
            rows = await self._read_or_write(compiled, bind_values)
            return rows, compiled.processors(compiled.unknown_types)
        async with self.running:
            if self.pipeline.waiting:
                rows = await self.pipeline.send((compiled, [bind_values]))
            else:
                fetch = self.driver.fetch
                rows = await self._run(compiled.text, fetch, compiled.encoded, bind_values)
            return rows, compiled.processors(self.driver.column_types())

    def rows_at_once(
        self, statement: Statement, values: Values
    ) -> tuple[Iterable[Row], ResultProcessors] | None:
        """Do as `rows` does, if it is a read of SQLite's, on a connection that nobody holds.

        TakesLongError if it is not short. None if it fails, or is another statement.
        """
        if not self.short:
            return None
        self.choose_way()
        compiled = statement.compiled
        if not self._takes_shortcut or not compiled.reads or compiled.compares_texts:
            return None
        text = compiled.text
        tell(self.info, self._before, text)
        try:
            rows = self.short.read(text, compiled.bind_values(values))
        except TakesLongError:
            raise
        except Exception:
            return None  # what is wrong is found out by who holds the connection
        tell(self.info, self._after, text)
        return rows, compiled.processors(compiled.unknown_types)

    async def values(self, statement: Statement, values: Values) -> list[tuple[Any, ...]]:
        """Run a statement, and return its rows of values as Python's."""
        rows, processors = await self.rows(statement, values)
        return [
            tuple(process(v) if process else v for v, process in zip(row, processors, strict=True))
            if processors
            else tuple(row)
            for row in rows
        ]

    async def run(self, statement: Statement, *rows: Values) -> None:
        """Run a statement that answers with nothing, once for each of these rows of values."""
        async with self.running:
            await self._run_each(statement, rows)

    async def _run_each(self, statement: Statement, rows: Sequence[Values]) -> None:
        if not self._takes_shortcut:
            values = rows[0] if len(rows) == 1 else rows
            await greenlet_spawn(self.connection.execute, statement.executable, values)
            return
        compiled = statement.compiled
        bind_values = [compiled.bind_values(row) for row in rows]
        if self.short and len(bind_values) <= FEW:
            self._run_here(self.short.execute_many, compiled.text, bind_values)
        elif self.is_sqlite:
            await self._run(compiled.text, self.driver.executemany, compiled.text, bind_values)
        else:
            await self.pipeline.put(compiled, bind_values)

    async def flush(self) -> None:
        """Send what waits to be sent with the next statement."""
        async with self.running:
            await self.pipeline.send()

    # --- Transactions ---------------------------------------------------------------------

    async def begin(self) -> None:
        """Begin a transaction; PostgreSQL does so with its first statement."""
        if self.short and self._takes_shortcut:
            self._run_here(self.short.execute, "BEGIN IMMEDIATE")
        elif self.is_sqlite:
            await greenlet_spawn(self.connection.begin)

    async def begin_snapshot(self) -> None:
        """Begin a transaction on a connection in autocommit: it sees one state of the database."""

        def begin() -> None:
            self.connection.begin()
            if not self.is_sqlite:
                self.connection.exec_driver_sql(SNAPSHOT)
            elif not self.driver.in_transaction:
                self.connection.exec_driver_sql("BEGIN")

        await greenlet_spawn(begin)

    @property
    def is_usable(self) -> bool:
        """Whether it is neither broken nor about to be closed, as it is after an interruption."""
        return not self.connection.invalidated and INTERRUPTED not in self.info

    @property
    def in_transaction(self) -> bool:
        return self.is_usable and bool(self.driver.in_transaction)

    def execute_here(self, *statements: str) -> None:
        """Run short statements of SQLite's that answer with nothing, without a wait."""
        if self.short:
            for text in statements:
                self._translate_errors_here(self.short.execute, text)

    def check(self) -> None:
        """Raise PendingRollbackError if the transaction cannot be committed any more."""
        if self.connection.invalidated:
            raise PendingRollbackError("The connection is broken")
        if not self.is_sqlite and self.driver.info.transaction_status.name == "INERROR":
            # PostgreSQL would answer COMMIT with ROLLBACK, and psycopg raise nothing.
            raise PendingRollbackError("A statement of the transaction has failed")

    async def commit(self) -> None:
        async with self.running:
            self.check()  # now, as a statement of another task may have failed until here
            is_sent = bool(self.pipeline.waiting)
            if is_sent:
                await self.pipeline.send(commit=True)
            if self.connection.in_transaction():
                await greenlet_spawn(self.connection.commit)
            elif not is_sent:
                await self._translate_errors("COMMIT", self.driver.commit)

    async def rollback(self) -> None:
        """Undo what was not committed, whether SQLAlchemy knows of it or not."""

        def rollback() -> None:
            self.pipeline.waiting.clear()  # only now, as another task may have put something there
            try:
                self.connection.rollback()
                if not self.connection.invalidated:
                    self.connection.connection.rollback()
            except BaseException as error:
                self.connection.invalidate()
                if not isinstance(error, Exception):
                    raise

        async with self.running:  # or one that is about to be closed would be closed twice at once
            if self.is_usable:
                await greenlet_spawn(rollback)

    # --- The ordinary way -----------------------------------------------------------------

    def _execute(self, statement: Statement, values: Values) -> Iterable[Row]:
        return self.connection.execute(statement.executable, values).all()

    # --- The shortcut ---------------------------------------------------------------------

    async def _read_or_write(
        self, compiled: CompiledStatement, bind_values: Sequence[Any]
    ) -> Iterable[Row]:
        """Run a statement of SQLite's: here if it is short, and else in a thread."""
        text = compiled.text
        takes_long = compiled.compares_texts or self.takes_long
        if self.short and not takes_long and not self.running.locked():
            execute = self.short.read if compiled.reads else self.short.execute
            try:
                return self._run_here(execute, text, bind_values)
            except TakesLongError:
                pass  # it is run again
        if self.hands_over:
            raise TakesLongError
        async with self.running:
            return await self._run(text, self._fetch_in_thread, text, bind_values)

    async def _fetch_in_thread(self, text: str, bind_values: Sequence[Any]) -> Iterable[Row]:
        try:
            rows: Iterable[Row] = await self.driver.execute_fetchall(text, bind_values)
        except asyncio.CancelledError:
            if self.short:
                self.short.stop()  # or it would go on for nobody
            raise
        return rows

    async def _run(
        self, text: str, run: Callable[..., Awaitable[Result]], *arguments: Any
    ) -> Result:
        tell(self.info, self._before, text)
        result = await self._translate_errors(text, run, *arguments)
        tell(self.info, self._after, text)
        return result

    def _run_here(self, run: Callable[..., Result], text: str, *arguments: Any) -> Result:
        """Run a short statement of SQLite's, without a wait."""
        tell(self.info, self._before, text)
        result = self._translate_errors_here(run, text, *arguments)
        tell(self.info, self._after, text)
        return result

    def _translate_errors_here(
        self, run: Callable[..., Result], text: str, *arguments: Any
    ) -> Result:
        try:
            return run(text, *arguments)
        except TakesLongError:
            raise
        except Exception as error:
            raise translate(self.connection, error, text) from error

    async def _translate_errors(
        self, text: str, run: Callable[..., Awaitable[Result]], *arguments: Any
    ) -> Result:
        try:
            return await run(*arguments)
        except BaseException as error:
            await raise_translated(self.connection, error, text)
