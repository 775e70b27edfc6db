"""A pool that keeps connections of SQLAlchemy's pool checked out.

To go through that pool takes as long as half of a statement, so it is asked for new ones only.
What is kept:

- A connection is held by one task, from `acquire` to `release`, or it is idle.
- Tasks get their turn in the order in which they came, or TimeoutError.
- Idle connections are taken first, the one released last before all others. A new one is opened
  only when none is idle.
- If the server refuses a new connection while others are held, the next one that is released is
  taken instead. While none is held, it is asked once more when all that is idle elsewhere has been
  closed.
- A connection that turns out to be broken is closed, and so is all that is idle, since it may be
  broken as well. So is one on which a rollback does not end in time. One whose statement was
  interrupted is closed alone, if the database has answered to that.
- Whoever is cancelled, wherever that is, loses no connection and no turn.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.util import greenlet_spawn

from orders_api.storage.deadline import abandon_after
from orders_api.storage.driver import PooledConnection
from orders_api.storage.stale_connections import INTERRUPTED, UNTRIED

Result = TypeVar("Result")


class ConnectionPool:
    """At most `size` connections to one engine's database, for which tasks wait `timeout` seconds.

    `close_all_idle` closes what is idle in this pool and in all others on its server. Unless they
    are to be kept, connections go back to SQLAlchemy's pool at their release.
    """

    def __init__(
        self,
        engine: AsyncEngine,
        size: int,
        timeout: float,
        *,
        keep: bool = True,
        close_all_idle: Callable[[], Awaitable[None]] | None = None,
        shortcuts: bool = False,
    ) -> None:
        self._engine = engine.sync_engine
        self._timeout = timeout
        self._keep = keep
        self._shortcuts = shortcuts
        self._close_all_idle = close_all_idle or self.close_idle
        self._turns = asyncio.Semaphore(size)
        self._idle: list[PooledConnection] = []
        self._held = 0
        self._refused: deque[asyncio.Future[PooledConnection | None]] = deque()
        self._tasks: set[asyncio.Task[Any]] = set()

    async def acquire(self) -> PooledConnection:
        """Return a connection; `release` it, whatever happens."""
        if self._idle and not self._turns.locked():
            await self._turns.acquire()  # at once: to set up a timeout takes longer
            self._held += 1
            connection = self._idle.pop()
        else:
            async with asyncio.timeout(self._timeout):
                connection = await self._wait_and_take()
        connection.choose_way()
        return connection

    @property
    def idle(self) -> PooledConnection | None:
        """The connection that would be taken next, for what is done with it without a wait."""
        return self._idle[-1] if self._idle else None

    async def _wait_and_take(self) -> PooledConnection:
        await self._turns.acquire()
        try:
            return await self._take()
        except BaseException:
            if not self._held:
                self._pass_on(None)  # or who was refused would wait for nobody's release
            self._turns.release()
            raise

    async def _take(self) -> PooledConnection:
        made_room = False
        while not self._idle:
            try:
                opened = await self._connect()
            except DBAPIError:
                if made_room and not self._held:
                    raise
            else:
                self._held += 1
                return PooledConnection(opened, self._shortcuts)
            if self._idle:
                break  # released meanwhile
            if not self._held:
                await self._close_all_idle()
                made_room = True
            elif connection := await self._next_released():
                return connection
        self._held += 1
        return self._idle.pop()

    async def _connect(self) -> Connection:
        """Open a connection; SQLAlchemy's pool gets it if nobody waits for it any more."""
        opening = self.start(greenlet_spawn(self._engine.connect))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(self._give_back)
            raise

    def _give_back(self, opening: asyncio.Task[Connection]) -> None:
        if not opening.cancelled() and opening.exception() is None:
            self.start(greenlet_spawn(opening.result().close))

    def start(self, work: Coroutine[Any, Any, Result]) -> asyncio.Task[Result]:
        """Start what is to be done whether or not anybody waits for it."""
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def _next_released(self) -> PooledConnection | None:
        """Wait for a connection that is released, or for None where one is closed instead."""
        waiter: asyncio.Future[PooledConnection | None] = asyncio.get_running_loop().create_future()
        self._refused.append(waiter)
        try:
            return await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled():
                connection = waiter.result()
                self._held -= connection is not None
                self._pass_on(connection)
            raise

    async def release(self, connection: PooledConnection, roll_back: bool = False) -> None:
        """Take a connection back, for others to use if it is in order."""
        if self._keep and connection.is_usable and not roll_back:
            self._take_back(connection)
        else:
            # Who waits for it may be cancelled, and more than once.
            await asyncio.shield(self.start(self._put_in_order(connection, roll_back)))

    async def _put_in_order(self, connection: PooledConnection, roll_back: bool) -> None:
        kept: PooledConnection | None = None
        try:
            if roll_back:
                try:
                    await abandon_after(self._timeout, connection.rollback())
                except TimeoutError:  # the server does not answer
                    await greenlet_spawn(connection.connection.invalidate)
            if not connection.is_usable:
                if not connection.info.get(INTERRUPTED):
                    await self._close_all_idle()
            elif self._keep:
                kept = connection
            else:
                await greenlet_spawn(connection.connection.close)
        finally:
            try:
                if kept is None:
                    await greenlet_spawn(_discard, connection.connection)
            finally:
                self._take_back(kept)

    def _take_back(self, connection: PooledConnection | None) -> None:
        if connection and not connection.is_sqlite:
            connection.info[UNTRIED] = True
        self._held -= 1
        self._pass_on(connection)
        self._turns.release()

    async def finish(self) -> None:
        """Wait, but not for ever, for what was started and whatever that has started."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self._timeout):
                while self._tasks:
                    await asyncio.wait(self._tasks)

    def _pass_on(self, connection: PooledConnection | None) -> None:
        """Hand a connection to the first who was refused, or (None) let them try again."""
        while self._refused:
            waiter = self._refused.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                self._held += connection is not None
                return
        if connection:
            self._idle.append(connection)

    async def close_idle(self) -> None:
        """Close the connections that nobody holds."""
        while self._idle:
            await greenlet_spawn(_discard, self._idle.pop().connection)


def _discard(connection: Connection) -> None:
    """Close a connection, which SQLAlchemy's pool would keep open otherwise."""
    if not connection.closed:
        connection.invalidate()
        connection.close()
