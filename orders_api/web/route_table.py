"""The routes that are found, and called, without FastAPI."""

import re
from collections.abc import Iterable
from typing import get_args

from fastapi.routing import RouteContext
from starlette.types import ASGIApp, Receive, Scope, Send

from orders_api.web.error_handlers import HANDLED_EXCEPTIONS, answer_error
from orders_api.web.fast_path import RequestHandler, build_fast_handler
from orders_api.web.requests import StrictRequest
from orders_api.web.routing import Route
from orders_api.web.security import CurrentCaller
from orders_api.web.sessions import Read, Write

DEPENDENCIES = {get_args(alias)[1].dependency for alias in (Read, Write, CurrentCaller)}

Entry = tuple[Route, RequestHandler]


def _entry(context: RouteContext) -> Entry | None:
    """Return a route and what answers its requests, if that can be without FastAPI."""
    route = context.original_route
    call = build_fast_handler(context, DEPENDENCIES) if isinstance(route, Route) else None
    return (route, route.wrap(call)) if isinstance(route, Route) and call else None


class RouteTable:
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
        except HANDLED_EXCEPTIONS as error:
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
