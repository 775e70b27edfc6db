"""Safe retries: a `POST` that is sent again with the same `Idempotency-Key` has effect once.

As draft-ietf-httpapi-idempotency-key-header has it. The key is stored in the transaction of its
effect, so that both happen or neither: a refused request burns no key. It is the first thing in
that transaction, which begins no earlier than the endpoint needs it. An answer that is kept is
found before the endpoint is called; of two requests at once, both call it, and the second one ends
where its transaction begins. So an effect that is none of the database's comes after that.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response
from sqlalchemy import Insert, bindparam, select
from sqlmodel import col, delete, update

from orders_api.models import IdempotencyKey
from orders_api.problems import KEY_REUSED, MALFORMED, Problem
from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.storage.statements import upsert

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


class Replay(Exception):  # noqa: N818 - no error, but the answer
    """Raised in place of a second effect: `response` is the answer to the first request."""

    def __init__(self, response: Response) -> None:
        self.response = response


class KeyGuard:
    """The key of one request: taken as its transaction begins, then kept with its answer."""

    def __init__(self, request: Request) -> None:
        """Raise 400 if the header is not one key."""
        self.database: Database = request.app.state.database
        self.request = request
        keys = request.headers.getlist(HEADER)
        if len(keys) != 1 or not VISIBLE.fullmatch(keys[0]):
            raise Problem(MALFORMED, f"The {HEADER} must be 1 to 255 visible ASCII characters.")
        self.key = keys[0]
        # Keys are each caller's own; a hash, so that what is stored reveals nobody's key.
        own = f"{request.state.caller.user_id} {self.key}"
        self.key_hash = hashlib.sha256(own.encode()).hexdigest()

    async def replay(self) -> None:
        """Raise `Replay` if the key has an answer already."""
        since = datetime.now(UTC) - KEPT_FOR
        await self.database.read(lambda connection: self._find(connection, since))

    async def _find(self, connection: PooledConnection, since: datetime) -> None:
        statement = self.database.statement(FIND)
        for fingerprint, status, location, body in await connection.values(
            statement, {"key": self.key_hash, "since": since}
        ):
            if fingerprint != await self._fingerprint():
                detail = f"The {HEADER} was used for another request: take a new one for each."
                raise Problem(KEY_REUSED, detail)
            if status == 0:  # its endpoint has committed past its session
                detail = f"The {HEADER} belongs to a request that has failed: take a new one."
                raise Problem(KEY_REUSED, detail)
            headers = {"Idempotent-Replayed": "true"} | ({"Location": location} if location else {})
            raise Replay(Response(body, status, headers, "application/json"))

    async def take(self, connection: PooledConnection) -> None:
        """Take the key from now on, or raise `Replay` if it has an answer by now.

        A twin in flight holds the key until it ends, and this request waits for it.
        """
        now = datetime.now(UTC)
        since = now - KEPT_FOR
        taken = {
            "key_hash": self.key_hash,
            "fingerprint": await self._fingerprint(),
            "created": now,
            "status": 0,
            "body": "",
        }
        statement = self.database.statement(TAKE[self.database.is_sqlite], tuple(taken))
        if not await connection.values(statement, taken | {"old": since}):
            await self._find(connection, since)  # what is too young to be taken is found

    async def remember(self, connection: PooledConnection, response: Response) -> None:
        """Keep the answer for those who ask again, which must be in one piece."""
        if not hasattr(response, "body"):
            kind = type(response).__name__
            raise TypeError(f"A {kind} cannot be kept for an {HEADER}: answer in one piece")
        answer = {
            "status": response.status_code,
            "body": bytes(response.body).decode(),
            "location": response.headers.get("location"),
        }
        statement = self.database.statement(REMEMBER, tuple(answer))
        await connection.run(statement, answer | {"key": self.key_hash})
        if self.key_hash.startswith("0"):  # one of 16
            since = datetime.now(UTC) - KEPT_FOR
            await connection.run(self.database.statement(FORGET), {"old": since})

    async def _fingerprint(self) -> str:
        # Keyed by what is not stored, because a body may hold a password.
        request = self.request
        message = f"{request.method} {request.url.path}\n".encode() + await request.body()
        return hmac.digest(self.key.encode(), message, "sha256").hex()


# --- Statements ---------------------------------------------------------------------------


def _take(is_sqlite: bool) -> Insert:
    """Insert a key unless there is one that is not old; answers with a row if it is taken."""
    insert = upsert(IdempotencyKey, is_sqlite)
    columns = ("fingerprint", "created", "status", "body", "location")
    return insert.on_conflict_do_update(
        index_elements=["key_hash"],
        set_={name: insert.excluded[name] for name in columns},
        where=col(IdempotencyKey.created) < bindparam("old"),
    ).returning(col(IdempotencyKey.key_hash))


TAKE = {is_sqlite: _take(is_sqlite) for is_sqlite in (True, False)}

# Twice as many as come meanwhile: the table shrinks to what 24 hours leave in it. Unless PostgreSQL
# keeps what the subquery finds, it may run that again for each row, and delete them all.
_old = (
    select(col(IdempotencyKey.key_hash))
    .where(col(IdempotencyKey.created) < bindparam("old"))
    .limit(32)
    .cte("old")
    .prefix_with("MATERIALIZED", dialect="postgresql")
)
FORGET = delete(IdempotencyKey).where(col(IdempotencyKey.key_hash).in_(select(_old.c.key_hash)))
FIND = select(
    col(IdempotencyKey.fingerprint),
    col(IdempotencyKey.status),
    col(IdempotencyKey.location),
    col(IdempotencyKey.body),
).where(
    col(IdempotencyKey.key_hash) == bindparam("key"),
    col(IdempotencyKey.created) >= bindparam("since"),
)
REMEMBER = update(IdempotencyKey).where(col(IdempotencyKey.key_hash) == bindparam("key"))
