"""Who may do what."""

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Annotated
from urllib.parse import urlsplit
from uuid import UUID

from fastapi import Depends, Request
from sqlalchemy import bindparam
from sqlmodel import col, select

from orders_api.models import Token
from orders_api.problems import FORBIDDEN, UNAUTHORIZED, Problem
from orders_api.storage.deadline import abandon_after
from orders_api.storage.engines import Database
from orders_api.web.passwords import hash_token


@dataclass(frozen=True)
class Caller:
    """Who sent a request: a signed-in user, or (without `user_id`) anyone it is open to."""

    user_id: UUID | None = None
    token_hash: str | None = None

    def require_self(self, user_id: UUID) -> None:
        """Answer 403 to users who would change somebody else."""
        if self.user_id not in {None, user_id}:
            raise Problem(FORBIDDEN, "You may change or delete no user but yourself.")

    def must_have_token(self) -> str:
        """Answer 401 to those who need no token and sent none."""
        if self.token_hash is None:
            raise _unauthorized("There is no sign-in to end")
        return self.token_hash


ANYONE = Caller()
LOOPBACK = {"localhost", "127.0.0.1", "::1"}


async def authorize(request: Request) -> Caller:
    """Decide about a request before anything else of it is looked at, or answer 401."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() == "bearer" and token:
        patience = request.app.state["database"].timeout
        return await abandon_after(patience, _caller_of(request, token.strip()))
    if is_trusted(request):
        return ANYONE
    raise _unauthorized("Sign in first")


async def _caller_of(request: Request, token: str) -> Caller:
    token_hash = hash_token(token)
    database: Database = request.app.state["database"]
    values = {"token_hash": token_hash, "now": datetime.now(UTC)}
    statement = database.statement(USER_OF_TOKEN)
    found = await database.read(lambda connection: connection.values(statement, values))
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


def is_trusted(request: Request) -> bool:
    """Tell whether a request needs no token, because it comes from this machine."""
    return bool(request.app.state["settings"].trust_local) and is_local(request)


def is_local(request: Request) -> bool:
    """Tell whether a request comes from this machine, and not through a proxy or a browser's page.

    A proxy on this machine connects from loopback too, and a page of any site can make a browser
    on this machine send requests, even under a name of its own that resolves to 127.0.0.1.
    """
    hosts, origins, sites = [], [], []
    for name, value in request.scope["headers"]:
        if name == b"host":
            hosts.append(value.decode("latin-1"))
        elif name == b"origin":
            origins.append(value.decode("latin-1"))
        elif name == b"sec-fetch-site":
            sites.append(value)
        elif name == b"forwarded" or name.startswith(b"x-forwarded-"):
            return False
    client = request.scope.get("client")
    return (
        is_loopback(client[0] if client else "")
        and len(hosts) == 1
        and _host_of(f"//{hosts[0]}") in LOOPBACK
        and all(_is_same_origin(origin, hosts[0]) for origin in origins)
        and {b"same-origin", b"none"}.issuperset(sites)
    )


@lru_cache
def is_loopback(peer: str) -> bool:
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


CurrentCaller = Annotated[Caller, Depends(_caller)]
