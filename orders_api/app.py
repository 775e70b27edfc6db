"""Puts the application together."""

import logging
import re
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from importlib.metadata import version
from importlib.resources import files
from typing import Any

import fastapi_offline
import sqlalchemy.exc
from alembic.util import CommandError
from fastapi import FastAPI, Request, Response
from fastapi.routing import iter_route_contexts
from fastapi_offline import FastAPIOffline
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uuid_utils import uuid4

from orders_api.database import Database, head_revision
from orders_api.errors import (
    INTERNAL,
    MIGRATE_HINT,
    NOT_FOUND,
    TOO_LARGE,
    Problem,
    add_error_handlers,
)
from orders_api.logs import log, log_request, request_state, start_logging, watch_statements
from orders_api.openapi import complete_document
from orders_api.routes import route_modules, service
from orders_api.routing import Directory
from orders_api.security import hashing_slots
from orders_api.settings import Settings

DESCRIPTION = """
Browse products that many stores offer, and order any number of them from any number of stores.

What is not valid HTTP is refused before any operation sees it, with 400
(`urn:orders-api:malformed`), and a request line with headers of more than `MAX_HEAD_BYTES`
(32768 unless set) with 431 (`urn:orders-api:head-too-large`). Both are problem details, as all
errors are, and end the connection.
"""


def create_app(settings: Settings) -> FastAPI:
    """Make an application of its own, with its own database engines."""
    prefix = settings.api_prefix

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start_logging(settings)
        if not app._native_telemetry.enabled():
            # FastAPI would look for it in the environment, three times for each request.
            app._telemetry.update({"tracing": False, "metrics": False, "logs": False})
        app.state.hashing_slots = hashing_slots()
        app.state.database = database = Database(settings)
        for engine in {database.reader.sync_engine, database.writer.sync_engine}:
            watch_statements(engine, settings.slow_statement_ms)
        await prepare(database)
        yield
        await database.dispose()

    # The documentation pages come with their scripts, and need no internet.
    static = f"{prefix}/docs/static"
    app = FastAPIOffline(
        routes=[Route(f"{static}/redoc.standalone.js", redoc_script)],
        title="Orders API",
        version=version("orders-api"),
        description=DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=f"{prefix}/openapi.json",
        docs_url=f"{prefix}/docs",
        redoc_url=f"{prefix}/redoc",
        static_url=static,
        swagger_ui_oauth2_redirect_url=f"{prefix}/docs/oauth2-redirect",
    )
    app.state.settings = settings
    for module in route_modules():
        app.include_router(module.router, prefix=prefix)
    if prefix:
        app.add_api_route(
            prefix, service.index, response_model=service.Index, include_in_schema=False
        )
    contexts = list(iter_route_contexts(app.routes))
    app.state.fixed_paths = {path for c in contexts if "{" not in (path := str(c.path))}
    add_error_handlers(app)
    app.add_middleware(Directory, contexts=contexts)
    limits = {f"{prefix}/products/import": settings.max_import_bytes}
    app.add_middleware(RequestContext, max_body_bytes=settings.max_body_bytes, limits=limits)
    complete_document(app)
    return app


async def redoc_script(_: Request) -> Response:
    """Serve ReDoc without the logo, which it would fetch from its maker's server."""
    file = files(fastapi_offline) / "static" / "redoc.standalone.js"
    script = file.read_bytes().replace(b"https://cdn.redoc.ly/redoc/logo-mini.svg", b"data:,")
    headers = {"Cache-Control": "max-age=86400"}
    return Response(script, media_type="text/javascript", headers=headers)


async def prepare(database: Database) -> None:
    """Migrate SQLite; for PostgreSQL only say what is missing, since many may start at once."""
    try:
        if database.is_sqlite:
            await database.migrate()
        elif await database.current_revision() != head_revision():
            log.warning(MIGRATE_HINT)
    except (sqlalchemy.exc.SQLAlchemyError, CommandError, OSError) as error:
        log.warning("The database cannot be used yet: %s", getattr(error, "orig", error))


CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f-\x9f]")
SANE_REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/+=@-]{1,128}")


def check_path(path: str) -> None:
    """Raise 404 for a control character: routes end in `$`, which matches before a line break."""
    if CONTROL_CHARACTER.search(path):
        raise Problem(NOT_FOUND, "There is nothing at a path with a control character.")


class RequestContext:
    """Gives each request its id, its size limit, its line in the log, and 500 if all else fails.

    `HEAD` is answered as `GET` is. What the client sent is `request.state.method`.

    FastAPI's own `max_body_size` answers a declared size that is too large with plain text,
    past every handler; here it is problem+json like all errors.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int, limits: dict[str, int]) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes
        self.limits = limits  # of paths that have another one

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
        request_id = tag.decode()
        state = scope.setdefault("state", {})
        state["request_id"] = request_id
        state["method"] = method = scope["method"]
        state["statements"] = 0
        request_state.set(state)
        if b"range" in headers:
            # It may be ignored (RFC 9110, 14.2); files would answer a wrong one with plain text.
            scope["headers"] = [header for header in scope["headers"] if header[0] != b"range"]
        if method == "HEAD":
            # The server looks into the scope that is its own, and leaves out the body.
            scope = {**scope, "method": "GET"}
        status = 0
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            self.check_refusal(state)
            received += len(message.get("body", b""))
            self.check_size(scope, received)
            return message

        def tagged_send(message: Message) -> Awaitable[None]:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = [*message.get("headers", ()), (b"x-request-id", tag)]
                if b"upgrade" in headers or method == "CONNECT":
                    # uvicorn reads the body of such a request as the next request. `orders-api
                    # serve` does not, and lets no such header through.
                    message["headers"].append((b"connection", b"close"))
            return send(message)

        try:
            self.check_refusal(state)
            check_path(scope["path"])
            if b"content-length" in headers:
                self.check_size(scope, int(headers[b"content-length"]))
            await self.app(scope, limited_receive, tagged_send)
        except Problem as problem:
            await problem.response(request_id)(scope, receive, tagged_send)
        except Exception:
            log.exception("The request %s failed", request_id)
            if not status:
                failure = Problem(INTERNAL, "Something went wrong on the server.")
                await failure.response(request_id)(scope, receive, tagged_send)
        finally:
            if log.isEnabledFor(logging.INFO):
                log_request(scope, status, time.perf_counter() - started)

    def check_refusal(self, state: dict[str, Any]) -> None:
        """Raise the problem that the server's protocol has found."""
        if "refusal" in state:
            raise state["refusal"]

    def check_size(self, scope: Scope, size: int) -> None:
        if size > self.max_body_bytes and size > (
            limit := self.limits.get(scope["path"], self.max_body_bytes)
        ):
            detail = f"The body must not be larger than {limit} bytes."
            raise Problem(TOO_LARGE, detail, headers={"Connection": "close"})
