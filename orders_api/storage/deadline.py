"""A wait for the database that ends in time."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

Result = TypeVar("Result")
_abandoned: set[asyncio.Task[Any]] = set()


async def abandon_after(seconds: float, work: Coroutine[Any, Any, Result]) -> Result:
    """Wait for work on the database, and raise TimeoutError when the time is over.

    `asyncio.timeout` would wait on until the driver has cancelled its statement, which takes ten
    seconds more with a server that hangs. Here the cancellation is not waited for.
    """
    loop = asyncio.get_running_loop()
    task = loop.create_task(work)
    over = loop.create_future()
    task.add_done_callback(lambda _: _end(over))
    timer = loop.call_later(seconds, _end, over)
    try:
        await over
    finally:
        timer.cancel()
    if task.done():
        return task.result()
    task.cancel()
    _abandoned.add(task)
    task.add_done_callback(_forget)
    raise TimeoutError


def _end(wait: asyncio.Future[None]) -> None:
    if not wait.done():
        wait.set_result(None)


def _forget(task: asyncio.Task[Any]) -> None:
    _abandoned.discard(task)
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not complain
