"""One place where exceptions become answers: RFC 9457 problem details for every status >= 400."""

import logging
import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, get_args

import sqlalchemy.exc
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel, Field
from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import SQLModel
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

log = logging.getLogger("orders_api")

MEDIA_TYPE = "application/problem+json"
MOST_ERRORS = 20  # of one request that an answer names


class ErrorItem(BaseModel):
    """What is wrong with one part of the request."""

    line: int | None = Field(
        default=None, description="Number of the line, from 1, if the body is one of lines."
    )
    pointer: str | None = Field(
        default=None,
        description="JSON Pointer (RFC 6901) into the body, in the caller's spelling.",
        examples=["/items/0/quantity"],
    )
    parameter: str | None = Field(
        default=None, description="Name of a path or query parameter.", examples=["limit"]
    )
    detail: str = Field(examples=["must be greater than 0"])


class ProblemOut(BaseModel):
    """Problem details (RFC 9457): the answer to every request that is not carried out."""

    model_config = {"title": "Problem"}

    type: str = Field(
        description="Stable identifier of this kind of problem.",
        json_schema_extra={"format": "uri"},
        examples=["urn:orders-api:invalid"],
    )
    title: str = Field(examples=["Invalid request"])
    status: int = Field(ge=400, le=599, examples=[422])
    detail: str = Field(
        description="One sentence that a person can act on.",
        examples=["`/items/0/quantity` must be greater than 0."],
    )
    request_id: str = Field(
        alias="requestId",
        description="The `X-Request-ID` of this answer, which the server's log carries too.",
    )
    errors: list[ErrorItem] | None = Field(
        default=None, description="Each part of the request that is invalid."
    )


@dataclass(frozen=True)
class Kind:
    """A kind of problem: the last part of its stable `type`, and what every case of it shares."""

    name: str
    status: int
    title: str
    example: str
    """A `detail` of this kind, to show in the documentation."""

    @property
    def type(self) -> str:
        return f"urn:orders-api:{self.name}"


MIGRATE_HINT = "The database's schema is not up to date: run `orders-api migrate`."

MALFORMED = Kind(
    "malformed", 400, "Malformed request", "The body is not valid JSON (line 1, column 2)."
)
UNAUTHORIZED = Kind(
    "unauthorized",
    401,
    "Not signed in",
    "Sign in first: send your username and password to POST /token.",
)
FORBIDDEN = Kind("forbidden", 403, "Not allowed", "You may change or delete no user but yourself.")
NOT_FOUND = Kind("not-found", 404, "Not found", "There is no object with this id.")
METHOD_NOT_ALLOWED = Kind(
    "method-not-allowed",
    405,
    "Method not allowed",
    "/stores does not take PUT, only GET, HEAD, OPTIONS, POST.",
)
ALREADY_EXISTS = Kind(
    "already-exists", 409, "Already exists", "Another one with the same name exists already."
)
IN_USE = Kind("in-use", 409, "Still in use", "It is still in use: other objects refer to it.")
USED_UP = Kind("used-up", 409, "Coupon used up", "The coupon is used up.")
PRECONDITION_FAILED = Kind(
    "precondition-failed",
    412,
    "Changed meanwhile",
    "It was changed since you read it: read it again, then decide.",
)
TOO_LARGE = Kind(
    "too-large", 413, "Body too large", "The body must not be larger than 1048576 bytes."
)
UNSUPPORTED = Kind(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "The body's media type must be sent, and be application/json.",
)
INVALID = Kind("invalid", 422, "Invalid request", "`colour` is not known here.")
IMPOSSIBLE = Kind(
    "impossible", 422, "Not possible", "The request refers to an object that does not exist."
)
KEY_REUSED = Kind(
    "idempotency-key-reused",
    422,
    "Idempotency key used for another request",
    "The Idempotency-Key was used for another request.",
)
TOO_MANY = Kind(
    "too-many-sign-ins",
    429,
    "Too many failed sign-ins",
    "Too many failed sign-ins for this username: try again in 30 seconds.",
)
HEAD_TOO_LARGE = Kind(
    "head-too-large",
    431,
    "Head too large",
    "The request line and headers (or trailers) must not be larger than 32768 bytes.",
)
INTERNAL = Kind("internal", 500, "Internal error", "Something went wrong on the server.")
UNAVAILABLE = Kind("unavailable", 503, "Try again later", "The database does not answer right now.")
NOT_MIGRATED = Kind("not-migrated", 503, "Schema not migrated", MIGRATE_HINT)

KINDS = [kind for kind in globals().values() if isinstance(kind, Kind)]
UNFIT = "The request has a value that the database cannot hold."


class Problem(HTTPException):
    """Raise it anywhere: the client gets it as problem+json, and the transaction is rolled back."""

    def __init__(
        self,
        kind: Kind,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(kind.status, detail, dict(headers or {}))
        self.kind = kind
        self.errors = errors

    @classmethod
    def not_found(cls, model: type[SQLModel]) -> "Problem":
        return cls(NOT_FOUND, f"There is no {noun(model.__name__)} with this id.")

    @classmethod
    def invalid(
        cls, errors: Sequence[Mapping[str, str]], kind: Kind = INVALID, unnamed: int = 0
    ) -> "Problem":
        """Refuse a request for each of `errors`: a `pointer` or `parameter`, and a `detail`."""
        others = len(errors) - 1 + unnamed
        first = errors[0]
        subject = first.get("pointer") or first.get("parameter")
        sentence = f"`{subject}` {first['detail']}" if subject else f"The body {first['detail']}"
        more = f" (and {others} more)" if others else ""
        end = "" if sentence.endswith("?") and not more else "."
        return cls(kind, f"{sentence}{more}{end}", errors=errors)

    @classmethod
    def impossible(cls, errors: Sequence[Mapping[str, str]]) -> "Problem":
        """Refuse what a schema cannot forbid: a reference to nothing, a total that is too large."""
        return cls.invalid(errors, IMPOSSIBLE)

    @classmethod
    def unavailable(cls, detail: str = "The database does not answer right now.") -> "Problem":
        return cls(UNAVAILABLE, detail, headers={"Retry-After": "1"})

    def content(self, request_id: str) -> dict[str, Any]:
        content: dict[str, Any] = {
            "type": self.kind.type,
            "title": self.kind.title,
            "status": self.status_code,
            "detail": self.detail,
            "requestId": request_id,
        }
        if self.errors:
            content["errors"] = self.errors
        return content

    def response(self, request_id: str) -> JSONResponse:
        return JSONResponse(self.content(request_id), self.status_code, self.headers, MEDIA_TYPE)


def shorten(text: str) -> str:
    """Cut what a caller sent to a length at which it can be shown."""
    return text if len(text) <= 200 else f"{text[:200]}…"


def noun(class_name: str) -> str:
    """`OrderItem` → `order item`."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", class_name).lower()


# --- Exceptions of the framework -----------------------------------------------------------


def from_http_exception(error: HTTPException, request: Request) -> Problem:
    """Turn the framework's own exceptions into the same shape."""
    if isinstance(error, Problem):
        return error
    path = shorten(request.url.path)
    if error.status_code == 405:
        allowed = ", ".join(sorted(_allowed_methods(request)))
        return Problem(
            METHOD_NOT_ALLOWED,
            f"{path} does not take {request.state.method}, only {allowed}.",
            headers={"Allow": allowed},
        )
    if error.status_code == 404:
        return Problem(NOT_FOUND, f"There is nothing at {path}.")
    for kind in KINDS:
        if kind.status == error.status_code:
            sentence = f"{str(error.detail).rstrip('.')}."
            return Problem(kind, sentence, headers=error.headers)
    log.error("An answer with status %s has no kind of problem", error.status_code)
    return Problem(INTERNAL, "Something went wrong on the server.")


def _allowed_methods(request: Request) -> set[str]:
    """Collect the methods of every route on the path (each route alone knows only its own)."""
    routes = [
        route
        for route in iter_route_contexts(request.app.routes)
        if route.matches(request.scope)[0] != Match.NONE
    ]
    own = [route for route in routes if route.path == request.scope["path"]]
    # Mounted files have no list of methods.
    methods = {method for route in own or routes for method in route.methods or ("GET",)}
    return methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())


# --- Invalid input -------------------------------------------------------------------------


def from_validation_error(error: RequestValidationError, request: Request) -> Problem:
    """Say what is wrong in the caller's spelling, without echoing the input."""
    route = request.scope["route"]
    items = []
    errors = error.errors()
    for item in errors[:MOST_ERRORS]:
        place, *loc = item["loc"]
        if place == "body":
            model = route.body_field.field_info.annotation if route.body_field else None
            items.append(body_error(item, loc, model))
        else:
            known = item.get("ctx", {}).get("known", ())
            items.append({"parameter": shorten(str(loc[0])), "detail": explain(item, known)})
    return Problem.invalid(items, unnamed=len(errors) - len(items))


def body_error(item: Mapping[str, Any], loc: Sequence[str | int], model: Any) -> dict[str, str]:
    """Say what is wrong with a body of this class, at this place."""
    if item["type"] == "missing" and not loc:
        return {"detail": "is missing: send a JSON object"}
    pointer, known = _pointer(model, loc)
    if item["type"] == "extra_forbidden":  # shown as it was sent
        pointer = pointer.rpartition("/")[0] + "/" + _escape(loc[-1])
    return {"pointer": shorten(pointer), "detail": explain(item, known)}


def _pointer(model: Any, loc: Sequence[str | int]) -> tuple[str, Iterable[str]]:
    """Give the JSON Pointer of `loc`, and the names that its last part could have had."""
    parts: list[str | int] = []
    known: Iterable[str] = ()
    for part in loc:
        fields = getattr(_inner(model), "model_fields", None)
        if isinstance(part, int):
            parts.append(part)
        elif fields is None:
            break  # a branch of a union, which is no part of the caller's document
        else:
            known = [field.alias or name for name, field in fields.items()]
            name = next((n for n, f in fields.items() if part in (n, f.alias)), None)
            parts.append((fields[name].alias or name) if name else part)
            model = fields[name].annotation if name else None
    return "".join("/" + _escape(part) for part in parts), known


def _escape(part: str | int) -> str:
    return str(part).replace("~", "~0").replace("/", "~1")


def _inner(annotation: Any) -> Any:
    """Strip `Annotated`, `list` and `| None`."""
    while args := [arg for arg in get_args(annotation) if arg is not type(None)]:
        annotation = args[0]
    return annotation


def explain(item: Mapping[str, Any], known: Iterable[str] = ()) -> str:
    """Say what is wrong, in words that follow the name of what it is about."""
    value = item.get("input")
    match item["type"]:
        case "missing":
            return "is required"
        case "extra_forbidden":
            name = shorten(str(item["loc"][-1]))
            # camelCase or snake_case, a typing error or two: all of them are near.
            spellings = {_plain(other): other for other in known}
            near = get_close_matches(_plain(name), spellings, n=1, cutoff=0.7)
            if near:
                return f"is not known here; did you mean `{spellings[near[0]]}`?"
            return "is not known here"
        case _ if item.get("input", "") is None:
            return "must not be null"
        case "int_type" | "int_parsing" if isinstance(value, str) and item["loc"][0] == "body":
            return "must be a whole number, not text (in HTTPie: `name:=5`, with a colon)"
        case "bool_type" if isinstance(value, str):
            return "must be true or false, not text (in HTTPie: `name:=true`, with a colon)"
        case "int_type" | "int_parsing" | "int_from_float":
            return "must be a whole number"
        case "int_parsing_size":
            return "is out of range"
        case "string_type":
            return "must be text"
        case "string_unicode":
            return "must be text without lone surrogates"
        case "string_pattern_mismatch":
            return _pattern_sentence(item["ctx"]["pattern"])
        case "decimal_type":
            return "must be a number"
        case "list_type":
            return "must be an array"
        case "uuid_parsing" | "uuid_type":
            return "must be a UUID"
        case "model_attributes_type" | "dict_type" | "model_type":
            return "must be a JSON object"
    message = str(item["msg"]).removeprefix("Value error, ").replace(" after validation", "")
    return re.sub(r"^\w+( input)? should ", "must ", message)


def _plain(name: str) -> str:
    return re.sub(r"[_-]", "", name).lower()


def _pattern_sentence(pattern: str) -> str:
    return PATTERN_WORDS.get(pattern, f"must match {pattern}")


PATTERN_WORDS: dict[str, str] = {}


def matching(pattern: str, words: str, **constraints: Any) -> Any:
    """Make a text's pattern, and the words in which an error says what it means."""
    PATTERN_WORDS[pattern] = words
    return Field(pattern=pattern, **constraints)


# --- The database --------------------------------------------------------------------------

UNIQUE = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
FOREIGN_KEY = {"23503", "SQLITE_CONSTRAINT_FOREIGNKEY", "SQLITE_CONSTRAINT_TRIGGER"}


def from_database_error(error: Exception) -> Problem | None:
    """Tell by SQLSTATE (PostgreSQL) or result code (SQLite), never by a message's text."""
    if isinstance(getattr(error, "orig", None), OverflowError | ValueError):
        return Problem(INVALID, UNFIT)  # it did not even reach the database
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        # The pool has no connection to give, or the time for the request is over.
        unavailable = isinstance(error, _NO_ANSWER) or is_retried(error)
        return Problem.unavailable() if unavailable else None
    code = _code(error)
    statement = (error.statement or "").lstrip().upper()
    if isinstance(error, sqlalchemy.exc.IntegrityError):
        if code in UNIQUE:
            return Problem(ALREADY_EXISTS, _duplicate_sentence(error))
        if code in FOREIGN_KEY and statement.startswith("DELETE"):
            return Problem(IN_USE, "It is still in use: other objects refer to it.")
        if code in FOREIGN_KEY:
            return Problem(IMPOSSIBLE, "The request refers to an object that does not exist.")
        return Problem(INVALID, "The request breaks a rule of the database.")
    if code in {"42P01", "42703"} or _is_missing_in_sqlite(error):
        return Problem(NOT_MIGRATED, MIGRATE_HINT, headers={"Retry-After": "10"})
    if code.startswith("22") or isinstance(error, sqlalchemy.exc.DataError):
        return Problem(INVALID, UNFIT)
    if code == READ_ONLY:
        return Problem.unavailable()
    if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError):
        return Problem.unavailable()
    # Without a statement it was the connection that failed, a wrong option in the URL included.
    no_answer = error.connection_invalidated or error.statement is None
    return Problem.unavailable() if no_answer else None


class StaleConnectionError(ConnectionError):
    """A connection was of no use any more, and nothing was done with it: it is safe to repeat."""


READ_ONLY = "25006"  # read_only_sql_transaction
RETRIED = {"40001", "40P01"}  # serialization_failure, deadlock_detected


def is_retried(error: Exception) -> bool:
    """Tell whether nothing was done by a transaction that may well succeed when repeated."""
    # A row has a newer version than the one read, or the connection did not even get to work.
    if isinstance(error, StaleDataError | StaleConnectionError):
        return True
    return isinstance(error, sqlalchemy.exc.DBAPIError) and (
        _code(error) in RETRIED
        # Another process opens or closes the file, for which SQLite does not always wait.
        or _code(error).startswith("SQLITE_BUSY")
    )


_NO_ANSWER = (sqlalchemy.exc.TimeoutError, TimeoutError, OSError)


def _code(error: sqlalchemy.exc.DBAPIError) -> str:
    return str(
        getattr(error.orig, "sqlstate", None) or getattr(error.orig, "sqlite_errorname", None) or ""
    )


def _is_missing_in_sqlite(error: sqlalchemy.exc.DBAPIError) -> bool:
    # "no such table" and "no such column" share the general code SQLITE_ERROR with syntax
    # errors, which the tests would find; so a plain SQLITE_ERROR means the schema is behind.
    return _code(error) == "SQLITE_ERROR"


def _duplicate_sentence(error: sqlalchemy.exc.IntegrityError) -> str:
    """Name the members that must be unique together, if that can be told."""
    names = ["username" if name == "login" else _camel(name) for name in _unique_columns(error)]
    return f"Another one with the same {' and '.join(names) or 'value'} exists already."


def _unique_columns(error: sqlalchemy.exc.IntegrityError) -> list[str]:
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if isinstance(error.orig, sqlite3.Error):
        # "…: products.store_id, products.name", or "…: index 'uq_products_name'" of an expression
        _, _, subject = str(error.orig).partition(": ")
        if not subject.startswith("index "):
            return re.findall(r"\w+\.(\w+)", subject)
        constraint = subject.removeprefix("index ").strip("'")
    return [
        column.name
        for table in SQLModel.metadata.tables.values()
        for rule in (*table.constraints, *table.indexes)
        if isinstance(rule, UniqueConstraint | PrimaryKeyConstraint | Index)
        if rule.name == constraint
        for column in rule.columns
    ]


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


# --- Wiring --------------------------------------------------------------------------------


def problem_of(error: Exception, request: Request) -> Problem | None:
    """Give the answer to an exception, or None if it is a fault of ours."""
    if isinstance(error, RequestValidationError):
        return from_validation_error(error, request)
    if isinstance(error, HTTPException):
        return from_http_exception(error, request)
    if isinstance(error, ClientDisconnect):
        return Problem(MALFORMED, "The body ended before it was complete.")
    return from_database_error(error)


ANSWERED = (
    HTTPException,
    RequestValidationError,
    ClientDisconnect,
    sqlalchemy.exc.SQLAlchemyError,
    TimeoutError,
    OSError,
)


async def answer_error(request: Request, error: Exception) -> Response:
    """Answer an exception that has an answer; the rest is raised again."""
    problem = problem_of(error, request)
    if problem is None:
        raise error
    if problem.kind is METHOD_NOT_ALLOWED and request.method == "OPTIONS":
        return Response(status_code=204, headers=problem.headers)
    if problem.status_code == 503 and not isinstance(error, Problem):
        cause = getattr(error, "orig", None) or repr(error)
        log.warning("%s [%s] %s", problem.detail, request.state.request_id, cause)
    return problem.response(request.state.request_id)


def add_error_handlers(app: FastAPI) -> None:
    """Answer every exception that has an answer; the rest reaches the middleware as a 500."""
    for kind in ANSWERED:
        app.add_exception_handler(kind, answer_error)
