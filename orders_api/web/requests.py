"""Requests as they are taken: strict JSON, known parameters, and media types that are named."""

import re
from collections.abc import AsyncGenerator, Mapping
from typing import Any

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from starlette.types import Scope

from orders_api.problems import MALFORMED, UNSUPPORTED, Problem
from orders_api.web.strict_json import parse_json

JSON = "application/json"


class StrictRequest(Request):
    """Reads strict JSON.

    The body is kept by the request that it is made of, which exception handlers are called with.
    """

    def __init__(self, request: Request) -> None:
        super().__init__(request.scope, request.receive)
        self.original = request

    async def body(self) -> bytes:
        return await self.original.body()

    def stream(self) -> AsyncGenerator[bytes, None]:
        return self.original.stream()

    async def json(self) -> Any:
        try:
            return parse_json(await self.body())
        except ValueError as error:
            raise Problem(MALFORMED, f"The body {error}.") from None


def path_within(scope: Scope) -> str:
    """Return a path as the application's routes have it, which may be mounted in another one."""
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def check_query(request: Request, known: Mapping[str, bool]) -> None:
    """Refuse parameters that are unknown (a misspelt filter would answer with everything).

    `known` says of each name whether it may be given several times.
    """
    if not request.scope["query_string"]:
        return
    names = [name for name, _ in request.query_params.multi_items()]
    errors: list[dict[str, Any]] = [
        {
            "type": "extra_forbidden",
            "loc": ("query", name),
            "ctx": {"known": list(known)},
            "msg": "",
        }
        for name in dict.fromkeys(names)
        if name not in known
    ]
    errors += [
        {"type": "repeated", "loc": ("query", name), "msg": "must be given once only"}
        for name, takes_several in known.items()
        if names.count(name) > 1 and not takes_several
    ]
    if errors:
        raise RequestValidationError(errors)


def check_media_type(request: Request, expected: list[str], has_body: bool) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in expected:
        return
    is_json = JSON in expected and re.fullmatch(r"application/[^/]+\+json", media_type)
    if not is_json and has_body:
        hint = " (curl: --json)" if expected == [JSON] else ""
        detail = f"The body's media type must be sent, and be {' or '.join(expected)}{hint}."
        raise Problem(UNSUPPORTED, detail)
