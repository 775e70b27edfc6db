"""What every endpoint has in common: strict JSON, known parameters, names, documented errors."""

import asyncio
import json
import random
import re
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import sqlalchemy.exc
from fastapi import APIRouter, Request, Response, params
from fastapi.dependencies.utils import get_flat_params
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic.alias_generators import to_camel

from orders_api import idempotency
from orders_api.conditional import tag
from orders_api.database import Work, within
from orders_api.errors import KINDS, MALFORMED, MEDIA_TYPE, UNSUPPORTED, Problem, is_retried
from orders_api.security import PUBLIC, authorize

JSON = "application/json"
FORMS = ["application/x-www-form-urlencoded", "multipart/form-data"]
ATTEMPTS = 5
PROBLEM_CONTENT = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}


class StrictRequest(Request):
    """Reads JSON as RFC 8259 has it: UTF-8, no NaN, no member twice."""

    async def json(self) -> Any:
        try:
            return json.loads(
                (await self.body()).decode("utf-8"),
                object_pairs_hook=_unique_members,
                parse_constant=_refuse_constant,
                parse_int=_parse_int,
            )
        except UnicodeDecodeError:
            raise Problem(MALFORMED, "The body is not valid UTF-8.") from None
        except json.JSONDecodeError as error:
            place = f"line {error.lineno}, column {error.colno}"
            raise Problem(MALFORMED, f"The body is not valid JSON ({place}).") from None
        except RecursionError:
            raise Problem(MALFORMED, "The body is nested too deeply.") from None


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) < len(pairs):
        raise Problem(MALFORMED, "The body names a member twice in one object.")
    return members


def _refuse_constant(name: str) -> None:
    raise Problem(MALFORMED, f"The body is not valid JSON: {name} is not a JSON value.")


def _parse_int(digits: str) -> int | float:
    # Python refuses to convert thousands of digits; as infinity they are simply out of range.
    return int(digits) if len(digits) < 1000 else float(digits)


class Route(APIRoute):
    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        handle = super().get_route_handler()
        known = _query_parameters(self)
        is_form = self.body_field and isinstance(self.body_field.field_info, params.Form)
        media_types = FORMS if is_form else [JSON]

        is_single = "{" in self.path or self.status_code == 201

        async def answer(request: Request) -> Response:
            """Do all of a request in one transaction, which is committed before the response."""
            async with Work(request) as work:
                repeatable = self.status_code == 201 and idempotency.HEADER in request.headers
                first = await idempotency.replay(request, work.writer) if repeatable else None
                response = first or await handle(request)
                response.headers.update(request.state.headers)
                if response.status_code == 204:
                    del response.headers["content-type"]
                if repeatable and not first:
                    await idempotency.remember(request, work.writer, response)
            return tag(request, response) if is_single and response.body else response

        async def strictly(request: Request) -> Response:
            request = StrictRequest(request.scope, request.receive)
            request.state.caller = await authorize(request, self.name)
            _check_query(request, known)
            if self.body_field:
                await request.body()  # a slow client takes nobody's time but its own
                await _check_media_type(request, media_types)
            return await within(request.app.state.database.timeout, repeated(answer, request))

        return strictly


async def repeated(answer: Callable[[Request], Awaitable[Response]], request: Request) -> Response:
    """Answer, and again if the database had to roll back for the sake of other transactions."""
    for attempt in range(1, ATTEMPTS):
        try:
            return await answer(request)
        except sqlalchemy.exc.SQLAlchemyError as error:
            if not is_retried(error):
                raise
            # Those who collided must not meet again.
            await asyncio.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - no secret
    return await answer(request)


def _query_parameters(route: APIRoute) -> list[str]:
    fields = get_flat_params(route.dependant)
    elsewhere = (params.Path, params.Header, params.Cookie)
    return [field.alias for field in fields if not isinstance(field.field_info, elsewhere)]


def _check_query(request: Request, known: list[str]) -> None:
    """Refuse parameters that are unknown (a misspelt filter would answer with everything)."""
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


async def _check_media_type(request: Request, expected: list[str]) -> None:
    media_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if re.fullmatch(r"application/[^/]+\+json", media_type):
        media_type = JSON
    if media_type not in expected and await request.body():
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
        options["responses"] = {
            **_problems(self.prefix + path, set(options.get("methods") or ["GET"]), public),
            **(options.get("responses") or {}),
        }
        if not public:
            options["openapi_extra"] = {"security": [{"bearer": []}]}
        if self.prefix + path:
            super().add_api_route(path, endpoint, **options)
            options["include_in_schema"] = False
        if not path:
            super().add_api_route("/", endpoint, **options)


def _problems(path: str, methods: set[str], public: bool) -> dict[int | str, dict[str, Any]]:
    """Document the problems that an operation may answer with."""
    statuses = {422, 500, 503}
    if "{" in path:
        statuses.add(404)
    if not public:
        statuses |= {401, 403}
    if methods & {"POST", "PUT", "PATCH"}:
        statuses |= {400, 409, 413, 415}
    if "DELETE" in methods:
        statuses.add(409)
    if "{" in path and methods - {"GET"}:
        statuses.add(412)
    return document_problems(*sorted(statuses))


def document_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Name the kinds of problem behind each of these statuses, in the form of FastAPI."""
    return {
        status: {
            "description": " or ".join(
                f"{kind.title} (`{kind.type}`)" for kind in KINDS if kind.status == status
            ),
            "content": PROBLEM_CONTENT,
        }
        for status in statuses
    }
