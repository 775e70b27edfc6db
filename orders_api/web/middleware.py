"""What surrounds every request: its id, its line in the log, its limits, and the last resort."""

import logging
import re
import time
from collections.abc import Awaitable, Mapping
from inspect import iscoroutinefunction
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, ExceptionHandler, Message, Receive, Scope, Send
from uuid_utils import uuid4

from orders_api.logs import log, log_request, request_state
from orders_api.problems import FORBIDDEN, NOT_FOUND, TOO_LARGE, Problem
from orders_api.web.error_handlers import from_failure
from orders_api.web.requests import path_within

CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


def check_path(path: str) -> None:
    """Raise 404 for a control character: routes end in `$`, which matches before a line break."""
    if not path.isprintable() and CONTROL_CHARACTER.search(path):
        raise Problem(NOT_FOUND, "There is nothing at a path with a control character.")


async def _answer_failure(request: Request, error: Exception) -> Response:
    return from_failure(error, request).response(request.state.request_id)


class RequestContext:
    """Gives each request its id and its line in the log.

    `HEAD` is answered as `GET` is. What the client sent is `request.state.method`.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Every request pays for each line in here, so that they are plain dicts and bytes.
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers: dict[bytes, bytes] = dict(scope["headers"])
        tag = headers.get(b"x-request-id")
        if not tag or not SANE_REQUEST_ID.fullmatch(tag):
            tag = uuid4().hex.encode()
        state = scope.setdefault("state", {})
        state["request_id"] = tag.decode()
        state["method"] = method = scope["method"]
        state["content_length"] = headers.get(b"content-length")
        state["statements"] = state["status"] = 0
        request_state.set(state)
        if b"range" in headers:
            # It may be ignored (RFC 9110, 14.2); files would answer a wrong one with plain text.
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"range"]
        if method == "HEAD":
            # The server looks into the scope that is its own, and leaves out the body.
            scope = {**scope, "method": "GET"}

        def tagged_send(message: Message) -> Awaitable[None]:
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", tag)]
                if b"upgrade" in headers or method == "CONNECT":
                    # uvicorn reads the body of such a request as the next request. `orders-api
                    # serve` does not, and lets no such header through.
                    message["headers"].append((b"connection", b"close"))
            return send(message)

        try:
            await self.app(scope, receive, tagged_send)
        finally:
            if log.isEnabledFor(logging.INFO):
                log_request(scope, state["status"], time.perf_counter() - started)


class LastResort:
    """Refuses what is too large or no request, and answers with 500 if all else fails.

    A handler of the application for `Exception` or 500 makes the answer then. Starlette would call
    it too, but then raise the exception again, for the server to log it a second time.

    FastAPI's own `max_body_size` answers a declared size that is too large with plain text,
    and calls no exception handler; here it is problem+json like all errors.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int,
        limits: Mapping[str, int],
        exception_handlers: Mapping[Any, ExceptionHandler],
    ) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.limits = limits  # of paths that have another one
        own = [handler for key, handler in exception_handlers.items() if key in (500, Exception)]
        self.answer_failure: Any = own[-1] if own else _answer_failure

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        state = scope["state"]
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            self.check_refusal(state)
            received += len(message.get("body", b""))
            self.check_size(scope, received)
            return message

        try:
            self.check_refusal(state)
            check_path(scope["path"])
            if state["content_length"] is not None:
                self.check_size(scope, int(state["content_length"]))
            await self.app(scope, limited_receive, send)
        except Problem as problem:
            await problem.response(state["request_id"])(scope, receive, send)
        except Exception as error:
            log.exception("The request %s failed", state["request_id"])
            if not state["status"]:
                request = Request(scope)  # its body is read or lost, as in Starlette's own
                if iscoroutinefunction(self.answer_failure):
                    response = await self.answer_failure(request, error)
                else:
                    response = await run_in_threadpool(self.answer_failure, request, error)
                await response(scope, receive, send)

    def check_refusal(self, state: dict[str, Any]) -> None:
        """Raise the problem that the server's protocol has found."""
        if "refusal" in state:
            raise state["refusal"]

    def check_size(self, scope: Scope, size: int) -> None:
        if size > self.max_body_bytes and size > (
            limit := self.limits.get(path_within(scope), self.max_body_bytes)
        ):
            detail = f"The body must not be larger than {limit} bytes."
            raise Problem(TOO_LARGE, detail, headers={"Connection": "close"})


class CrossOrigin(CORSMiddleware):
    """Lets pages of other origins read answers; Starlette's, but it refuses with a problem.

    It stands around `LastResort`, so that they can read problems too. They get no token by it, and
    are not trusted as local (see `security`).
    """

    def preflight_response(self, request_headers: Headers) -> Response:
        response = super().preflight_response(request_headers)
        if response.status_code < 400:
            return response
        reason = f"{bytes(response.body).decode()}: the setting CORS_ORIGINS names those allowed."
        return Problem(FORBIDDEN, reason).response(request_state.get()["request_id"])
