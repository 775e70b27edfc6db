"""A connection of psycopg's that runs statements in less than half of the time.

psycopg registers the connection's socket with the event loop anew for every wait, and prepares
what a cursor needs anew for every statement. All else is psycopg's: the protocol, types, errors,
and what happens to a statement that is interrupted. What is kept:

- The socket is registered at most once, and only while it is open. An error or an interruption
  ends that, and psycopg waits for the rest itself.
- A statement is prepared exactly if psycopg's own list says so: both ways share it.
- `BEGIN`, a preparation and a statement that are sent together leave the pipeline together,
  whichever of them fails, and the first failure is raised.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, NamedTuple, TypeVar, cast

from psycopg import AsyncConnection, AsyncRawCursor, errors
from psycopg._preparing import Prepare
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import execute, fetch_many, send
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait

Result = TypeVar("Result")


class PostgresConnection(AsyncConnection[tuple[Any, ...]]):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiter: asyncio.Future[None] | None = None
        self._watched: int | None = None
        self._transformer = Transformer(self)

    # --- Waiting --------------------------------------------------------------------------

    async def wait(
        self,
        gen: PQGen[Result],
        interval: float = 0.1,
        timeout: float | None = None,  # noqa: ASYNC109 - psycopg's signature
    ) -> Result:
        """Wait as psycopg does, but leave the socket registered."""
        state = Wait.R
        interruption = None
        try:
            state = next(gen)
            while state == Wait.R and timeout is None:
                await self._wait_until_readable(interval)
                state = gen.send(Ready.R)
        except StopIteration as end:
            result: Result = end.value
            return result
        except asyncio.CancelledError as error:
            interruption = error
        except BaseException:
            self._unwatch()  # an error may have closed the socket
            raise
        self._unwatch()
        resumed = cast("PQGen[Result]", _ResumedGenerator(gen, state, interruption))
        return await super().wait(resumed, interval, timeout)

    async def _wait_until_readable(self, interval: float) -> None:
        """Wait until there is something to read, and no longer than the interval.

        uvloop no longer watches a socket that the other side has reset.
        """
        loop = asyncio.get_running_loop()
        socket = self.pgconn.socket  # raises OperationalError if sending has found it closed
        if self._watched is None:
            loop.add_reader(socket, self._wake)
            self._watched = socket
        self._waiter = waiter = loop.create_future()
        timer = loop.call_later(interval, self._stop_waiting)
        try:
            await waiter
        finally:
            timer.cancel()

    def _wake(self) -> None:
        """Wake who waits; if nobody does, it is the connection's end, or of no interest yet."""
        if self._waiter is None or self._waiter.done():
            self._unwatch()
        else:
            self._waiter.set_result(None)

    def _stop_waiting(self) -> None:
        self._unwatch()
        self._wake()

    def _unwatch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None

    async def close(self) -> None:
        self._unwatch()
        await super().close()

    # --- Statements -----------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        return self.pgconn.transaction_status != TransactionStatus.IDLE

    async def fetch(self, text: bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement whose parameters are `$1` and so on, and return its rows."""
        async with self.lock:  # as psycopg's cursors do: tasks that share it wait for each other
            result = await self.wait(self._run(text, values))
            self._transformer.set_pgresult(result)
            return self._transformer.load_rows(0, result.ntuples, tuple)

    def column_types(self) -> tuple[int, ...]:
        """Return the types of the columns of the rows that were fetched last."""
        result = self._transformer.pgresult
        return tuple(map(result.ftype, range(result.nfields))) if result else ()

    async def run_many(self, text: bytes, rows: Sequence[Sequence[Any]]) -> None:
        await AsyncRawCursor(self).executemany(text, rows)

    def _run(self, text: bytes, values: Sequence[Any]) -> PQGen[PGresult]:
        pgconn, transformer = self.pgconn, self._transformer
        parameters = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        types, formats = transformer.types, transformer.formats
        # psycopg knows what is prepared, and when that is lost.
        query: Any = _Query(text, types)
        prepare, name = self._prepared.get(query)
        prepares = prepare is Prepare.SHOULD
        begins = not self.autocommit and not self.in_transaction
        if not begins and not prepares:
            self._send(query, name, parameters, formats)
            results = yield from execute(pgconn)
        else:
            # Sent together, and answered together.
            pgconn.enter_pipeline_mode()
            if begins:
                pgconn.send_query_params(b"BEGIN", None)
            if prepares:
                pgconn.send_prepare(name, text, types)
            self._send(query, name, parameters, formats)
            pgconn.pipeline_sync()
            yield from send(pgconn)
            results = []
            for _ in range(1 + begins + prepares):
                results += yield from fetch_many(pgconn)
            yield from fetch_many(pgconn)  # the answer to the sync
            pgconn.exit_pipeline_mode()
        if not prepares or results[begins].status == ExecStatus.COMMAND_OK:
            key = self._prepared.maybe_add_to_cache(query, prepare, name)
            if key is not None:
                self._prepared.validate(key, prepare, name, results[-1:])
        for result in results:
            if result.status not in _GOOD:
                raise errors.error_from_result(result)
        yield from self._prepared.maintain_gen(self)
        last: PGresult = results[-1]
        return last

    def _send(self, query: "_Query", name: bytes, parameters: Any, formats: Any) -> None:
        if name:
            self.pgconn.send_query_prepared(name, parameters, formats)
        else:
            self.pgconn.send_query_params(query.query, parameters, query.types, formats)


class _Query(NamedTuple):
    """What psycopg knows a statement by: the same text may have parameters of other types."""

    query: bytes
    types: tuple[int, ...] | None


_GOOD = {ExecStatus.TUPLES_OK, ExecStatus.COMMAND_OK}


class _ResumedGenerator:
    """A generator of psycopg's that was begun here and is finished by psycopg.

    Its next step raises the interruption in it, if there was one.
    """

    def __init__(
        self, gen: PQGen[Any], state: Wait, interruption: BaseException | None = None
    ) -> None:
        self.state = state
        self.interruption = interruption
        self.send = gen.send

    def __next__(self) -> Wait:
        error, self.interruption = self.interruption, None
        if error:
            raise error
        return self.state
