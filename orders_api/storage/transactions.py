"""How transactions begin and end: each by itself, or many of SQLite's with one wait for the disk.

What is kept:

- A connection belongs to one unit of work from `begin` to `end`.
- `end` returns when what is to be kept is durable, or raises: then nothing of it was done.
- Units in a group run one after the other, each in a savepoint: what fails is undone alone.
- If a group is lost, with the disk full for example, none of its units was done: each of the others
  gets StaleConnectionError, after which it is safe to repeat.
"""

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.util import greenlet_spawn

from orders_api.storage.driver import PooledConnection
from orders_api.storage.errors import StaleConnectionError, is_retried
from orders_api.storage.pool import ConnectionPool

MOST_TOGETHER = 64
"""Units of work in a group: each waits until the last of them has run."""

PAUSE = 0.002  # seconds at most between two looks whether another process has ended


class Transactions:
    """Transactions that begin and end by themselves."""

    def __init__(self, pool: ConnectionPool, check: Callable[[], None]) -> None:
        """Begin them on connections of a pool; `check` raises if none must be committed."""
        self._pool = pool
        self._check = check

    async def begin(self, *, alone: bool = False) -> PooledConnection:  # noqa: ARG002 - see below
        """Return a connection that is in a transaction; `end` that, whatever happens."""
        connection = await self._pool.acquire()
        try:
            await connection.begin()
        except BaseException:
            await self._pool.release(connection, roll_back=True)
            raise
        return connection

    async def end(self, connection: PooledConnection, commit: bool) -> None:
        """Commit the transaction, or undo it."""
        is_committed = False
        try:
            if commit:
                self._check()
                await connection.commit()
                is_committed = True
        finally:
            await self._pool.release(connection, roll_back=not is_committed)


@dataclass(eq=False)
class Group:
    connection: PooledConnection
    is_durable: asyncio.Future[bool]
    size: int = 0
    """How many units of work are to be kept."""

    is_closed: bool = False
    """Whether nobody may come in any more."""


class GroupedTransactions(Transactions):
    """Transactions of SQLite's one writer: those that wait meanwhile are committed together.

    A unit of work that may take long begins `alone`, so that those before it need not wait for it.
    """

    def __init__(self, pool: ConnectionPool, check: Callable[[], None], timeout: float) -> None:
        super().__init__(pool, check)
        self._timeout = timeout
        self._is_taken = False
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._group: Group | None = None

    async def begin(self, *, alone: bool = False) -> PooledConnection:
        if not self._is_taken and self._group is None:
            self._is_taken = True
        else:
            async with asyncio.timeout(self._timeout):
                await self._take_turn(alone)
        try:
            if self._group is None:
                async with asyncio.timeout(self._timeout):
                    connection = await self._open()
                self._group = Group(connection, asyncio.get_running_loop().create_future())
            self._group.connection.execute_here("SAVEPOINT unit")
        except BaseException:
            self._pass_turn()
            raise
        return self._group.connection

    async def _take_turn(self, alone: bool) -> None:
        turn = self._queue(self._waiting.append)
        await self._wait(turn)
        if alone and self._group:
            self._group.is_closed = True
            turn = self._queue(self._waiting.appendleft)
            self._pass_turn()
            await self._wait(turn)

    def _queue(self, add: Callable[[asyncio.Future[None]], None]) -> asyncio.Future[None]:
        turn = asyncio.get_running_loop().create_future()
        add(turn)
        return turn

    async def _wait(self, turn: asyncio.Future[None]) -> None:
        try:
            await turn
        except BaseException:
            if turn.done() and not turn.cancelled():
                self._pass_turn()
            raise

    def _pass_turn(self) -> None:
        """Let the next one begin, or commit what is there."""
        group = self._group
        if group is None or not (group.is_closed or group.size >= MOST_TOGETHER):
            while self._waiting:
                turn = self._waiting.popleft()
                if not turn.done():
                    turn.set_result(None)
                    return
        if group is None:
            self._is_taken = False
            return
        self._pool.start(self._commit(group))  # units that are undone do not wait for it

    async def _open(self) -> PooledConnection:
        connection = await self._pool.acquire()
        try:
            while True:
                try:
                    await connection.begin()
                except OperationalError as error:
                    if not is_retried(error):  # it is not another process that writes
                        raise
                    await asyncio.sleep(random.uniform(0, PAUSE))  # noqa: S311 - no secret
                else:
                    return connection
        except BaseException:
            await self._pool.release(connection, roll_back=True)
            raise

    async def _commit(self, group: Group) -> None:
        is_durable, is_kept = group.is_durable, False
        try:
            if group.size and group.connection.in_transaction:
                self._check()
                await group.connection.commit()
                is_kept = True
        except IntegrityError as error:  # of a constraint that is deferred until now
            if group.size == 1:
                is_durable.set_exception(error)
        except Exception as error:
            is_durable.set_exception(error)
        try:
            await self._pool.release(group.connection, roll_back=not is_kept)
        finally:
            if not is_durable.done():
                is_durable.set_result(is_kept)
            elif not is_durable.cancelled():
                is_durable.exception()  # looked at, as perhaps nobody waits for it any more
            self._group = None
            self._pass_turn()

    async def end(self, connection: PooledConnection, commit: bool) -> None:
        group = self._group
        if group is None or group.connection is not connection:
            raise RuntimeError("The transaction has ended already")
        others = group.size
        try:
            async with connection.running:
                if not connection.in_transaction:  # SQLite has undone it all, as for a full disk
                    group.is_closed = True
                else:
                    if nested := connection.connection.get_nested_transaction():
                        await greenlet_spawn(nested.commit if commit else nested.rollback)
                    undo = () if commit else ("ROLLBACK TO unit",)
                    connection.execute_here(*undo, "RELEASE unit")
                    group.size += commit
        except BaseException:
            group.size = 0  # nobody knows what is left of this one
            group.is_closed = True
            raise
        finally:
            self._pass_turn()
        # What was refused may have been so because of another one, which is not durable yet.
        if (commit or others) and not await asyncio.shield(group.is_durable) and commit:
            raise StaleConnectionError(
                "The transactions that were to be committed together are lost"
            )
