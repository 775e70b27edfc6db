"""What every endpoint has in common: who may call it, one transaction, retries and preferences."""

import inspect
from collections.abc import AsyncIterable, AsyncIterator, Callable, Coroutine
from tempfile import SpooledTemporaryFile
from typing import Any

from fastapi import APIRouter, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException

from orders_api.storage.deadline import abandon_after
from orders_api.web import idempotency
from orders_api.web.etags import tag
from orders_api.web.fast_path import RequestHandler
from orders_api.web.line_bodies import MEDIA_TYPES
from orders_api.web.prefer import MINIMAL, ROLLBACK, applied, preferred
from orders_api.web.problem_responses import document_problems, problems_of
from orders_api.web.requests import JSON, StrictRequest, check_media_type, check_query
from orders_api.web.retries import retry_on_conflict
from orders_api.web.security import PUBLIC, authorize
from orders_api.web.sessions import RequestTransaction

FORMS = ["application/x-www-form-urlencoded", "multipart/form-data"]


class Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.wrap(super().get_route_handler())

    def wrap(self, handle: RequestHandler) -> Callable[[Request], Coroutine[Any, Any, Response]]:
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

        async def run_in_transaction(request: Request) -> Response:
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
                async with RequestTransaction(
                    request, ROLLBACK not in asked, after_begin=take
                ) as transaction:
                    response = await handle(request)
                    response.headers.update(request.state.headers)
                    if isinstance(response, StreamingResponse):
                        only_started = request.state.method == "HEAD"
                        parts = await _started(response.body_iterator, only_started)
                        response.body_iterator = parts
                    if response.status_code == 204:
                        del response.headers["content-type"]
                    if guard:
                        await guard.remember(await transaction.writer.pooled_connection(), response)
            except idempotency.Replay as replay:
                response = replay.response
            if is_single and response.body:
                response = tag(request, response)
            return applied(asked, response) if asked else response

        async def wrapped(request: Request) -> Response:
            if not isinstance(request, StrictRequest):
                request = StrictRequest(request.scope, request.receive)
            if is_item and request.scope["path"] in request.app.state.fixed_paths:
                raise HTTPException(405)  # `/products/import`, which is no id of a product
            request.state.caller = await authorize(request, self.name)
            check_query(request, known)
            if self.body_field:
                # Read first: a slow client takes nobody's time but its own.
                has_body = bool(await request.body())
                check_media_type(request, media_types, has_body)
            if takes_lines:
                check_media_type(request, MEDIA_TYPES, has_body=True)
                # Not in memory, and not yet in a transaction, for which others would have to wait.
                with SpooledTemporaryFile(max_size=1024 * 1024) as request.state.lines:
                    async for chunk in request.stream():
                        request.state.lines.write(chunk)
                    return await retry_on_conflict(run_in_transaction, request)
            return await abandon_after(
                request.app.state.database.timeout, retry_on_conflict(run_in_transaction, request)
            )

        return wrapped


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


def _query_parameters(route: APIRoute) -> list[str]:
    fields = get_flat_params(route.dependant)
    elsewhere = (params.Path, params.Header, params.Cookie)
    return [field.alias for field in fields if not isinstance(field.field_info, elsewhere)]


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
        # FastAPI's own would be the function's name.
        first_line = (inspect.getdoc(endpoint) or "").partition("\n")[0]
        options["summary"] = options.get("summary") or first_line.removesuffix(".") or None
        options["responses"] = {
            **document_problems(*problems_of(self.prefix + path, methods, public)),
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
