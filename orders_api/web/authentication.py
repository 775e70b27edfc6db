"""Signing in, and the waits after failures."""

import asyncio
import secrets
from datetime import UTC, datetime, timedelta

from fastapi import Request
from sqlalchemy import Connection
from sqlalchemy.util import greenlet_spawn
from sqlmodel import Session, col, delete, select, update

from orders_api.models import SignInFailures, Token, User
from orders_api.problems import TOO_MANY, UNAUTHORIZED, Problem
from orders_api.storage.deadline import abandon_after
from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.storage.statements import upsert
from orders_api.web.passwords import HashingSlots, hash_token, is_right
from orders_api.web.sessions import Writer

TOKEN_LIFETIME = timedelta(hours=24)
FREE_FAILURES = 10
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)


async def sign_in(request: Request, username: str, password: str) -> str:
    """Return a new token, or answer 401, or 429 after too many failures in a row.

    An unknown username takes the same way as a wrong password. No connection to the database
    is held while a password is compared.
    """
    login = User.login_of(username)
    login_hash = hash_token(login)
    database: Database = request.app.state.database
    slots: HashingSlots = request.app.state.hashing_slots

    async def look_up(connection: PooledConnection) -> tuple[User | None, SignInFailures | None]:
        return await greenlet_spawn(_look_up, connection.connection, login, login_hash)

    async def compare() -> tuple[User | None, bool, bool]:
        # The failures are read when the turn has come, so that attempts at once do not slip by.
        user, failures = await abandon_after(database.timeout, database.read(look_up))
        blocked = failures is not None and failures.blocked_until > datetime.now(UTC)
        right = not blocked and await asyncio.to_thread(is_right, password, user)
        return user, blocked, right

    user, blocked, right = await slots.run(compare)
    async with Writer(request) as write:
        if user and right:
            return await _new_token(write, user, login_hash)
        wait = await _count_failure(write, login_hash)
    if blocked:
        seconds = str(round(wait.total_seconds()))
        detail = f"Too many failed sign-ins for this username: try again in {seconds} seconds."
        raise Problem(TOO_MANY, detail, headers={"Retry-After": seconds})
    raise Problem(
        UNAUTHORIZED,
        "The username or the password is wrong.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def _look_up(
    connection: Connection, login: str, login_hash: str
) -> tuple[User | None, SignInFailures | None]:
    with Session(connection) as read:
        user = read.exec(select(User).where(User.login == login)).one_or_none()
        return user, read.get(SignInFailures, login_hash)


async def _new_token(write: Writer, user: User, login_hash: str) -> str:
    token = secrets.token_hex(32)  # hexadecimal: none begins with a minus, as an option does
    now = datetime.now(UTC)
    await write.exec(delete(SignInFailures).where(col(SignInFailures.login_hash) == login_hash))
    await write.exec(delete(Token).where(col(Token.expires) < now))
    write.add(
        Token(token_hash=hash_token(token), user_id=user.user_id, expires=now + TOKEN_LIFETIME)
    )
    return token


async def _count_failure(write: Writer, login_hash: str) -> timedelta:
    """Count one more failed sign-in, and return the time for which there may be no other."""
    now = datetime.now(UTC)
    forgotten = col(SignInFailures.blocked_until) < now - FORGOTTEN_AFTER
    await write.exec(delete(SignInFailures).where(forgotten))
    count = await write.exec(
        upsert(SignInFailures, write.database.is_sqlite)
        .values(login_hash=login_hash, count=1, blocked_until=now)
        .on_conflict_do_update(
            index_elements=["login_hash"], set_={"count": SignInFailures.count + 1}
        )
        .returning(col(SignInFailures.count))
    )
    wait = lockout_for(count.scalar_one())
    same = col(SignInFailures.login_hash) == login_hash
    await write.exec(update(SignInFailures).where(same).values(blocked_until=now + wait))
    return wait


def lockout_for(failures: int) -> timedelta:
    """Return the wait after so many failed sign-ins in a row: none at first, then ever longer."""
    if failures < FREE_FAILURES:
        return timedelta(0)
    return min(FIRST_WAIT * (1 << min(failures - FREE_FAILURES, 10)), LONGEST_WAIT)
