"""A connection of psycopg's that runs statements in less than half of the time.

psycopg registers the connection's socket with the event loop anew for every wait, and prepares
what a cursor needs anew for every statement. All else is psycopg's: the protocol, types, errors,
and what happens to a statement that is interrupted. What is kept:

- The socket is registered at most once, and only while it is open. An error or an interruption
  ends that, and psycopg waits for the rest itself.
- A statement is prepared exactly if psycopg's own list says so: both ways share it.
- `BEGIN`, preparations, statements and `COMMIT` that are sent together leave the pipeline together,
  whichever of them fails. The server skips all that follows the first failure, which is raised.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, TypeVar, cast

from psycopg import AsyncConnection, errors
from psycopg._preparing import Prepare
from psycopg.abc import PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import fetch_many, send
from psycopg.pq import ExecStatus, TransactionStatus
from psycopg.pq.abc import PGresult
from psycopg.waiting import Ready, Wait

Result = TypeVar("Result")


class PostgresConnection(AsyncConnection[tuple[Any, ...]]):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._waiter: asyncio.Future[None] | None = None
        self._watched: int | None = None
        self._timer: asyncio.TimerHandle | None = None
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

        uvloop no longer watches a socket that the other side has reset. The timer of an earlier
        wait serves as well: to set one for each wait takes longer than to wake once for nothing.
        """
        loop = asyncio.get_running_loop()
        socket = self.pgconn.socket  # raises OperationalError if sending has found it closed
        if self._watched is None:
            loop.add_reader(socket, self._wake)
            self._watched = socket
        self._waiter = waiter = loop.create_future()
        if self._timer is None:
            self._timer = loop.call_later(interval, self._stop_waiting)
        await waiter

    def _wake(self) -> None:
        """Wake who waits; if nobody does, it is the connection's end, or of no interest yet."""
        if self._waiter is None or self._waiter.done():
            self._unwatch()
        else:
            self._waiter.set_result(None)

    def _stop_waiting(self) -> None:
        self._timer = None
        self._unwatch()
        self._wake()

    def _unwatch(self) -> None:
        if self._watched is not None:
            asyncio.get_running_loop().remove_reader(self._watched)
            self._watched = None

    async def close(self) -> None:
        if self._timer:
            self._timer.cancel()
        self._unwatch()
        await super().close()
        self._wake()  # another task, which finds it closed

    # --- Statements -----------------------------------------------------------------------

    @property
    def in_transaction(self) -> bool:
        return self.pgconn.transaction_status != TransactionStatus.IDLE

    async def fetch(self, text: bytes, values: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a statement whose parameters are `$1` and so on, and return its rows."""
        return await self.fetch_last([(text, [values])])

    async def fetch_last(
        self,
        statements: Sequence[tuple[bytes, Sequence[Sequence[Any]]]],
        commit: bool = False,
        on_success: Callable[[], None] | None = None,
    ) -> list[tuple[Any, ...]]:
        """Run statements that are sent together, and return the rows of the last one.

        Each is run once for each of its rows of values; then `on_success` is called. With `commit`
        they end the transaction if all have succeeded.
        """
        async with self.lock:  # as psycopg's cursors do: tasks that share it wait for each other
            result = await self.wait(self._run(statements, commit, on_success))
            self._transformer.set_pgresult(result)
            return self._transformer.load_rows(0, result.ntuples, tuple)

    def column_types(self) -> tuple[int, ...]:
        """Return the types of the columns of the rows that were fetched last."""
        result = self._transformer.pgresult
        return tuple(map(result.ftype, range(result.nfields))) if result else ()

    def _run(
        self,
        statements: Sequence[tuple[bytes, Sequence[Sequence[Any]]]],
        commit: bool,
        on_success: Callable[[], None] | None,
    ) -> PQGen[PGresult]:
        pgconn = self.pgconn
        begins = not self.autocommit and not self.in_transaction
        groups = [[_Query(self, text, values) for values in rows] for text, rows in statements]
        first = groups[0][0]
        is_alone = not (begins or commit or first.prepares or groups[1:] or groups[0][1:])
        if not is_alone:
            pgconn.enter_pipeline_mode()
        if begins:
            pgconn.send_query_params(b"BEGIN", None)
        for group in groups:
            for query in group:
                query.send(pgconn)
        if commit:
            pgconn.send_query_params(b"COMMIT", None)
        if not is_alone:
            pgconn.pipeline_sync()
        yield from send(pgconn)
        results = (yield from fetch_many(pgconn)) if begins else []
        for group in groups:
            for query in group:
                prepared = (yield from fetch_many(pgconn)) if query.prepares else []
                answer = yield from fetch_many(pgconn)
                query.validate(prepared or answer)
                results += prepared + answer
            if on_success and answer[-1].status in _GOOD:
                on_success()
        last: PGresult = answer[-1]
        if commit:
            results += yield from fetch_many(pgconn)
        if not is_alone:
            yield from fetch_many(pgconn)  # the answer to the sync
            pgconn.exit_pipeline_mode()
        for result in results:
            if result.status not in _GOOD:
                raise errors.error_from_result(result)
        yield from self._prepared.maintain_gen(self)
        return last


class _Query:
    """A statement with its values, prepared if psycopg says so."""

    def __init__(self, connection: PostgresConnection, text: bytes, values: Sequence[Any]) -> None:
        transformer, self._known = connection._transformer, connection._prepared
        self.query = text
        self.parameters = transformer.dump_sequence(values, [PyFormat.AUTO] * len(values))
        # The same text may have parameters of other types.
        self.types, self.formats = transformer.types, transformer.formats
        query: Any = self
        self._prepare, self._name = self._known.get(query)
        self.prepares = self._prepare is Prepare.SHOULD
        self._is_new = self._known.maybe_add_to_cache(query, self._prepare, self._name) is not None

    def send(self, pgconn: Any) -> None:
        if self.prepares:
            pgconn.send_prepare(self._name, self.query, self.types)
        if self._name:
            pgconn.send_query_prepared(self._name, self.parameters, self.formats)
        else:
            pgconn.send_query_params(self.query, self.parameters, self.types, self.formats)

    def validate(self, results: Sequence[PGresult]) -> None:
        """Have psycopg forget a statement that has failed when it was first known or prepared."""
        if self._is_new or (self.prepares and results[-1].status not in _GOOD):
            query: Any = self
            self._known.validate(self._known.key(query), self._prepare, self._name, results)


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
