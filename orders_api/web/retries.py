"""Repeats transactions that the database rolled back because of concurrent ones."""

import asyncio
import random
from collections.abc import Awaitable, Callable

import sqlalchemy.exc
from fastapi import Request, Response

from orders_api.storage.errors import StaleConnectionError, is_retried, names_what_is_missing

LONGEST_PAUSE = 0.25  # seconds between two attempts


async def retry_on_conflict(
    answer: Callable[[Request], Awaitable[Response]], request: Request
) -> Response:
    """Answer, and again if the database rolled back because of a concurrent transaction.

    Until `DATABASE_TIMEOUT` seconds after the first conflict. The pauses grow, and differ from
    request to request, so that those who collided do not meet again. A read that met the schema as
    it was just before a migration is answered once more.
    """
    end: float | None = None
    attempts = 1
    while True:
        try:
            return await answer(request)
        except (sqlalchemy.exc.SQLAlchemyError, StaleConnectionError) as error:
            task = asyncio.current_task()
            if task and task.cancelling():
                raise  # when its time is over the request is answered, and must not happen later
            if not is_retried(error) and not (
                attempts == 1 and await _is_migrated_by_now(error, request)
            ):
                raise
            pause = random.uniform(0, min(0.01 * 2**attempts, LONGEST_PAUSE))  # noqa: S311 - no secret
            now = asyncio.get_running_loop().time()
            end = end or now + request.app.state.database.timeout
            if now + pause > end:
                raise
        await asyncio.sleep(pause)
        attempts += 1
        request.state.attempts = attempts


async def _is_migrated_by_now(error: Exception, request: Request) -> bool:
    """Tell whether a read failed on another schema than that of the code, which it has by now."""
    if request.method != "GET" or not names_what_is_missing(error):
        return False
    request.state.schema_advice = await request.app.state.database.schema_advice()
    return request.state.schema_advice is None
