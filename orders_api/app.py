"""Puts the application together."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from importlib.metadata import version
from importlib.resources import files

import fastapi_offline
import sqlalchemy.exc
from alembic.util import CommandError
from fastapi import FastAPI, Request, Response
from fastapi.routing import iter_route_contexts
from fastapi_offline import FastAPIOffline
from starlette.routing import Route

from orders_api.logs import StatementLog, log, start_logging
from orders_api.routes import routers, service
from orders_api.settings import Settings
from orders_api.storage.engines import Database
from orders_api.storage.observers import observe_statements
from orders_api.web.error_handlers import add_error_handlers
from orders_api.web.faults import HEADER as FAULT, FaultInjection
from orders_api.web.middleware import CrossOrigin, LastResort, RequestContext
from orders_api.web.openapi import HEADERS, complete_document
from orders_api.web.passwords import hashing_slots
from orders_api.web.route_table import RouteTable
from orders_api.web.schema_checks import check_schemas, warn_of_parameters

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
        contexts = list(iter_route_contexts(app.routes))
        check_schemas(contexts)
        warn_of_parameters(contexts)
        app.state.fixed_paths = {str(c.path) for c in contexts if c.path and "{" not in c.path}
        app.state.hashing_slots = hashing_slots()
        app.state.database = database = Database(settings)
        statement_log = StatementLog(settings.slow_statement_ms)
        for engine in {database.reader.sync_engine, database.writer.sync_engine}:
            observe_statements(engine, statement_log.before, statement_log.after)
        await prepare(database)
        if settings.faults:
            log.warning(settings.faults)
        yield
        await database.dispose()

    # The documentation pages come with their scripts, and need no internet.
    static = f"{prefix}/docs/static"
    app = FastAPIOffline(
        routes=[
            Route(f"{static}/swagger-ui-bundle.js", swagger_script),
            Route(f"{static}/redoc.standalone.js", redoc_script),
        ],
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
        swagger_ui_parameters={"persistAuthorization": True},
        swagger_ui_oauth2_redirect_url=f"{prefix}/docs/oauth2-redirect",
    )
    app.state.settings = settings
    for router in routers():
        app.include_router(router, prefix=prefix)
    if prefix:
        app.add_api_route(
            prefix, service.index, response_model=service.Index, include_in_schema=False
        )
    add_error_handlers(app)
    if settings.shortcuts:
        app.router.routes.insert(0, RouteTable(app))
    # The last one added is the outermost.
    if settings.faults:
        app.add_middleware(FaultInjection, prefix=prefix, **asdict(settings.faults))
    app.add_middleware(
        LastResort,
        max_body_bytes=settings.max_body_bytes,
        limits={f"{prefix}/products/import": settings.max_import_bytes},
        exception_handlers=app.exception_handlers,
    )
    if settings.cors_origins:
        app.add_middleware(
            CrossOrigin,
            allow_origins=settings.cors_origins,
            allow_methods=["*"],
            allow_headers=["*"],
            expose_headers=[*HEADERS, FAULT],
            # A page from the internet may use a server on this machine if it was named.
            allow_private_network=settings.cors_origins != ("*",),
        )
    app.add_middleware(RequestContext)
    complete_document(app)
    return app


# Swagger UI has a dark mode, but leaves it to a button that FastAPI's page does not show.
FOLLOW_COLOR_SCHEME = b"""{
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const follow = () => document.documentElement.classList.toggle("dark-mode", dark.matches);
  dark.addEventListener("change", follow);
  follow();
}
"""


# To keep the token over reloads it stores all that it knows of a sign-in, the password too.
FORGET_PASSWORD = b"""{
  const { setItem } = Storage.prototype;
  const isSecret = (name, value) => name === "password" && typeof value === "string";
  const kept = (name, value) => (isSecret(name, value) ? undefined : value);
  Storage.prototype.setItem = function (key, text) {
    setItem.call(this, key, key === "authorized" ? JSON.stringify(JSON.parse(text), kept) : text);
  };
}
"""


async def swagger_script(_: Request) -> Response:
    """Serve Swagger UI in the colours that the browser prefers, which keeps no password."""
    return _script(FOLLOW_COLOR_SCHEME + FORGET_PASSWORD + _static_file("swagger-ui-bundle.js"))


async def redoc_script(_: Request) -> Response:
    """Serve ReDoc without the logo, which it would fetch from its maker's server."""
    logo = b"https://cdn.redoc.ly/redoc/logo-mini.svg"
    return _script(_static_file("redoc.standalone.js").replace(logo, b"data:,"))


def _static_file(name: str) -> bytes:
    return (files(fastapi_offline) / "static" / name).read_bytes()


def _script(content: bytes) -> Response:
    headers = {"Cache-Control": "max-age=86400"}
    return Response(content, media_type="text/javascript", headers=headers)


async def prepare(database: Database) -> None:
    """Make the schema of a new SQLite database; of another one only say what is missing."""
    try:
        if database.is_sqlite:
            await database.migrate_if_empty()
        if advice := await database.schema_advice():
            log.warning(advice)
    except (sqlalchemy.exc.SQLAlchemyError, CommandError, OSError) as error:
        reason = " ".join(str(getattr(error, "orig", error)).split())  # a line of the log
        log.warning("The database cannot be used yet; is DATABASE_URL right? %s", reason)
