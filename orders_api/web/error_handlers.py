"""One place where exceptions become answers: RFC 9457 problem details for every status >= 400."""

import logging
from inspect import iscoroutine

import sqlalchemy.exc
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError, ResponseValidationError
from fastapi.routing import iter_route_contexts
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from orders_api.problems import (
    INTERNAL,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_MIGRATED,
    Problem,
    blank_type,
    phrase_of,
)
from orders_api.storage.errors import from_database_error, names_what_is_missing
from orders_api.web.requests import path_within
from orders_api.web.security import is_trusted
from orders_api.web.validation import from_validation_error, shorten

log = logging.getLogger("orders_api")

UNREADABLE = "There was an error parsing the body"  # FastAPI's words for a form, with status 400

HANDLED_EXCEPTIONS = (
    HTTPException,
    RequestValidationError,
    ClientDisconnect,
    sqlalchemy.exc.SQLAlchemyError,
    TimeoutError,
    OSError,
)


def from_http_exception(error: HTTPException, request: Request) -> Problem:
    """Return the problem that an HTTPException is: its status, its detail and its headers.

    Without a detail, 404 and 405 are those of Starlette's routing, and have types of ours.
    """
    if isinstance(error, Problem):
        return error
    status_code = error.status_code
    has_detail = error.detail != phrase_of(status_code)
    path = shorten(request.url.path)
    if status_code == 405 and not has_detail:
        allowed = ", ".join(sorted(_allowed_methods(request)))
        return Problem(
            METHOD_NOT_ALLOWED,
            f"{path} does not take {request.state.method}, only {allowed}.",
            headers={"Allow": allowed},
        )
    if status_code == 404 and not has_detail:
        return Problem(NOT_FOUND, f"There is nothing at {path}.", headers=error.headers)
    if isinstance(error.__context__, MultiPartException) or error.detail == UNREADABLE:
        return Problem(MALFORMED, f"{error.detail.rstrip('.')}.")
    return Problem(blank_type(status_code), error.detail, headers=error.headers)


def _allowed_methods(request: Request) -> set[str]:
    """Collect the methods of every route on the path (each route alone knows only its own)."""
    routes = [
        route
        for route in iter_route_contexts(request.app.routes)
        if route.matches(request.scope)[0] != Match.NONE
    ]
    path = path_within(request.scope)
    own = [route for route in routes if route.path == path]
    # Mounted files have no list of methods.
    methods = {method for route in own or routes for method in route.methods or ("GET",)}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


def problem_of(error: Exception, request: Request) -> Problem | None:
    """Return the answer to an exception, or None if it is a fault of ours."""
    if isinstance(error, RequestValidationError):
        return from_validation_error(error, request)
    if isinstance(error, HTTPException):
        return from_http_exception(error, request)
    if isinstance(error, ClientDisconnect):
        return Problem(MALFORMED, "The body ended before it was complete.")
    return from_database_error(error)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer an exception that has an answer; the rest is raised again."""
    if isinstance(error, HTTPException) and error.status_code in {204, 304}:
        return Response(status_code=error.status_code, headers=error.headers)
    problem = problem_of(error, request)
    if problem and problem.problem_type is NOT_MIGRATED and problem is not error:
        problem = await _unless_current(problem, request)
    if problem is None:
        raise error
    if problem.problem_type is METHOD_NOT_ALLOWED and request.method == "OPTIONS":
        return Response(status_code=204, headers=problem.headers)
    if problem.status_code == 503 and not isinstance(error, Problem):
        cause = getattr(error, "orig", None) or repr(error)
        log.warning("%s [%s] %s", problem.detail, request.state.request_id, cause)
    return problem.response(request.state.request_id)


async def _unless_current(problem: Problem, request: Request) -> Problem | None:
    """Say what to do about the schema; None if it is the code's, and so the statement is wrong."""
    # As it was right after the statement, if somebody has looked: it may be migrated meanwhile.
    advice = getattr(request.state, "schema_advice", None)
    try:
        advice = advice or await request.app.state.database.schema_advice()
    except (sqlalchemy.exc.SQLAlchemyError, OSError):
        return problem
    return Problem.not_migrated(advice) if advice else None


def from_failure(error: Exception, request: Request) -> Problem:
    """Answer what has no other answer; who is trusted as local is told the exception.

    Only the first line of its message, or the first member that is wrong: more is SQL, or what a
    client has sent.
    """
    if not is_trusted(request):
        return Problem(INTERNAL, INTERNAL.example)
    message = str(error)
    if isinstance(error, ResponseValidationError | ValidationError) and error.errors():
        first = error.errors()[0]
        said = "an `await` is missing" if iscoroutine(first["input"]) else first["msg"]
        message = f"`{'.'.join(map(str, first['loc']))}`: {said}"
    first_line = message.partition("\n")[0].encode("utf-8", "backslashreplace").decode()
    is_missing = names_what_is_missing(error)
    hint = "; has a model changed, without a migration yet?" if is_missing else ""
    return Problem(INTERNAL, f"{type(error).__name__}: {first_line}{hint}")


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception that has an answer; the rest reaches the middleware as a 500."""
    for exception in HANDLED_EXCEPTIONS:
        app.add_exception_handler(exception, answer_error)
