"""A session in one transaction: all of it happens, or nothing."""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.util import await_only, greenlet_spawn
from sqlmodel import Session, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.storage.insertion import (
    insert_and_tell_key,
    insert_of,
    insert_together,
    must_be_read_back,
    rows_of,
    values_together,
)
from orders_api.storage.projection import by_keys, projection_of

# Rows of a table that one statement inserts: every number of them is a statement that is kept.
MAX_TOGETHER = 8

Schema = TypeVar("Schema", bound=SQLModel)
AfterBegin = Callable[[PooledConnection], Awaitable[None]]


class _Session(Session):
    """A session on the connection of its writer, which does without it as long as it can."""

    def get_bind(self, *_: Any, **__: Any) -> Connection:
        writer: UnitOfWork = self.info["writer"]
        connection: PooledConnection = await_only(writer.pooled_connection())
        return connection.connection


class UnitOfWork(AsyncSession):
    """A session in one transaction, which begins when it is needed."""

    sync_session_class = _Session

    def __init__(self, database: Database, after_begin: AfterBegin | None = None) -> None:
        """Have `after_begin` done first in the transaction."""
        super().__init__(autoflush=False, info={"writer": self})
        self.database = database
        self.after_begin = after_begin
        self._connection: PooledConnection | None = None
        self._beginning = asyncio.Lock()
        self._has_ended = False

    async def pooled_connection(self) -> PooledConnection:
        """Return the connection of this transaction, which begins if it has not yet."""
        if self._connection and not self.after_begin:
            return self._connection
        async with self._beginning:
            return await self._begin()

    async def _begin(self) -> PooledConnection:
        if self._has_ended:
            raise RuntimeError("The transaction has ended with the request that it was for")
        if self._connection is None:
            self._connection = await self.database.to_write.acquire()
            await self._connection.begin()
        if self.after_begin:
            await self.after_begin(self._connection)  # if it fails, the next use runs it again
            self.after_begin = None
        return self._connection

    async def end(self, keep: bool, check: bool = True) -> None:
        """Commit, or undo it all; `check` is whether to send all statements even so."""
        session = self.sync_session

        def end() -> None:
            with session:
                if keep:
                    session.commit()
                elif check:
                    session.flush()  # the last statements, which the database may refuse

        is_kept = False
        try:
            if session.in_transaction():
                await greenlet_spawn(end)
            if keep and self._connection:
                await self._connection.commit()
                is_kept = True
        finally:
            session.info.clear()
            self._has_ended = True
            connection, self._connection = self._connection, None
            if connection:
                await self.database.to_write.release(connection, roll_back=not is_kept)

    async def __aexit__(self, kind: Any, *_: object) -> None:
        await self.end(keep=kind is None, check=False)

    def upsert(self, table: type[SQLModel]) -> postgresql.Insert | sqlite.Insert:
        """Begin an `INSERT … ON CONFLICT`, which both databases have in the same words."""
        return sqlite.insert(table) if self.database.is_sqlite else postgresql.insert(table)

    async def get_many(self, schema: type[Schema], keys: Collection[Any]) -> dict[Any, Schema]:
        """Read the objects that have these keys, by their keys."""
        if not keys:
            return {}
        # Few sizes make few statements, which both sides keep: a key may be there more than once.
        padded = [*keys, *[next(iter(keys))] * ((1 << (len(keys) - 1).bit_length()) - len(keys))]
        statement = self.database.statement(by_keys(schema, len(padded)))
        values = {f"key_{i}": key for i, key in enumerate(padded)}
        projection = projection_of(schema)
        objects = projection.objects(
            *await (await self.pooled_connection()).rows(statement, values)
        )
        return {getattr(one, projection.key.key): one for one in objects}

    async def insert(self, one: Schema) -> Schema:
        """Insert the rows of an object, and return it with all that its Out class shows."""
        connection, compiled = await self.pooled_connection(), self.database.statement
        schema = type(one)
        key = projection_of(schema).key
        tables = rows_of(one)
        if getattr(one, key.key) is None:  # the database makes it
            table, (values,) = tables[0]
            statement = compiled(insert_and_tell_key(table), tuple(values))
            ((made,),) = await connection.values(statement, values)
            setattr(one, key.key, made)
            tables = rows_of(one)[1:]
        if self.database.is_sqlite or any(len(rows) > MAX_TOGETHER for _, rows in tables):
            for table, rows in tables:
                await connection.run(compiled(insert_of(table), tuple(rows[0])), *rows)
        elif tables:
            form = tuple((table, tuple(rows[0]), len(rows)) for table, rows in tables)
            values = values_together(rows for _, rows in tables)
            await connection.run(compiled(insert_together(form)), values)
        return await self.read_back(schema, one) if must_be_read_back(schema) else one

    async def read_back(self, schema: type[Schema], row: SQLModel) -> Schema:
        """Write what was changed, and return a row as its Out class shows it from now on.

        It is needed after a change if the class shows what the database computes or counts, or a
        list that was changed.
        """
        await self.flush()
        key = getattr(row, projection_of(schema).key.key)
        return (await self.get_many(schema, [key]))[key]
