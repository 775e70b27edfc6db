"""What every endpoint has in common: strict JSON, known parameters, names, documented errors."""

import asyncio
import random
import re
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
)
from tempfile import SpooledTemporaryFile
from typing import Any, get_args

import sqlalchemy.exc
from fastapi import APIRouter, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute, RouteContext
from pydantic.alias_generators import to_camel
from sqlalchemy import UniqueConstraint
from sqlmodel import SQLModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

from orders_api import bulk, idempotency
from orders_api.calling import Call, shorter
from orders_api.conditional import tag
from orders_api.database import Read, Work, Write, within
from orders_api.errors import (
    ALREADY_EXISTS,
    ANSWERED,
    IMPOSSIBLE,
    IN_USE,
    INTERNAL,
    INVALID,
    KEY_REUSED,
    MALFORMED,
    MEDIA_TYPE,
    NOT_FOUND,
    NOT_MIGRATED,
    PRECONDITION_FAILED,
    TOO_LARGE,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED,
    Kind,
    Problem,
    StaleConnectionError,
    answer_error,
    is_retried,
)
from orders_api.preferences import MINIMAL, ROLLBACK, applied, preferred
from orders_api.security import PUBLIC, Who, authorize
from orders_api.strict_json import parse_json

JSON = "application/json"
SOME_REQUEST_ID = "2d5243b38c3f419ab6f394e75a03277c"
FORMS = ["application/x-www-form-urlencoded", "multipart/form-data"]
LONGEST_PAUSE = 0.25  # seconds between two attempts
DEPENDENCIES = {get_args(alias)[1].dependency for alias in (Read, Write, Who)}


class StrictRequest(Request):
    """Reads strict JSON."""

    async def json(self) -> Any:
        try:
            return parse_json(await self.body())
        except ValueError as error:
            raise Problem(MALFORMED, f"The body {error}.") from None


class Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.strictly(super().get_route_handler())

    def strictly(self, handle: Call) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Do what is common to all endpoints around what calls this one."""
        known = _query_parameters(self)
        is_form = self.body_field and isinstance(self.body_field.field_info, params.Form)
        media_types = FORMS if is_form else [JSON]

        is_item = self.path.endswith("}")
        is_single = is_item or self.status_code == 201
        preferences: list[str] = []
        if self.methods != {"GET"} and self.name not in PUBLIC:
            preferences += [ROLLBACK]
            preferences += [MINIMAL] * (is_single and self.status_code != 204)
        takes_lines = "requestBody" in (self.openapi_extra or {})

        async def answer(request: Request) -> Response:
            """Do all of a request in one transaction, which is committed before the response."""
            asked: list[str] = []
            if preferences and "prefer" in request.headers:
                asked = preferred(request, preferences)
            repeatable = self.status_code == 201 and idempotency.HEADER in request.headers
            guard = idempotency.KeyGuard(request) if repeatable else None
            take = guard.take if guard else None
            try:
                if guard:
                    await guard.replay()
                async with Work(request, ROLLBACK not in asked, after_begin=take) as work:
                    response = await handle(request)
                    response.headers.update(request.state.headers)
                    if isinstance(response, StreamingResponse):
                        only_started = request.state.method == "HEAD"
                        parts = await _started(response.body_iterator, only_started)
                        response.body_iterator = parts
                    if response.status_code == 204:
                        del response.headers["content-type"]
                    if guard:
                        await guard.remember(await work.writer.link(), response)
            except idempotency.Replay as replay:
                response = replay.response
            if is_single and response.body:
                response = tag(request, response)
            return applied(asked, response) if asked else response

        async def strictly(request: Request) -> Response:
            if not isinstance(request, StrictRequest):
                request = StrictRequest(request.scope, request.receive)
            if is_item and request.scope["path"] in request.app.state.fixed_paths:
                raise HTTPException(405)  # `/products/import`, which is no id of a product
            request.state.caller = await authorize(request, self.name)
            _check_query(request, known)
            if self.body_field:
                # Read first: a slow client takes nobody's time but its own.
                has_body = bool(await request.body())
                _check_media_type(request, media_types, has_body)
            if takes_lines:
                _check_media_type(request, bulk.MEDIA_TYPES, has_body=True)
                # Not in memory, and not yet in a transaction, for which others would have to wait.
                with SpooledTemporaryFile(max_size=1024 * 1024) as request.state.lines:
                    async for chunk in request.stream():
                        request.state.lines.write(chunk)
                    return await retry_on_conflict(answer, request)
            return await within(
                request.app.state.database.timeout, retry_on_conflict(answer, request)
            )

        return strictly


async def _started(stream: AsyncIterable[Any], only_started: bool) -> AsyncIterator[Any]:
    """Wait for the first part of a stream, so that what fails at once is answered as it should."""
    parts = aiter(stream)
    first = await anext(parts, b"")

    async def whole() -> AsyncIterator[Any]:
        yield first
        if only_started:
            return
        async for part in parts:
            yield part

    return whole()


async def retry_on_conflict(
    answer: Callable[[Request], Awaitable[Response]], request: Request
) -> Response:
    """Answer, and again if the database rolled back for the sake of other transactions.

    Until `DATABASE_TIMEOUT` seconds after the first conflict. The pauses grow, and differ from
    request to request, so that those who collided do not meet again.
    """
    loop = asyncio.get_running_loop()
    end: float | None = None
    attempts = 1
    while True:
        try:
            return await answer(request)
        except (sqlalchemy.exc.SQLAlchemyError, StaleConnectionError) as error:
            task = asyncio.current_task()
            if not is_retried(error) or (task and task.cancelling()):
                raise  # when its time is over the request is answered, and must not happen later
            pause = random.uniform(0, min(0.01 * 2**attempts, LONGEST_PAUSE))  # noqa: S311 - no secret
            end = end or loop.time() + request.app.state.database.timeout
            if loop.time() + pause > end:
                raise
        await asyncio.sleep(pause)
        attempts += 1
        request.state.attempts = attempts


def _query_parameters(route: APIRoute) -> list[str]:
    fields = get_flat_params(route.dependant)
    elsewhere = (params.Path, params.Header, params.Cookie)
    return [field.alias for field in fields if not isinstance(field.field_info, elsewhere)]


def _check_query(request: Request, known: list[str]) -> None:
    """Refuse parameters that are unknown (a misspelt filter would answer with everything)."""
    if not request.scope["query_string"]:
        return
    names = [name for name, _ in request.query_params.multi_items()]
    errors: list[dict[str, Any]] = [
        {"type": "extra_forbidden", "loc": ("query", name), "ctx": {"known": known}, "msg": ""}
        for name in dict.fromkeys(names)
        if name not in known
    ]
    errors += [
        {"type": "repeated", "loc": ("query", name), "msg": "must be given once only"}
        for name in known
        if names.count(name) > 1
    ]
    if errors:
        raise RequestValidationError(errors)


def _check_media_type(request: Request, expected: list[str], has_body: bool) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type in expected:
        return
    is_json = JSON in expected and re.fullmatch(r"application/[^/]+\+json", media_type)
    if not is_json and has_body:
        hint = " (curl: --json)" if expected == [JSON] else ""
        detail = f"The body's media type must be sent, and be {' or '.join(expected)}{hint}."
        raise Problem(UNSUPPORTED, detail)


class Router(APIRouter):
    """An APIRouter whose collections answer with and without a trailing slash."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            route_class=Route,
            generate_unique_id_function=lambda route: to_camel(route.name),
            **options,
        )

    def add_api_route(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        path = path.rstrip("/")
        public = endpoint.__name__ in PUBLIC
        methods = set(options.get("methods") or ["GET"])
        options["responses"] = {
            **document_problems(*_problems(self.prefix + path, methods, public)),
            **(options.get("responses") or {}),
        }
        if not public:
            extra = options.get("openapi_extra") or {}
            options["openapi_extra"] = extra | {"security": [{"bearer": []}]}
        if self.prefix + path:
            super().add_api_route(path, endpoint, **options)
            options["include_in_schema"] = False
        if not path:
            super().add_api_route("/", endpoint, **options)


def _problems(path: str, methods: set[str], public: bool) -> Iterator[Kind]:
    """Give the kinds of problem that an operation may answer with."""
    yield from (INVALID, INTERNAL, UNAVAILABLE, NOT_MIGRATED)
    if "{" in path:
        yield NOT_FOUND
    if not public:
        yield UNAUTHORIZED
    if methods & {"POST", "PUT", "PATCH"}:
        yield from (MALFORMED, TOO_LARGE, UNSUPPORTED)
    if "{" in path and methods - {"GET"}:
        yield PRECONDITION_FAILED
    if "POST" in methods and not public:
        yield KEY_REUSED
    # The table of a collection has its name, and constraints decide what conflicts.
    table = SQLModel.metadata.tables.get(path.strip("/").partition("/")[0])
    if table is None:
        return
    if methods & {"POST", "PUT", "PATCH"} and any(
        isinstance(constraint, UniqueConstraint) for constraint in table.constraints
    ):
        yield ALREADY_EXISTS
    if "POST" in methods and table.foreign_keys:
        yield IMPOSSIBLE
    if "DELETE" in methods and any(
        key.column.table is table and not key.ondelete
        for other in SQLModel.metadata.tables.values()
        for key in other.foreign_keys
    ):
        yield IN_USE


def document_problems(*kinds: Kind) -> dict[int | str, dict[str, Any]]:
    """Describe answers with these kinds of problem, in the form of FastAPI, with examples."""
    answers: dict[int | str, dict[str, Any]] = {}
    for status in sorted({kind.status for kind in kinds}):
        same = [kind for kind in kinds if kind.status == status]
        content = {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "examples": {
                kind.name: {
                    "summary": kind.title,
                    "value": Problem(kind, kind.example).content(SOME_REQUEST_ID),
                }
                for kind in same
            },
        }
        answers[status] = {
            "description": " or ".join(f"{kind.title} (`{kind.type}`)" for kind in same),
            "content": {MEDIA_TYPE: content},
        }
    return answers


Entry = tuple[Route, Call]


def _entry(context: RouteContext) -> Entry | None:
    """Give a route and what answers its requests, if that can be without FastAPI."""
    route = context.original_route
    call = shorter(context, DEPENDENCIES) if isinstance(route, Route) else None
    return (route, route.strictly(call)) if isinstance(route, Route) and call else None


class Directory:
    """Sends requests straight to the routes that their paths name, past FastAPI's search.

    It knows paths with at most one parameter; all else, and all that is to be traced, goes
    FastAPI's way.
    """

    def __init__(self, app: ASGIApp, contexts: Iterable[RouteContext]) -> None:
        self.app = app
        self.plain: dict[tuple[str, str], Entry | None] = {}
        """None is what is left to FastAPI, such as `/orders/export`, which is no id of an order."""

        self.entries: dict[str, tuple[str, Entry]] = {}
        patterns: dict[str, list[str]] = {}
        for context in contexts:
            path, entry = str(context.path), _entry(context)
            # Whatever has another kind of parameter stays in the rest, and is left to FastAPI.
            before, *others = re.split(r"\{(\w+)\}", path)
            for method in context.methods or ():
                if "{" not in path:
                    self.plain.setdefault((method, path), entry)
                elif entry and path.count("{") == 1 and others:
                    name, after = others
                    group = f"entry_{len(self.entries)}"
                    self.entries[group] = name, entry
                    pattern = f"{re.escape(before)}(?P<{group}>[^/]+){re.escape(after)}"
                    patterns.setdefault(method, []).append(pattern)
        self.patterns = {method: re.compile("|".join(some)) for method, some in patterns.items()}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        entry = self.find(scope) if scope["type"] == "http" else None
        if entry is None:
            await self.app(scope, receive, send)
            return
        scope["route"], call = entry
        request = StrictRequest(scope, receive)
        try:
            response = await call(request)
        except ANSWERED as error:
            response = await answer_error(request, error)
        await response(scope, receive, send)

    def find(self, scope: Scope) -> Entry | None:
        """Find the route, and set the parameter of its path."""
        if (
            "fastapi.telemetry" in scope
            or scope.get("root_path")
            or scope["app"].dependency_overrides
        ):
            return None
        method, path = scope["method"], scope["path"]
        scope["path_params"] = {}
        if (method, path) in self.plain:
            return self.plain[method, path]
        if method not in self.patterns:
            return None
        match = self.patterns[method].fullmatch(path)
        if match is None or match.lastgroup is None:
            return None
        name, entry = self.entries[match.lastgroup]
        scope["path_params"] = {name: match[match.lastgroup]}
        return entry
