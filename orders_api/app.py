"""Puts the application together."""

import logging
import re
import time
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

import sqlalchemy.exc
from alembic.util import CommandError
from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from orders_api.database import Database, head_revision
from orders_api.errors import (
    INTERNAL,
    MIGRATE_HINT,
    TOO_LARGE,
    Problem,
    add_error_handlers,
)
from orders_api.openapi import complete_document
from orders_api.routes import coupons, orders, products, service, stores, todos, tokens, users
from orders_api.security import hashing_slots
from orders_api.settings import Settings

log = logging.getLogger("orders_api")

DESCRIPTION = """
Browse products that many stores offer, and order any number of them from any number of stores.
"""


def create_app(settings: Settings) -> FastAPI:
    """Make an application of its own, with its own database engines."""
    prefix = settings.api_prefix

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        start_logging(settings)
        app.state.settings = settings
        app.state.hashing_slots = hashing_slots()
        app.state.database = database = Database(settings)
        await prepare(database)
        yield
        await database.dispose()

    # The documentation pages come with their scripts, and need no internet.
    app = FastAPIOffline(
        title="Orders API",
        version=version("orders-api"),
        description=DESCRIPTION,
        license_info={"name": "MIT", "identifier": "MIT"},
        lifespan=lifespan,
        redirect_slashes=False,
        openapi_url=f"{prefix}/openapi.json",
        docs_url=f"{prefix}/docs",
        redoc_url=f"{prefix}/redoc",
        static_url=f"{prefix}/docs/static",
        swagger_ui_oauth2_redirect_url=f"{prefix}/docs/oauth2-redirect",
    )
    for module in (service, stores, products, orders, coupons, users, tokens, todos):
        app.include_router(module.router, prefix=prefix)
    if prefix:
        app.add_api_route(prefix, service.index, include_in_schema=False)
    add_error_handlers(app)
    app.add_middleware(RequestContext, max_body_bytes=settings.max_body_bytes)
    complete_document(app)
    return app


async def prepare(database: Database) -> None:
    """Migrate SQLite; for PostgreSQL only say what is missing, since many may start at once."""
    try:
        if database.is_sqlite:
            await database.migrate()
        elif await database.current_revision() != head_revision():
            log.warning(MIGRATE_HINT)
    except (sqlalchemy.exc.SQLAlchemyError, CommandError, OSError) as error:
        log.warning("The database cannot be used yet: %s", getattr(error, "orig", error))


def start_logging(settings: Settings) -> None:
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    log.setLevel(settings.log_level)
    # RequestContext writes the access log, with the request's id.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.access").propagate = False


SANE_REQUEST_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


class RequestContext:
    """Gives each request its id, its size limit, its line in the log, and 500 if all else fails.

    FastAPI's own `max_body_size` answers a declared size that is too large with plain text,
    past every handler; here it is problem+json like all errors.
    """

    def __init__(self, app: ASGIApp, max_body_bytes: int) -> None:
        self.app = app
        self.max_body_bytes = max_body_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started = time.perf_counter()
        headers = Headers(scope=scope)
        request_id = headers.get("x-request-id", "")
        if not SANE_REQUEST_ID.fullmatch(request_id):
            request_id = uuid.uuid4().hex
        scope.setdefault("state", {})["request_id"] = request_id
        # It may be ignored (RFC 9110, 14.2); files would answer a wrong one with plain text.
        scope["headers"] = [header for header in scope["headers"] if header[0] != b"range"]
        status = 0
        received = 0

        async def limited_receive() -> Message:
            nonlocal received
            message = await receive()
            received += len(message.get("body", b""))
            self.check_size(received)
            return message

        async def tagged_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)["X-Request-ID"] = request_id
            await send(message)

        try:
            self.check_size(int(headers.get("content-length", "0")))
            await self.app(scope, limited_receive, tagged_send)
        except Problem as problem:
            await problem.response(request_id)(scope, receive, tagged_send)
        except Exception:
            log.exception("The request %s failed", request_id)
            if not status:
                failure = Problem(INTERNAL, "Something went wrong on the server.")
                await failure.response(request_id)(scope, receive, tagged_send)
        finally:
            log.info(
                '%s "%s %s" %s %.1f ms %s',
                (scope["client"] or ("-",))[0],
                scope["method"],
                scope["raw_path"].decode("latin-1"),
                status,
                (time.perf_counter() - started) * 1000,
                request_id,
            )

    def check_size(self, size: int) -> None:
        if size > self.max_body_bytes:
            detail = f"The body must not be larger than {self.max_body_bytes} bytes."
            raise Problem(TOO_LARGE, detail, headers={"Connection": "close"})
