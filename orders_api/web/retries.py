"""Repeats transactions that the database rolled back because of concurrent ones."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import sqlalchemy.exc
from fastapi import Request, Response

from orders_api.storage.errors import StaleConnectionError, is_retried

LONGEST_PAUSE = 0.25  # seconds between two attempts


async def retry_on_conflict(
    answer: Callable[[Request], Awaitable[Response]], request: Request
) -> Response:
    """Answer, and again if the database rolled back because of a concurrent transaction.

    Until `DATABASE_TIMEOUT` seconds after the first conflict. The pauses grow, and differ from
    request to request, so that those who collided do not meet again.
    """
    end: float | None = None
    attempts = 1
    while True:
        try:
            return await answer(request)
        except (sqlalchemy.exc.SQLAlchemyError, StaleConnectionError) as error:
            task = asyncio.current_task()
            if not is_retried(error) or (task and task.cancelling()):
                raise  # when its time is over the request is answered, and must not happen later
            pause = random.uniform(0, min(0.01 * 2**attempts, LONGEST_PAUSE))  # noqa: S311 - no secret
            now = asyncio.get_running_loop().time()
            end = end or now + request.app.state.database.timeout
            if now + pause > end:
                raise
        await asyncio.sleep(pause)
        attempts += 1
        request.state.attempts = attempts
