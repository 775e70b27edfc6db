"""Passwords and tokens, of which only hashes are kept."""

import asyncio
import hashlib
import os
import secrets
from collections.abc import Callable, Coroutine
from functools import cache, partial
from typing import Any, TypeVar

from fastapi import Request
from pwdlib import PasswordHash

from orders_api.models import User
from orders_api.problems import Problem

password_hash = PasswordHash.recommended()  # Argon2id: 64 MiB for each hash under way
MAX_WAITING_PER_SLOT = 10  # they wait for about a second
Result = TypeVar("Result")


class HashingSlots:
    """Lets as many hash at once as there are cores: a flood of sign-ins must not eat the memory.

    A slot is held until its hash has ended, whether or not its request waits for it any more:
    nothing stops a thread. Few wait for a slot; whoever comes then is told to come back later.
    """

    def __init__(self, slots: int) -> None:
        self._free = asyncio.Semaphore(slots)
        self._most_waiting = slots * MAX_WAITING_PER_SLOT
        self._waiting = 0

    async def run(self, work: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
        """Do what hashes when there is a slot; raise 503 at once if too many wait for one."""
        if self._waiting >= self._most_waiting:
            raise Problem.unavailable("Too many passwords are being hashed: try again in a second.")
        self._waiting += 1
        try:
            await self._free.acquire()
        finally:
            self._waiting -= 1
        task = asyncio.create_task(work())
        task.add_done_callback(lambda _: self._free.release())
        return await asyncio.shield(task)


def hashing_slots() -> HashingSlots:
    return HashingSlots(os.cpu_count() or 1)


async def hash_password(request: Request, password: str) -> str:
    """Return the hash of a password.

    Call it before the first use of `Write`: on SQLite nobody else could write meanwhile.
    """
    slots: HashingSlots = request.app.state.hashing_slots
    return await slots.run(partial(asyncio.to_thread, password_hash.hash, password))


def is_right(password: str, user: User | None) -> bool:
    return password_hash.verify(password, user.password_hash if user else _dummy_hash())


@cache
def _dummy_hash() -> str:
    return password_hash.hash(secrets.token_hex())


def hash_token(token: str) -> str:
    # Tokens have 256 random bits, which nobody guesses from a fast hash.
    return hashlib.sha256(token.encode()).hexdigest()
