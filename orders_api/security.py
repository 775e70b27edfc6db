"""Who may do what, passwords and tokens."""

import asyncio
import hashlib
import ipaddress
import os
import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cache, lru_cache, partial
from typing import Annotated, Any, TypeVar
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Request
from pwdlib import PasswordHash
from sqlalchemy import Connection, bindparam
from sqlalchemy.util import greenlet_spawn
from sqlmodel import Session, col, delete, select, update

from orders_api.database import Database, Writer, within
from orders_api.driver import Link
from orders_api.errors import FORBIDDEN, TOO_MANY, UNAUTHORIZED, Problem
from orders_api.models import SignInFailures, Token, User

# --- Who may do what ----------------------------------------------------------------------

# The operations that need no sign-in; all others need a token or a request from this machine.
PUBLIC = {
    "index",
    "get_health",
    "get_ready",
    "list_stores",
    "get_store",
    "list_store_products",
    "list_products",
    "get_product",
    "create_token",
}


@dataclass(frozen=True)
class Caller:
    """Who sent a request: a signed-in user, or (without `user_id`) anyone it is open to."""

    user_id: UUID | None = None
    token_hash: str | None = None

    def must_be(self, user_id: UUID) -> None:
        """Answer 403 to users who would change somebody else."""
        if self.user_id not in {None, user_id}:
            raise Problem(FORBIDDEN, "You may change or delete no user but yourself.")

    def must_have_token(self) -> str:
        """Answer 401 to those who need no token and sent none."""
        if self.token_hash is None:
            raise _unauthorized("There is no sign-in to end")
        return self.token_hash


ANYONE = Caller()


async def authorize(request: Request, operation: str) -> Caller:
    """Decide about a request before anything else of it is looked at, or answer 401."""
    if operation in PUBLIC:
        return ANYONE
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        patience = request.app.state.database.timeout
        return await within(patience, _caller_of(request, token.strip()))
    if request.app.state.settings.trust_local and is_local(request):
        return ANYONE
    raise _unauthorized("Sign in first")


async def _caller_of(request: Request, token: str) -> Caller:
    token_hash = hash_token(token)
    database: Database = request.app.state.database
    values = {"token_hash": token_hash, "now": datetime.now(UTC)}
    statement = database.statement(USER_OF_TOKEN)
    found = await database.read(lambda link: link.values(statement, values))
    if not found:
        raise _unauthorized("The token is wrong, expired or signed out")
    return Caller(found[0][0], token_hash)


USER_OF_TOKEN = select(col(Token.user_id)).where(
    col(Token.token_hash) == bindparam("token_hash"), col(Token.expires) > bindparam("now")
)


def _unauthorized(reason: str) -> Problem:
    how = "send your username and password to POST /token, then its answer's access_token as"
    return Problem(
        UNAUTHORIZED,
        f"{reason}: {how} `Authorization: Bearer …`.",
        headers={"WWW-Authenticate": "Bearer"},
    )


def is_local(request: Request) -> bool:
    """Tell whether a request comes from this machine, and not through a proxy or a browser's page.

    A proxy on this machine connects from loopback too, and a page of any site can make a browser
    on this machine send requests, even under a name of its own that resolves to 127.0.0.1.
    """
    sent: dict[bytes, list[str]] = {b"host": [], b"origin": [], b"sec-fetch-site": []}
    for name, value in request.headers.raw:
        if name == b"forwarded" or name.startswith(b"x-forwarded-"):
            return False
        if name in sent:
            sent[name].append(value.decode("latin-1"))
    hosts = sent[b"host"]
    return (
        _is_loopback(request.client.host if request.client else "")
        and len(hosts) == 1
        and _host_of(f"//{hosts[0]}") in {"localhost", "127.0.0.1", "::1"}
        and all(_is_same_origin(origin, hosts[0]) for origin in sent[b"origin"])
        and all(site in {"same-origin", "none"} for site in sent[b"sec-fetch-site"])
    )


@lru_cache
def _is_loopback(peer: str) -> bool:
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return False
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


@lru_cache
def _host_of(url: str) -> str | None:
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises ValueError if it is none
    except ValueError:
        return None
    return None if parts.username or parts.path or parts.query else parts.hostname


def _is_same_origin(origin: str, host: str) -> bool:
    return origin.lower() in {f"http://{host}".lower(), f"https://{host}".lower()}


async def _caller(request: Request) -> Caller:
    caller: Caller = request.state.caller
    return caller


Who = Annotated[Caller, Depends(_caller)]

# --- Passwords and tokens -----------------------------------------------------------------

password_hash = PasswordHash.recommended()  # Argon2id: 64 MiB for each hash under way
TOKEN_LIFETIME = timedelta(hours=24)
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


def _is_right(password: str, user: User | None) -> bool:
    return password_hash.verify(password, user.password_hash if user else _dummy_hash())


@cache
def _dummy_hash() -> str:
    return password_hash.hash(secrets.token_hex())


def hash_token(token: str) -> str:
    # Tokens have 256 random bits, which nobody guesses from a fast hash.
    return hashlib.sha256(token.encode()).hexdigest()


# --- Signing in ---------------------------------------------------------------------------

FREE_FAILURES = 10
FIRST_WAIT = timedelta(seconds=30)
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)


async def sign_in(request: Request, username: str, password: str) -> str:
    """Give a new token, or answer 401, or 429 after too many failures in a row.

    An unknown username takes the same way as a wrong password. No connection to the database
    is held while a password is compared.
    """
    login = User.login_of(username)
    login_hash = hash_token(login)
    database: Database = request.app.state.database
    slots: HashingSlots = request.app.state.hashing_slots

    async def look_up(link: Link) -> tuple[User | None, SignInFailures | None]:
        return await greenlet_spawn(_look_up, link.connection, login, login_hash)

    async def compare() -> tuple[User | None, bool, bool]:
        # The failures are read when the turn has come, so that attempts at once do not slip by.
        user, failures = await within(database.timeout, database.read(look_up))
        blocked = failures is not None and failures.blocked_until > datetime.now(UTC)
        right = not blocked and await asyncio.to_thread(_is_right, password, user)
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
    """Count one more failed sign-in, and give the time for which there may be no other."""
    now = datetime.now(UTC)
    forgotten = col(SignInFailures.blocked_until) < now - FORGOTTEN_AFTER
    await write.exec(delete(SignInFailures).where(forgotten))
    count = await write.exec(
        write.upsert(SignInFailures)
        .values(login_hash=login_hash, count=1, blocked_until=now)
        .on_conflict_do_update(
            index_elements=["login_hash"], set_={"count": SignInFailures.count + 1}
        )
        .returning(col(SignInFailures.count))
    )
    wait = wait_after(count.scalar_one())
    same = col(SignInFailures.login_hash) == login_hash
    await write.exec(update(SignInFailures).where(same).values(blocked_until=now + wait))
    return wait


def wait_after(failures: int) -> timedelta:
    """Give the wait after so many failed sign-ins in a row: none at first, then ever longer."""
    if failures < FREE_FAILURES:
        return timedelta(0)
    return min(FIRST_WAIT * (1 << min(failures - FREE_FAILURES, 10)), LONGEST_WAIT)
