"""Bad days on purpose, for those who build a client: answers that are late, and requests that fail.

They come to requests from this machine alone, and to none of the pages and checks of the service.
Each answer that has one says so in the header `X-Fault`.
"""

import asyncio
from collections.abc import Sequence
from random import Random

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orders_api.problems import INTERNAL, UNAVAILABLE, Problem, blank_type
from orders_api.web.security import is_loopback

HEADER = "X-Fault"
SPARED = {"/", "/docs", "/redoc", "/openapi.json", "/health", "/ready"}
TYPES = {problem_type.status: problem_type for problem_type in (INTERNAL, UNAVAILABLE)}


class FaultInjection:
    """Delays requests, and fails some of them before anything is done; see `settings.Faults`."""

    def __init__(
        self,
        app: ASGIApp,
        prefix: str,
        delay_ms: tuple[int, int],
        fail: Sequence[tuple[int, float]],
        only: Sequence[tuple[str, str]],
        seed: int,
    ) -> None:
        self.app = app
        self.prefix = prefix
        self.delay_ms = delay_ms
        self.fail = fail
        self.only = only
        self.random = Random(seed)  # noqa: S311 - no secret

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not self.concerns(scope):
            await self.app(scope, receive, send)
            return
        delay = round(self.random.uniform(*self.delay_ms))
        failure = self.failure(scope)
        found = [f"delay={delay}"] * bool(delay) + [f"fail={failure}"] * bool(failure)
        await asyncio.sleep(delay / 1000)
        if failure:
            headers = {HEADER: ", ".join(found)}
            if failure in {429, 503}:
                headers["Retry-After"] = "1"
            problem_type = TYPES.get(failure, blank_type(failure))
            raise Problem(problem_type, "It fails on purpose; nothing was done.", headers=headers)

        async def marked_send(message: Message) -> None:
            if message["type"] == "http.response.start" and found:
                mark = (HEADER.lower().encode(), ", ".join(found).encode())
                message["headers"] = [*message.get("headers", ()), mark]
            await send(message)

        await self.app(scope, receive, marked_send)

    def concerns(self, scope: Scope) -> bool:
        path = self.path(scope)
        is_spared = path.rstrip("/") in SPARED | {""} or path.startswith("/docs/")
        return not is_spared and is_loopback(scope["client"][0] if scope["client"] else "")

    def path(self, scope: Scope) -> str:
        path: str = scope["path"]
        return path.removeprefix(self.prefix)

    def failure(self, scope: Scope) -> int:
        """Return the status to fail with, or 0; what else there is has no part in the chance."""
        chance = self.random.random()
        path = self.path(scope).rstrip("/")
        methods = {scope["method"], scope["state"]["method"]}  # GET and HEAD, if it is HEAD
        is_one = any(
            method in methods and (path == start or path.startswith(f"{start}/"))
            for method, start in self.only
        )
        if is_one or not self.only:
            for status, share in self.fail:
                if chance < share:
                    return status
                chance -= share
        return 0
