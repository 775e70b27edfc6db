"""Listeners to SQLAlchemy's events of statements.

Observers are called by the shortcut too; where there are others, it is not taken.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from sqlalchemy import Connection, Engine, event

ENGINE_LOG = logging.getLogger("sqlalchemy.engine.Engine")
"""SQLAlchemy's own log of statements, which `echo=True` turns on."""

Info = dict[Any, Any]
"""What SQLAlchemy keeps with a connection for whoever uses it."""


class Observer:
    """A listener that needs no more of a statement than its SQL and its connection's `info`.

    The driver's own way has no cursor and no context to tell of. It is taken as long as no other
    kind of listener is there.
    """

    def __init__(self, function: Callable[[Info, str], None]) -> None:
        self.function = function

    def __call__(
        self, connection: Connection, _cursor: Any, sql: str, values: Any, *_: Any
    ) -> tuple[str, Any]:
        self.function(connection.info, sql)
        return sql, values


def tell(info: Info, observers: Iterable[Any], text: str) -> None:
    """Call the observers of a statement that SQLAlchemy does not run."""
    for observer in observers:
        observer.function(info, text)


def observe_statements(
    target: Engine | type[Engine],
    before: Callable[[Info, str], None] | None = None,
    after: Callable[[Info, str], None] | None = None,
) -> Callable[[], None]:
    """Call functions before and after each statement; return what stops that."""
    listeners = []
    if before:
        # SQLAlchemy takes a listener as it is if that may change the statement, and wraps others.
        listeners.append(("before_cursor_execute", Observer(before)))
        event.listen(target, *listeners[-1], retval=True)
    if after:
        listeners.append(("after_cursor_execute", Observer(after)))
        event.listen(target, *listeners[-1])

    def stop() -> None:
        for name, observer in listeners:
            event.remove(target, name, observer)

    return stop


def observers_of(engine: Engine, own_error_handler: object) -> tuple[list[Any], list[Any]] | None:
    """Return who observes statements before and after they run.

    None if anybody else than they, and than us for errors, listens to statements.
    """
    # Each request pays for this, so that it has plain loops.
    events, driver_events = engine.dispatch, engine.dialect.dispatch
    before, after = [], []
    for listener in events.before_cursor_execute:
        if type(listener) is not Observer:
            return None
        before.append(listener)
    for listener in events.after_cursor_execute:
        if type(listener) is not Observer:
            return None
        after.append(listener)
    for listener in driver_events.handle_error:
        if listener is not own_error_handler:
            return None
    if (
        events.before_execute
        or events.after_execute
        or events.commit
        or events.rollback
        or driver_events.do_execute
        or driver_events.do_executemany
        or driver_events.do_execute_no_params
        or ENGINE_LOG.isEnabledFor(logging.INFO)
    ):
        return None
    return before, after
