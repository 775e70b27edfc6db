"""What a route or a model raises: problem details (RFC 9457), and the types of problem."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field
from sqlmodel import SQLModel
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse

MEDIA_TYPE = "application/problem+json"


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
class ProblemType:
    """A type of problem: the last part of its stable `type`, and what every case of it shares."""

    name: str
    status: int
    title: str
    example: str
    """A `detail` of this type, to show in the documentation."""

    @property
    def type(self) -> str:
        return f"urn:orders-api:{self.name}" if self.name else "about:blank"


MIGRATE_HINT = "The database's schema is not up to date: run `orders-api migrate`."
MALFORMED = ProblemType(
    "malformed", 400, "Malformed request", "The body is not valid JSON (line 1, column 2)."
)
UNAUTHORIZED = ProblemType(
    "unauthorized",
    401,
    "Not signed in",
    "Sign in first: send your username and password to POST /token.",
)
FORBIDDEN = ProblemType(
    "forbidden", 403, "Not allowed", "You may change or delete no user but yourself."
)
NOT_FOUND = ProblemType("not-found", 404, "Not found", "There is no object with this id.")
METHOD_NOT_ALLOWED = ProblemType(
    "method-not-allowed",
    405,
    "Method not allowed",
    "/stores does not take PUT, only GET, HEAD, OPTIONS, POST.",
)
ALREADY_EXISTS = ProblemType(
    "already-exists", 409, "Already exists", "Another one with the same name exists already."
)
IN_USE = ProblemType(
    "in-use", 409, "Still in use", "It is still in use: other objects refer to it."
)
USED_UP = ProblemType("used-up", 409, "Coupon used up", "The coupon is used up.")
PRECONDITION_FAILED = ProblemType(
    "precondition-failed",
    412,
    "Changed meanwhile",
    "It was changed since you read it: read it again, then decide.",
)
TOO_LARGE = ProblemType(
    "too-large", 413, "Body too large", "The body must not be larger than 1048576 bytes."
)
UNSUPPORTED = ProblemType(
    "unsupported-media-type",
    415,
    "Unsupported media type",
    "The body's media type must be sent, and be application/json.",
)
INVALID = ProblemType("invalid", 422, "Invalid request", "`colour` is not known here.")
IMPOSSIBLE = ProblemType(
    "impossible", 422, "Not possible", "The request refers to an object that does not exist."
)
KEY_REUSED = ProblemType(
    "idempotency-key-reused",
    422,
    "Idempotency key used for another request",
    "The Idempotency-Key was used for another request.",
)
TOO_MANY = ProblemType(
    "too-many-sign-ins",
    429,
    "Too many failed sign-ins",
    "Too many failed sign-ins for this username: try again in 30 seconds.",
)
HEAD_TOO_LARGE = ProblemType(
    "head-too-large",
    431,
    "Head too large",
    "The request line and headers (or trailers) must not be larger than 32768 bytes.",
)
INTERNAL = ProblemType("internal", 500, "Internal error", "Something went wrong on the server.")
UNAVAILABLE = ProblemType(
    "unavailable", 503, "Try again later", "The database does not answer right now."
)
NOT_MIGRATED = ProblemType("not-migrated", 503, "Schema not migrated", MIGRATE_HINT)
PROBLEM_TYPES = [value for value in globals().values() if isinstance(value, ProblemType)]


def blank_type(status: int) -> ProblemType:
    """Return the type of a problem that is no more than its status (RFC 9457, 4.2.1)."""
    return ProblemType(name="", status=status, title=phrase_of(status), example="")


def phrase_of(status: int) -> str:
    """Return the words of a status: `Not Found`."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown status"


class Problem(HTTPException):
    """Raise it anywhere: the client gets it as problem+json, and the transaction is rolled back."""

    def __init__(
        self,
        problem_type: ProblemType,
        detail: str,
        *,
        errors: Sequence[Mapping[str, Any]] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(problem_type.status, detail, dict(headers or {}))
        self.problem_type = problem_type
        self.errors = errors

    @classmethod
    def not_found(cls, model: type[SQLModel]) -> "Problem":
        return cls(NOT_FOUND, f"There is no {noun(model.__name__)} with this id.")

    @classmethod
    def invalid(
        cls,
        errors: Sequence[Mapping[str, str]],
        problem_type: ProblemType = INVALID,
        unnamed: int = 0,
    ) -> "Problem":
        """Refuse a request for each of `errors`: a `pointer` or `parameter`, and a `detail`.

        `unnamed` is the number of those that are left out.
        """
        others = len(errors) - 1 + unnamed
        first = errors[0]
        subject = first.get("pointer") or first.get("parameter")
        sentence = f"`{subject}` {first['detail']}" if subject else f"The body {first['detail']}"
        more = f" (and {others} more)" if others else ""
        end = "" if sentence.endswith("?") and not more else "."
        return cls(problem_type, f"{sentence}{more}{end}", errors=errors)

    @classmethod
    def impossible(cls, errors: Sequence[Mapping[str, str]]) -> "Problem":
        """Refuse what a schema cannot forbid: a reference to nothing, a total that is too large."""
        return cls.invalid(errors, IMPOSSIBLE)

    @classmethod
    def unavailable(cls, detail: str = "The database does not answer right now.") -> "Problem":
        return cls(UNAVAILABLE, detail, headers={"Retry-After": "1"})

    @classmethod
    def not_migrated(cls, detail: str = MIGRATE_HINT) -> "Problem":
        return cls(NOT_MIGRATED, detail, headers={"Retry-After": "10"})

    def content(self, request_id: str) -> dict[str, Any]:
        content: dict[str, Any] = {
            "type": self.problem_type.type,
            "title": self.problem_type.title,
            "status": self.status_code,
            "detail": self.detail,
            "requestId": request_id,
        }
        if self.errors:
            content["errors"] = self.errors
        return content

    def response(self, request_id: str) -> JSONResponse:
        return JSONResponse(self.content(request_id), self.status_code, self.headers, MEDIA_TYPE)


def noun(class_name: str) -> str:
    """`OrderItem` → `order item`."""
    return re.sub(r"(?<!^)([A-Z])", r" \1", class_name).lower()


PATTERN_WORDS: dict[str, str] = {}


def matching(pattern: str, words: str, **constraints: Any) -> Any:
    """Return a field with this pattern; an error says `words` in its place."""
    PATTERN_WORDS[pattern] = words
    return Field(pattern=pattern, **constraints)
