"""What every endpoint has in common: who may call it, one transaction, retries and preferences."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, TypeVar, get_args

from fastapi import APIRouter, FastAPI, Request, Response, params
from fastapi.responses import StreamingResponse
from fastapi.routing import APIRoute, iter_route_contexts
from pydantic.alias_generators import to_camel
from starlette.exceptions import HTTPException

from orders_api.storage.deadline import abandon_after
from orders_api.web import idempotency
from orders_api.web.etags import set_etag
from orders_api.web.fast_path import RequestHandler
from orders_api.web.line_bodies import MEDIA_TYPES, Lines, temporary_file
from orders_api.web.parameters import query_parameters
from orders_api.web.prefer import MINIMAL, ROLLBACK, apply_preferences, preferred
from orders_api.web.requests import JSON, StrictRequest, check_media_type, check_query, path_within
from orders_api.web.retries import retry_on_conflict
from orders_api.web.security import ANYONE, authorize
from orders_api.web.sessions import RequestTransaction

FORMS = ["application/x-www-form-urlencoded", "multipart/form-data"]


class Route(APIRoute):
    public = False
    """Whether anybody may call it; all else needs a token or a request from this machine."""

    @property
    def is_item(self) -> bool:
        """Whether the path is that of a single object: it ends in a parameter."""
        return self.path.endswith("}")

    @property
    def takes_body(self) -> bool:
        """Whether the endpoint may read a body: it asks for one, or for the request."""
        is_read = self.body_field or self.dependant.request_param_name
        return bool(is_read) or self.methods != {"GET"}

    @property
    def may_be_fast(self) -> bool:
        """Whether no subclass calls the endpoint in a way of its own."""
        own = type(self)
        return own.get_route_handler is Route.get_route_handler and own.handle is Route.handle

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        return self.wrap(super().get_route_handler())

    def wrap(
        self, handle: RequestHandler, takes_body: bool = True
    ) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Wrap what calls this endpoint in what all endpoints have in common.

        Without `takes_body`, neither it nor a dependency may read one.
        """
        media_types = [JSON]
        if self.body_field:
            info = self.body_field.field_info
            is_form = isinstance(info, params.Form)
            media_types = FORMS if is_form else [getattr(info, "media_type", JSON)]

        is_item = self.is_item
        is_single = is_item or self.status_code == 201
        preferences: list[str] = []
        if self.methods != {"GET"} and not self.public:
            preferences += [ROLLBACK]
            preferences += [MINIMAL] * (is_single and self.status_code != 204)
        takes_lines = get_args(Lines)[1].dependency in {
            dependency.call for dependency in self.dependant.dependencies
        }
        included_in: dict[FastAPI, Included] = {}  # a router may be in several

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
                    if headers := request.scope["state"]["headers"]:
                        response.headers.update(headers)
                    if response.status_code == 204:
                        del response.headers["content-type"]
                    if guard:
                        await guard.remember(await transaction.writer.pooled_connection(), response)
            except idempotency.Replay as replay:
                response = replay.response
            if is_single and response.status_code in {200, 201} and _has_body(response):
                set_etag(request, response)
            if asked:
                apply_preferences(asked, response)
            return response

        async def run_and_start(request: Request) -> Response:
            return await _started(request, await run_in_transaction(request))

        async def wrapped(request: Request) -> Response:
            app = request.app
            if app not in included_in:
                included_in[app] = Included.of(self, app)
            included = included_in[app]
            if takes_body:
                request = StrictRequest(request)
            # Not `app.state.…`, which looks elsewhere first, and takes six times as long.
            if is_item and path_within(request.scope) in app.state["fixed_paths"]:
                raise HTTPException(405)  # `/products/import`, which is no id of a product
            # Not `request.state`: each access to that takes longer than a step of the way to here.
            state = request.scope["state"]
            state["caller"] = ANYONE if self.public else await authorize(request)
            check_query(request, included.parameters)
            if self.body_field:
                # Read first: a slow client takes nobody's time but its own.
                has_body = bool(await request.body())
                check_media_type(request, media_types, has_body)
            if takes_lines:
                check_media_type(request, MEDIA_TYPES, has_body=True)
                # Not in memory, and not yet in a transaction, for which others would have to wait.
                async with temporary_file() as request.state.lines:
                    async for chunk in request.stream():
                        request.state.lines.write(chunk)
                    return await retry_on_conflict(run_in_transaction, request)
            timeout = app.state["database"].timeout
            if included.is_left_open or app.dependency_overrides:
                # What is opened in a task must be closed in it, which is that of the request, as
                # the response is sent first. It is not opened twice, so that nothing is repeated.
                async with asyncio.timeout(timeout):
                    return await run_and_start(request)
            if included.is_stream:
                async with asyncio.timeout(timeout):
                    return await retry_on_conflict(run_and_start, request)
            response = await abandon_after(timeout, retry_on_conflict(run_in_transaction, request))
            return await _started(request, response)

        return wrapped


@dataclass(frozen=True)
class Included:
    """What a route is where an application includes it, with the dependencies that it has there."""

    parameters: dict[str, bool]
    """The names of those of the query, and whether each may be given several times."""

    is_stream: bool
    is_left_open: bool
    """Whether a dependency goes on after its `yield` when the response has been sent."""

    @classmethod
    def of(cls, route: Route, app: FastAPI) -> "Included":
        contexts = iter_route_contexts(app.routes)
        places = [context for context in contexts if context.original_route is route]
        return cls(
            parameters={name: many for place in places for name, many in query_parameters(place)},
            is_stream=is_generator(route.endpoint),
            is_left_open=any(has_yield(place.dependant) for place in places)
            or any(place.is_sse_stream for place in places),
        )


def has_yield(dependant: Any) -> bool:
    """Tell whether a dependency, or one of theirs, has a `yield`."""
    return any(is_generator(one.call) or has_yield(one) for one in dependant.dependencies)


def is_generator(call: Any) -> bool:
    functions = (inspect.unwrap(call), type(call).__call__)
    return any(
        inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
        for function in functions
    )


def _has_body(response: Response) -> bool:
    return bool(getattr(response, "body", b""))  # files and streams have none


async def _started(request: Request, response: Response) -> Response:
    """Wait for the first part of a stream, so that what fails at once is answered as it should."""
    if not isinstance(response, StreamingResponse):
        return response
    parts = aiter(response.body_iterator)
    first = await anext(parts, b"")
    only_started = request.state.method == "HEAD"

    async def whole() -> AsyncIterator[Any]:
        yield first
        if only_started:
            return
        async for part in parts:
            yield part

    response.body_iterator = whole()
    return response


class PublicRoute(Route):
    public = True


Endpoint = TypeVar("Endpoint", bound=Callable[..., Any])


class Router(APIRouter):
    """An APIRouter whose collections answer with and without a trailing slash.

    Its endpoints are open to callers who have signed in, or to all with `public=True`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            route_class=Route,
            generate_unique_id_function=lambda route: to_camel(route.name),
            **options,
        )

    def add_api_route(
        self, path: str, endpoint: Callable[..., Any], *, public: bool = False, **options: Any
    ) -> None:
        path = path.rstrip("/")
        # FastAPI's own would be the function's name.
        first_line = (inspect.getdoc(endpoint) or "").partition("\n")[0]
        options["summary"] = options.get("summary") or first_line.removesuffix(".") or None
        if public:
            options["route_class_override"] = PublicRoute
        if self.prefix + path:
            super().add_api_route(path, endpoint, **options)
            options["include_in_schema"] = False
        if not path:
            super().add_api_route("/", endpoint, **options)

    def api_route(
        self, path: str, *, public: bool = False, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        def add(endpoint: Endpoint) -> Endpoint:
            self.add_api_route(path, endpoint, public=public, **options)
            return endpoint

        return add

    def get(
        self, path: str, *, public: bool = False, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        return self.api_route(path, methods=["GET"], public=public, **options)

    def post(
        self, path: str, *, public: bool = False, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        return self.api_route(path, methods=["POST"], public=public, **options)

    def put(
        self, path: str, *, public: bool = False, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        return self.api_route(path, methods=["PUT"], public=public, **options)

    def patch(
        self, path: str, *, public: bool = False, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        return self.api_route(path, methods=["PATCH"], public=public, **options)

    def delete(
        self, path: str, *, public: bool = False, **options: Any
    ) -> Callable[[Endpoint], Endpoint]:
        return self.api_route(path, methods=["DELETE"], public=public, **options)

    def add_websocket_route(self, *_: Any, **__: Any) -> None:
        """Refuse what a Router could not protect."""
        raise TypeError(NO_WEBSOCKETS)

    def add_api_websocket_route(self, *_: Any, **__: Any) -> None:
        raise TypeError(NO_WEBSOCKETS)


NO_WEBSOCKETS = (
    "A Router has no WebSockets, because it could not tell who may open one: "
    "use `@app.websocket`, and check there who calls."
)
