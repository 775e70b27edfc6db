"""Statements that PostgreSQL gets together: one that answers with nothing waits for the next.

What is kept:

- What waits is sent before all that follows on the connection, whoever sends that, or with the
  commit. Its error is raised then, and names its own statement.
- With the commit it is never repeated: nobody knows whether it was committed when the connection
  breaks. So nothing waits until another statement of the transaction has succeeded, which shows
  that the connection did not break while it was idle.
- In a savepoint nothing waits, because its failure may be caught there.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.util import await_only

from orders_api.storage.observers import Info, tell
from orders_api.storage.row_mapper import Row
from orders_api.storage.statements import CompiledStatement
from orders_api.storage.translation import raise_translated

Bound = tuple[CompiledStatement, Sequence[Sequence[Any]]]
"""A statement, and the values of its parameters for each time that it is run."""

MOST_WAITING = 100  # statements, so that memory does not grow with what a transaction inserts
PIPELINE = "pipeline"
"""In the `info` of a connection of SQLAlchemy's."""


class Pipeline:
    """What waits on a connection."""

    def __init__(self, connection: Connection) -> None:
        self.waiting: list[Bound] = []
        self._connection = connection
        self._info = connection.info
        self._driver: Any = connection.connection.driver_connection

    async def put(self, compiled: CompiledStatement, rows: Sequence[Sequence[Any]]) -> None:
        """Send a statement that answers with nothing, now or with what comes next."""
        if (
            self._is_in_order()
            and not self._connection.in_nested_transaction()
            and len(self.waiting) < MOST_WAITING
        ):
            self.waiting.append((compiled, rows))
        else:
            await self.send((compiled, rows))

    def _is_in_order(self) -> bool:
        """Tell whether the transaction has begun, and nothing of it has failed."""
        return bool(self._driver.info.transaction_status.name == "INTRANS")

    async def send(self, *statements: Bound, commit: bool = False) -> Iterable[Row]:
        """Send what waits, and these statements; return the rows of the last one."""
        waited, self.waiting = self.waiting, []
        statements = (*waited, *statements)
        if not statements:
            return ()
        events = self._connection.engine.dispatch
        texts = deque(compiled.text for compiled, _ in statements)

        def on_success() -> None:
            tell(self._info, events.after_cursor_execute, texts.popleft())
            if texts:
                tell(self._info, events.before_cursor_execute, texts[0])

        tell(self._info, events.before_cursor_execute, texts[0])
        try:
            answer: Iterable[Row] = await self._driver.fetch_last(
                [(compiled.encoded, rows) for compiled, rows in statements], commit, on_success
            )
        except BaseException as error:
            if isinstance(error, Exception) and self._is_in_order():
                self.waiting = waited  # nothing was sent, because psycopg cannot send a value
            await raise_translated(self._connection, error, texts[0] if texts else "COMMIT")
        return answer


def send_waiting(info: Info, _: str) -> None:
    """Listen to SQLAlchemy's own statements, before which is sent what waits."""
    pipeline = info.get(PIPELINE)
    if pipeline and pipeline.waiting:
        await_only(pipeline.send())
