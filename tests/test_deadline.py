"""Waits that end in time."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from orders_api.storage.deadline import abandon_after

LONG = 60


class FailedError(Exception):
    pass


async def work(result: object) -> object:
    await asyncio.sleep(0)
    if isinstance(result, BaseException):
        raise result
    return result


def test_result_is_that_of_the_work() -> None:
    assert asyncio.run(abandon_after(LONG, work("done"))) == "done"


@pytest.mark.parametrize("error", [FailedError("no"), TimeoutError("its own")])
def test_error_is_that_of_the_work(error: Exception) -> None:
    with pytest.raises(type(error)) as raised:
        asyncio.run(abandon_after(LONG, work(error)))
    assert raised.value is error


class Stubborn:
    """Work that goes on although it is cancelled, as that of a driver whose server hangs does."""

    def __init__(self) -> None:
        self.begun = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.goes_on = asyncio.Event()
        self.ended = asyncio.Event()

    async def do(self) -> None:
        self.begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled.set()
            await self.goes_on.wait()
            self.ended.set()
            raise FailedError from None  # which nobody asks for any more

    async def end(self) -> None:
        await self.cancelled.wait()
        assert not self.ended.is_set()
        self.goes_on.set()
        await self.ended.wait()


def run(check: Coroutine[Any, Any, None]) -> None:
    """Run a check in which asyncio has nothing to complain of."""

    async def main() -> None:
        complaints: list[Any] = []
        asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
        await check
        await asyncio.sleep(0)
        assert complaints == []

    asyncio.run(main())


def test_work_that_is_out_of_time_is_cancelled_and_not_waited_for() -> None:
    async def check() -> None:
        stubborn = Stubborn()
        with pytest.raises(TimeoutError):
            await abandon_after(0.001, stubborn.do())
        await stubborn.end()

    run(check())


def test_work_of_a_task_that_is_cancelled_is_cancelled_and_not_waited_for() -> None:
    async def check() -> None:
        stubborn = Stubborn()
        waiting = asyncio.create_task(abandon_after(LONG, stubborn.do()))
        await stubborn.begun.wait()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await stubborn.end()

    run(check())
