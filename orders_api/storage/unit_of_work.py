"""A session in one transaction: all of it happens, or nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Collection, Sequence
from typing import Any, TypeVar
from weakref import proxy

from greenlet import getcurrent
from sqlalchemy import Connection, event
from sqlalchemy.exc import PendingRollbackError
from sqlalchemy.orm import make_transient_to_detached
from sqlalchemy.orm.attributes import set_committed_value
from sqlalchemy.util import await_only, greenlet_spawn
from sqlmodel import Session, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.storage.insertion import (
    insert_and_tell_key,
    insert_of,
    must_be_read_back,
    rows_of,
)
from orders_api.storage.projection import by_keys, projection_of
from orders_api.storage.schemas import members_of, table_of

Schema = TypeVar("Schema", bound=SQLModel)
HAS_ENDED = (
    "The transaction has ended: use `async with UnitOfWork(database) as write` for what is done"
    " later, where `database` is `request.app.state.database`"
)
PAUSE = 0.001  # seconds between two looks whether a call of another task has returned
AfterBegin = Callable[[PooledConnection], Awaitable[None]]


class _Session(Session):
    """A session on the connection of its unit of work, which does without it as long as it can."""

    def get_bind(self, *_: Any, **__: Any) -> Connection:
        unit: UnitOfWork = self.info["unit"]
        connection: Connection = await_only(unit.connection_for_session(getcurrent()))
        return connection

    def add(self, instance: object, *, _warn: bool = True) -> None:
        unit: UnitOfWork = self.info["unit"]
        unit.check_not_ended()  # or it would be lost without a word
        super().add(instance, _warn=_warn)


@event.listens_for(_Session, "after_rollback")
def _note_rollback(session: Session) -> None:
    if not session.in_nested_transaction():
        session.info["unit"].is_rolled_back = True


class UnitOfWork(AsyncSession):
    """A session in one transaction, which begins when it is needed.

    `async with UnitOfWork(database) as write` commits at its end, or undoes all if that raises.
    Before, `commit` sends what was changed, as `flush` does, and the transaction goes on;
    `rollback` undoes what was done so far, and what follows is done in a new transaction.
    Objects that were read or written can be used after it.

    At most one connection is held, from the first use until the end or a rollback. Tasks may share
    it: their statements wait for each other, but only one of them may flush changes at a time.
    `StaleConnectionError` or a database's error may come from each use; after one of `flush`, or
    when a statement was cancelled, all but `rollback` raises PendingRollbackError.
    """

    sync_session_class = _Session

    def __init__(self, database: Database, after_begin: AfterBegin | None = None) -> None:
        """Make a session whose transaction, when it begins, first awaits `after_begin`."""
        super().__init__(
            expire_on_commit=False,
            join_transaction_mode="rollback_only",
            info={"unit": proxy(self)},  # a circle would be left to the garbage collector
        )
        self.database = database
        self._after_begin = after_begin
        self._connection: PooledConnection | None = None
        self._beginning = asyncio.Lock()
        self._joining = asyncio.Lock()
        self.is_rolled_back = False
        """Whether the session has rolled back, as when an error leaves its `begin`."""

        self._has_ended = False
        self._calls: dict[Any, bool] = {}
        """The greenlets of the session's methods that run, and whether each has the connection."""

    @property
    def is_open(self) -> bool:
        """Whether the transaction has begun, or is about to."""
        return self._connection is not None or self._beginning.locked()

    async def pooled_connection(self, *, alone: bool = False) -> PooledConnection:
        """Return the connection of this transaction, which begins if it has not yet.

        It begins `alone` if that may take long, so that others need not wait for it.
        """
        connection = self._connection
        if connection and not (
            self._has_ended or self.is_rolled_back or connection.connection.invalidated
        ):
            return connection
        async with self._beginning:
            return await self._begin(alone)

    async def _begin(self, alone: bool) -> PooledConnection:
        self.check_not_ended()
        if not self.is_active:
            raise PendingRollbackError("A flush has failed: call `rollback` first")
        if self.is_rolled_back:
            await self._end(commit=False)
        if self._connection and self._connection.connection.invalidated:
            # SQLAlchemy would connect anew, and what was done before would be missing.
            raise PendingRollbackError("The connection is broken: call `rollback` first")
        if self._connection is None:
            connection = await self.database.transactions.begin(alone=alone)
            try:
                if self._after_begin:
                    await self._after_begin(connection)
                self.check_not_ended()  # which an error in another task may have brought meanwhile
            except BaseException:
                await self.database.transactions.end(connection, commit=False)
                raise
            self._connection = connection
        return self._connection

    def check_not_ended(self) -> None:
        """Raise RuntimeError if this transaction has been committed or undone."""
        if self._has_ended:
            raise RuntimeError(HAS_ENDED)

    async def connection_for_session(self, call: Any) -> Connection:
        """Return what a call of the session's, by its greenlet, runs its statements on."""
        self._calls = {other: runs for other, runs in self._calls.items() if not other.dead}
        is_noted = bool(call.parent)  # the first one never ends; to wait in it is an error
        if is_noted:
            self._calls[call] = False
        connection = (await self.pooled_connection(alone=True)).connection
        if is_noted:
            self._calls[call] = True
        async with self._joining:
            if not connection.in_transaction():
                # Or the session would begin one itself, and commit it.
                await greenlet_spawn(connection.begin)
            if self.database.is_sqlite and not connection.in_nested_transaction():
                # It may be one of a group, of which each undoes what is its own. Tasks that come
                # while the session itself begins a savepoint would be refused.
                await greenlet_spawn(connection.begin_nested)
        return connection

    async def _wait_for_calls(self, *, all_of_them: bool = False) -> bool:
        """Wait for what other tasks do with the session, and return whether that has ended.

        It would go on in the next transaction. A call that waits for a connection may be the one
        that has to end what was rolled back.
        """
        end = time.monotonic() + self.database.timeout

        def is_under_way() -> bool:
            return any(not call.dead for call, runs in self._calls.items() if runs or all_of_them)

        # A greenlet tells nobody that it has ended.
        while is_under_way():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(PAUSE)
        return True

    async def _end(self, commit: bool) -> None:
        connection, self._connection = self._connection, None
        self.is_rolled_back = False
        if connection:
            is_kept = False
            try:
                has_ended = await self._wait_for_calls()
                is_kept = commit and has_ended  # unless the time of the request was over before
            finally:
                await self.database.transactions.end(connection, is_kept)
            if commit and not has_ended:
                raise TimeoutError("Another task does not end what it does with the session")

    async def rollback(self) -> None:
        try:
            await super().rollback()
        finally:
            await self._end(commit=False)

    async def close(self) -> None:
        try:
            await super().close()
        finally:
            await self._end(commit=False)

    async def finish(self, commit: bool) -> None:
        """Commit, or undo it all; nothing can be done with it any more."""
        is_kept = False
        try:
            if commit and self.in_transaction():
                await super().commit()
            elif self.in_transaction():
                self._has_ended = True  # nothing new begins while those that run end
                try:
                    await self._wait_for_calls(all_of_them=True)
                finally:
                    self._calls.clear()  # once is enough: others wait for the connection
                await super().close()
            is_kept = commit
        finally:
            self._has_ended = True
            await self._end(commit=is_kept and not self.is_rolled_back)

    async def __aexit__(self, kind: Any, *_: object) -> None:
        await self.finish(commit=kind is None)

    async def check(self) -> None:
        """Do all that a commit does before the database is asked to: it raises the same errors."""
        await self.flush_changes()
        await self._send_waiting()
        if self._connection:
            self._connection.check()

    async def commit(self) -> None:
        await super().commit()
        await self._send_waiting()

    async def flush(self, objects: Sequence[Any] | None = None) -> None:
        await super().flush(objects)
        await self._send_waiting()

    async def _send_waiting(self) -> None:
        if self._connection:
            await self._connection.flush()

    async def flush_changes(self) -> None:
        """Send what the session has not sent yet, before a statement that goes past it."""
        if self.in_transaction():
            await super().flush()
            if self.in_nested_transaction():
                await self.connection()  # its SAVEPOINT, which is sent when the session needs it

    async def get_many(self, schema: type[Schema], keys: Collection[Any]) -> dict[Any, Schema]:
        """Read the objects that have these keys, by their keys."""
        if not keys:
            return {}
        await self.flush_changes()
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
        """Insert the rows of an object, and return it with all that its Out class shows.

        What the database refuses is raised here, by what is sent to it next, or at the end. `flush`
        raises it at once.
        """
        await self.flush_changes()
        compiled, schema = self.database.statement, type(one)
        key = projection_of(schema).key
        tables = rows_of(one)
        if getattr(one, key.key) is None:  # the database makes it
            table, (values,) = tables[0]
            statement = compiled(insert_and_tell_key(table), tuple(values))
            ((made,),) = await (await self.pooled_connection()).values(statement, values)
            setattr(one, key.key, made)
            tables = rows_of(one)[1:]
        for table, rows in tables:
            statement = compiled(insert_of(table), tuple(rows[0]))
            # Asked for each time: an error in another task may have ended the transaction.
            await (await self.pooled_connection()).run(statement, *rows)
        shown = await self.read_back(schema, one) if must_be_read_back(schema) else one
        return self._attach(one, shown) if table_of(schema) is schema else shown

    def _attach(self, row: Schema, shown: Schema) -> Schema:
        """Have a row that was inserted without the session in it, so that changes are written."""
        if shown is not row:
            for name in members_of(type(row)).columns:
                set_committed_value(row, name, getattr(shown, name))
        make_transient_to_detached(row)
        self.add(row)
        return row

    async def read_back(self, schema: type[Schema], row: SQLModel) -> Schema:
        """Write what was changed, and return a row as its Out class shows it from now on.

        It is needed after a change if the class shows what the database computes or counts, or a
        list that was changed.
        """
        key = getattr(row, projection_of(schema).key.key)
        return (await self.get_many(schema, [key]))[key]
