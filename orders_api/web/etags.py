"""Conditional requests (RFC 9110, 13): ETags, `If-None-Match` and `If-Match`."""

import hashlib
import re

from fastapi import Request, Response

from orders_api.problems import PRECONDITION_FAILED, Problem

ENTITY_TAG = re.compile(r'(?:W/)?"[^"]*"')


def etag(content: bytes) -> str:
    """Return the strong entity tag of a representation: it differs whenever a byte does."""
    return f'"{hashlib.blake2b(content, digest_size=16).hexdigest()}"'


def check_if_match(expected: str, current: str) -> None:
    """Answer 412 unless the client has seen the current state (strong comparison, 8.8.3.2)."""
    if expected.strip() != "*" and current not in ENTITY_TAG.findall(expected):
        raise Problem(
            PRECONDITION_FAILED,
            "It was changed since you read it: read it again, then decide.",
            headers={"ETag": current},
        )


def set_etag(request: Request, response: Response) -> None:
    """Set the ETag of a single resource, or make it 304 for a client that has it already."""
    # Most requests pay for this, so that it looks into what `headers` would be made of.
    if b"etag" not in dict(response.raw_headers):
        response.raw_headers.append((b"etag", etag(bytes(response.body)).encode()))
    if b"if-none-match" not in dict(request.scope["headers"]):
        return
    current = response.headers["ETag"]
    known = ", ".join(request.headers.getlist("if-none-match"))
    # Weak comparison (8.8.3.2), as 13.1.2 has it.
    tags = [found.removeprefix("W/") for found in ENTITY_TAG.findall(known)]
    if request.method == "GET" and (known.strip() == "*" or current.removeprefix("W/") in tags):
        leave_out_body(response)
        response.status_code = 304


def leave_out_body(response: Response) -> None:
    """Empty a response; its cookies, its other headers and its background tasks stay."""
    response.body = b""
    for name in [name for name in response.headers if name.startswith("content-")]:
        del response.headers[name]
