"""Safe retries: a `POST` that is sent again with the same `Idempotency-Key` has effect once.

As draft-ietf-httpapi-idempotency-key-header has it. The key is stored in the transaction of its
effect, so that both happen or neither: a refused request burns no key.
"""

import hashlib
import hmac
import re
from datetime import UTC, datetime, timedelta

from fastapi import Request, Response
from sqlmodel import col, delete, select, update

from orders_api.database import Writer
from orders_api.errors import KEY_REUSED, MALFORMED, Problem
from orders_api.models import IdempotencyKey

HEADER = "Idempotency-Key"
KEPT_FOR = timedelta(hours=24)
VISIBLE = re.compile(r"[\x21-\x7e]{1,255}")


async def replay(request: Request, write: Writer) -> Response | None:
    """Give the first answer to this key, if there is one; if not, the key is taken from now on.

    A twin in flight holds the key until it ends, and this request waits for it.
    """
    key = _key(request)
    now = datetime.now(UTC)
    taken = IdempotencyKey(
        key_hash=_key_hash(request, key),
        fingerprint=await _fingerprint(request, key),
        created=now,
        status=0,
        body="",
    ).model_dump()
    is_new = await write.exec(
        write.upsert(IdempotencyKey)
        .values(taken)
        .on_conflict_do_update(
            index_elements=["key_hash"],
            set_=taken,
            where=col(IdempotencyKey.created) < now - KEPT_FOR,
        )
        .returning(col(IdempotencyKey.key_hash))
    )
    if is_new.first():
        await _forget_old(write, now)
        return None
    first = await write.get_one(IdempotencyKey, taken["key_hash"])
    if first.fingerprint != taken["fingerprint"]:
        detail = f"The {HEADER} was used for another request: take a new one for each request."
        raise Problem(KEY_REUSED, detail)
    headers = {"Idempotent-Replayed": "true"}
    if first.location:
        headers["Location"] = first.location
    return Response(first.body, first.status, headers, "application/json")


async def remember(request: Request, write: Writer, response: Response) -> None:
    """Keep the answer for those who ask again."""
    await write.exec(
        update(IdempotencyKey)
        .where(col(IdempotencyKey.key_hash) == _key_hash(request, _key(request)))
        .values(
            status=response.status_code,
            body=bytes(response.body).decode(),
            location=response.headers.get("location"),
        )
    )


async def _forget_old(write: Writer, now: datetime) -> None:
    """Remove two old keys for each new one: the table shrinks to what 24 hours leave in it."""
    old = (
        select(IdempotencyKey.key_hash)
        .where(IdempotencyKey.created < now - KEPT_FOR)
        .limit(2)
        .with_for_update(skip_locked=True)
    )
    await write.exec(delete(IdempotencyKey).where(col(IdempotencyKey.key_hash).in_(old)))


def _key(request: Request) -> str:
    keys = request.headers.getlist(HEADER)
    if len(keys) != 1 or not VISIBLE.fullmatch(keys[0]):
        raise Problem(MALFORMED, f"The {HEADER} must be 1 to 255 visible ASCII characters.")
    return keys[0]


def _key_hash(request: Request, key: str) -> str:
    """Keys are each caller's own; a hash, so that what is stored reveals nobody's key."""
    return hashlib.sha256(f"{request.state.caller.user_id} {key}".encode()).hexdigest()


async def _fingerprint(request: Request, key: str) -> str:
    # Keyed by what is not stored, because a body may hold a password.
    message = f"{request.method} {request.url.path}\n".encode() + await request.body()
    return hmac.digest(key.encode(), message, "sha256").hex()
