"""The engines of a database, the pools on them, and the statements that are kept for it."""

import asyncio
import math
import sqlite3
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from typing import Any, TypeVar
from uuid import uuid4
from weakref import finalize

from sqlalchemy import ColumnElement, Integer, bindparam, event
from sqlalchemy.ext import asyncio as sqlalchemy_asyncio
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlalchemy.util import greenlet_spawn
from sqlmodel import SQLModel

from orders_api.settings import IN_MEMORY, Settings
from orders_api.storage.deadline import abandon_after, finish_abandoned
from orders_api.storage.driver import PooledConnection
from orders_api.storage.errors import FileReplacedError, StaleConnectionError
from orders_api.storage.keyset import Keyset
from orders_api.storage.migrations import migrate, schema_advice
from orders_api.storage.observers import observe_statements
from orders_api.storage.pipeline import send_waiting
from orders_api.storage.pool import ConnectionPool
from orders_api.storage.pooler import set_up_connection
from orders_api.storage.private_names import has_private_names
from orders_api.storage.projection import Query, projection_of
from orders_api.storage.row_mapper import ResultProcessors, Row
from orders_api.storage.sqlite import (
    SqliteConnection,
    TakesLongError,
    begin_immediate,
    identity_of,
    prepare_connection,
)
from orders_api.storage.stale_connections import mark_tried
from orders_api.storage.statements import Executable, Statement, Values
from orders_api.storage.transactions import GroupedTransactions, Transactions
from orders_api.storage.translation import handle_error

Result = TypeVar("Result")
MOST_SEARCHES = 2  # long reads of SQLite at once, each in a thread
Names = tuple[str, ...] | None


class Database:
    """Two engines on one database: readers in autocommit, writers in transactions."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.url
        self.timeout = settings.database_timeout
        backend = self.url.get_backend_name()
        self.is_sqlite = settings.is_sqlite
        self.shortcuts = settings.shortcuts and has_private_names(backend)
        self._anchor: finalize[..., Any] | None = None
        self._file: tuple[int, int] | None = None  # of SQLite's, as it was at the start
        self._statements: dict[tuple[Executable, Names], Statement] = {}
        self._listings: dict[Any, tuple[Statement, list[str]]] = {}
        # PostgreSQL's own form of parameters, which the driver sends as they are.
        dialect: Any = self.url.get_dialect()
        self.dialect = dialect(paramstyle="qmark" if self.is_sqlite else "numeric_dollar")
        size = settings.database_pool_size
        if self.is_sqlite and self.url.database in IN_MEMORY:
            # It lives as long as one connection is open, so this one is as long as `self`.
            name = f"file:{uuid4()}"
            query = {"mode": "memory", "cache": "shared", "uri": "true"}
            anchor = sqlite3.connect(
                f"{name}?mode=memory&cache=shared", uri=True, check_same_thread=False
            )
            self._anchor = finalize(self, anchor.close)
            self.url = self.url.set(database=name, query=query)
            # Connections that share a cache do not wait for each other, so there is one.
            self.writer = self.reader = self._engine(pool_size=1, max_overflow=0)
            pool = ConnectionPool(
                self.writer, 1, self.timeout, keep=False, shortcuts=self.shortcuts
            )
            self.to_read = self.to_write = pool
        else:
            # As many again for who uses the engines themselves: the pools may keep all of `size`.
            self.reader = self._engine(
                pool_size=size,
                max_overflow=size,
                isolation_level="AUTOCOMMIT",
                skip_autocommit_rollback=True,
            )
            self.writer = self._engine(pool_size=size, max_overflow=size)
            self.to_read = self._pool(self.reader, size)
            # SQLite has one writer at a time: they queue here rather than poll a lock.
            self.to_write = self._pool(self.writer, 1 if self.is_sqlite else size)
        self.to_search = self.to_read
        # A search may read every row: connections, and the processor, are left to others.
        self.searches: AbstractAsyncContextManager[Any] = asyncio.Semaphore(size // 4 or 1)
        self.transactions = Transactions(self.to_write, self.check_file)
        if self.is_sqlite:
            event.listen(self.writer.sync_engine, "begin", begin_immediate)
        if self.is_sqlite and self.shortcuts and not self._anchor:
            # A few at once, so that others find connections and the processor.
            self.to_search = self._pool(self.reader, MOST_SEARCHES)
            self.searches = nullcontext()
            self.transactions = GroupedTransactions(self.to_write, self.check_file, self.timeout)

    def _pool(self, engine: AsyncEngine, size: int) -> ConnectionPool:
        """Make a pool; if a connection breaks, those that are idle in all pools are closed."""
        return ConnectionPool(
            engine,
            size,
            self.timeout,
            close_all_idle=self.close_idle,
            shortcuts=self.shortcuts,
        )

    def _engine(self, **options: Any) -> AsyncEngine:
        if self.is_sqlite:
            connect_args: dict[str, Any] = {
                "isolation_level": None,
                "timeout": self.timeout,
                "check_same_thread": not self.shortcuts,
                "factory": SqliteConnection,
            }
        else:
            defaults = {
                "application_name": "orders-api",
                "connect_timeout": math.ceil(self.timeout),
            }
            # What stands in the URL would not count beside them.
            connect_args = {key: defaults[key] for key in defaults.keys() - self.url.query.keys()}
            if self.shortcuts:
                # It takes a tenth of a second, which SQLite does not need.
                from orders_api.storage.postgresql import PostgresConnection

                connect_args["async_creator_fn"] = PostgresConnection.connect
        engine = sqlalchemy_asyncio.create_async_engine(  # as instrumentations may replace it
            self.url,
            connect_args=connect_args,
            hide_parameters=True,  # no user's data in an error's text
            pool_pre_ping=not self.is_sqlite,  # which no server can close meanwhile
            pool_timeout=self.timeout,
            poolclass=AsyncAdaptedQueuePool,
            **options,
        )
        if self.is_sqlite:
            # A new connection would share the old file's locks and index with the new file.
            event.listen(engine.sync_engine, "do_connect", self.check_file)
            event.listen(engine.sync_engine, "connect", prepare_connection)
        else:
            event.listen(engine.sync_engine, "connect", set_up_connection)
            observe_statements(engine.sync_engine, before=send_waiting, after=mark_tried)
        event.listen(engine.sync_engine, "handle_error", handle_error)
        return engine

    async def rows(
        self, statement: Statement, values: Values
    ) -> tuple[Iterable[Row], ResultProcessors]:
        """Run a statement that only reads, as `rows` of a connection does."""
        takes_long = False
        if connection := self.to_read.idle:
            try:
                if found := connection.rows_at_once(statement, values):
                    return found
            except TakesLongError:
                takes_long = True
        return await self.read(lambda connection: connection.rows(statement, values), takes_long)

    async def read(
        self, work: Callable[[PooledConnection], Awaitable[Result]], takes_long: bool = False
    ) -> Result:
        """Run `work`, which only reads, on a connection; again if that has broken while idle."""
        while True:
            pool = self.to_search if takes_long else self.to_read
            connection = await pool.acquire()
            connection.hands_over = pool is not self.to_search
            connection.takes_long = takes_long
            try:
                return await work(connection)
            except StaleConnectionError:
                continue
            except TakesLongError:
                takes_long = True
            finally:
                # Who takes it for a snapshot knows of neither.
                connection.hands_over = connection.takes_long = False
                # SQLAlchemy begins one, of which a database in autocommit knows nothing.
                await pool.release(connection, roll_back=connection.connection.in_transaction())

    async def close_idle(self) -> None:
        """Close the connections that nobody holds: they may be broken, as another one is."""
        await self.to_read.close_idle()
        await self.to_search.close_idle()
        await self.to_write.close_idle()

    def statement(self, executable: Executable, names: Names = None) -> Statement:
        """Return the statement that is kept for an executable, such as those of `projection`."""
        if (executable, names) not in self._statements:
            self._statements[executable, names] = Statement(executable, self.dialect, names)
        return self._statements[executable, names]

    def listing(
        self, schema: type[SQLModel], keyset: Keyset, conditions: Sequence[ColumnElement[bool]]
    ) -> tuple[Statement, dict[str, Any]]:
        """Return the query of a page, and the values of its conditions."""
        make = partial(_page, schema, keyset)
        return self._with_values(("page", schema, keyset.sort), make, conditions)

    def count(
        self, schema: type[SQLModel], conditions: Sequence[ColumnElement[bool]]
    ) -> tuple[Statement, dict[str, Any]]:
        """Return the query of how many there are on all pages, and the values of its conditions."""
        return self._with_values(("count", schema), projection_of(schema).count, conditions)

    def _with_values(
        self,
        kind: tuple[Any, ...],
        make: Callable[..., Query],
        conditions: Sequence[ColumnElement[bool]],
    ) -> tuple[Statement, dict[str, Any]]:
        """Return a query with these conditions, which is kept for other values."""
        if not self.shortcuts:
            return Statement(make(*conditions), self.dialect), {}
        # Conditions of the same form have equal keys, whatever the values are.
        keys = [condition._generate_cache_key() for condition in conditions]
        form = (*kind, *(key and key.key for key in keys))
        binds = [bind for key in keys if key for bind in key.bindparams]
        if form not in self._listings or None in form:
            statement = Statement(make(*conditions), self.dialect)
            names = [statement.compiled.bind_names[bind] for bind in binds]
            self._listings[form] = statement, names
        statement, names = self._listings[form]
        values = zip(names, (bind.effective_value for bind in binds), strict=True)
        return statement, dict(values)

    async def schema_advice(self) -> str | None:
        """Return what to do about a schema that is not the code's, and None if it is."""
        try:
            self.check_file()
        except FileReplacedError as error:
            return str(error)
        read = self.read(lambda connection: greenlet_spawn(schema_advice, connection.connection))
        return await abandon_after(self.timeout, read)

    def check_file(self, *_: Any) -> None:
        """Raise FileReplacedError if what is committed to SQLite's file would be lost.

        SQLite looks itself, but not in WAL mode (SQLITE_READONLY_DBMOVED).
        """
        if self._file and self._file != identity_of(self.url.database):
            raise FileReplacedError(
                "The database's file was removed or replaced: start the server anew."
            )

    async def migrate_if_empty(self) -> None:
        await asyncio.to_thread(migrate, self.url, only_if_empty=True)
        self._file = identity_of(self.url.database)

    async def dispose(self) -> None:
        await finish_abandoned(self.timeout)
        for pool in (self.to_read, self.to_search, self.to_write):
            await pool.finish()
        await self.close_idle()
        await self.reader.dispose()
        await self.writer.dispose()
        if self._anchor:
            self._anchor()


def _page(schema: type[SQLModel], keyset: Keyset, *conditions: ColumnElement[bool]) -> Query:
    return projection_of(schema).select(
        *conditions,
        order=[column.key for column in keyset.columns],
        descending=keyset.sort.startswith("-"),
        limit=bindparam("limit", type_=Integer()),
    )
