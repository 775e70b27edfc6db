"""The routes that are found, and called, without FastAPI."""

import re
from functools import cached_property
from typing import Any, NamedTuple, get_args

from fastapi import FastAPI
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts
from starlette import routing
from starlette.datastructures import URLPath
from starlette.requests import Request
from starlette.routing import BaseRoute, Match, NoMatchFound, WebSocketRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from orders_api.logs import log
from orders_api.web.fast_path import RequestHandler, build_fast_handler
from orders_api.web.routing import Route
from orders_api.web.security import CurrentCaller
from orders_api.web.sessions import Read, Write

DEPENDENCIES = {get_args(alias)[1].dependency for alias in (Read, Write, CurrentCaller)}
HANDLER = "orders_api.handler"
MATCHED_BY_PATH = {APIRoute.matches, routing.Route.matches, routing.Mount.matches}


class Entry(NamedTuple):
    """A route, the names of the parameters in its path, and what answers its requests."""

    route: Route
    parameters: list[str]
    handle: ASGIApp


class Index(NamedTuple):
    """Where to look for the path of a request; None is what is left to FastAPI.

    Paths without a parameter stand in `fixed`. In `pattern` each of the others is a group, called
    by its number in `entries`, that has the path's parameters as groups within it.
    """

    fixed: dict[tuple[str, str], Entry | None]
    patterns: dict[str, re.Pattern[str]]
    entries: dict[str, Entry | None]


class RouteTable(BaseRoute):
    """The first route of an application: it takes all requests that need no more than it can do.

    It finds the same route as FastAPI would, which takes the first one that matches. What is
    traced, has an overridden dependency or is mounted in another application goes FastAPI's way.
    """

    def __init__(self, app: FastAPI) -> None:
        self.app = app

    @cached_property
    def index(self) -> Index:
        """Make the index from the routes that the application has at its first request."""
        contexts = [
            context
            for context in iter_route_contexts(self.app.routes)
            if not isinstance(context.original_route, RouteTable | WebSocketRoute)
        ]
        try:
            return _index(contexts)
        except (AttributeError, TypeError) as error:
            log.warning("All requests go FastAPI's way, because of its version: %s", error)
            return Index({}, {}, {})

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        if (
            scope["type"] != "http"
            or scope.get("root_path")
            or "fastapi.telemetry" in scope
            or self.app.dependency_overrides
        ):
            return Match.NONE, {}
        method, path = scope["method"], scope["path"]
        fixed, patterns, entries = self.index
        parameters: dict[str, str] = {}
        if (method, path) in fixed:
            entry = fixed[method, path]
        elif method in patterns and (match := patterns[method].match(path)):
            entry = entries[str(match.lastgroup)]
            if entry:
                for group, name in enumerate(entry.parameters, int(match.lastindex or 0) + 1):
                    parameters[name] = match[group]
        else:
            entry = None
        if entry is None:
            return Match.NONE, {}
        return Match.FULL, {
            "endpoint": entry.route.endpoint,
            "path_params": parameters,
            "route": entry.route,
            HANDLER: entry.handle,
        }

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await scope[HANDLER](scope, receive, send)

    def url_path_for(self, name: str, /, **path_params: Any) -> URLPath:
        raise NoMatchFound(name, path_params)  # the routes themselves are asked next


def _index(contexts: list[RouteContext]) -> Index:
    fixed: dict[tuple[str, str], Entry | None] = {}
    patterns: dict[str, list[str]] = {}
    entries: dict[str, Entry | None] = {}
    all_methods = {method for context in contexts for method in context.methods or ()}
    for context in contexts:
        if type(context.original_route).matches not in MATCHED_BY_PATH:
            break  # a host, say: what follows is found by FastAPI
        entry = _entry(context)
        group = f"entry_{len(entries)}"
        entries[group] = entry
        source = re.sub(r"\?P<\w+>", "", context.path_regex.pattern)
        pattern = f"(?P<{group}>{source})"
        for method in context.methods or all_methods:
            earlier = patterns.setdefault(method, [])
            path = str(context.path)
            if context.param_convertors:
                earlier.append(pattern)
            elif not earlier or not re.match("|".join(earlier), path):
                fixed.setdefault((method, path), entry)
    compiled = {method: re.compile("|".join(some)) for method, some in patterns.items() if some}
    return Index(fixed, compiled, entries)


def _entry(context: RouteContext) -> Entry | None:
    """Return what answers the requests of a route, if that can be without FastAPI."""
    route = context.original_route
    if not isinstance(route, Route) or not route.may_be_fast:
        return None
    handle = build_fast_handler(context, DEPENDENCIES)
    if handle is None:
        return None
    takes_body = route.takes_body
    answer = route.wrap(handle, takes_body)
    app = routing.request_response(answer) if takes_body else _answered_by(answer)
    return Entry(route, list(context.param_convertors), app)


def _answered_by(answer: RequestHandler) -> ASGIApp:
    """Make an application as Starlette does, but without handling exceptions a second time.

    Their handlers get another request, so that the endpoint must not have read the body of its own.
    """

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        response = await answer(Request(scope, receive, send))
        await response(scope, receive, send)

    return app
