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
    outcome: asyncio.Future[Result] = loop.create_future()
    task = loop.create_task(_do(work, outcome))
    timer = loop.call_later(seconds, _give_up, outcome)
    try:
        return await outcome
    finally:
        timer.cancel()
        if not task.done():
            task.cancel()
            _abandoned.add(task)
            task.add_done_callback(_abandoned.discard)
            task.add_done_callback(lambda _: work.close())  # which perhaps has not begun


async def finish_abandoned(seconds: float) -> None:
    """Wait, but no longer than this, for work that nobody waits for any more."""
    loop = asyncio.get_running_loop()
    if tasks := [task for task in _abandoned if task.get_loop() is loop]:
        await asyncio.wait(tasks, timeout=seconds)


async def _do(work: Coroutine[Any, Any, Result], outcome: asyncio.Future[Result]) -> None:
    """Do the work, and tell what came of it unless nobody waits for that any more."""
    try:
        result = await work
    except BaseException as error:
        if not outcome.done():
            outcome.set_exception(error)
    else:
        if not outcome.done():
            outcome.set_result(result)


def _give_up(outcome: asyncio.Future[Any]) -> None:
    if not outcome.done():
        outcome.set_exception(TimeoutError())
