"""What HTTP asks for. A route module needs no more than the names below."""

from orders_api.problems import (
    ALREADY_EXISTS,
    FORBIDDEN,
    HEAD_TOO_LARGE,
    IMPOSSIBLE,
    IN_USE,
    INTERNAL,
    INVALID,
    KEY_REUSED,
    MALFORMED,
    METHOD_NOT_ALLOWED,
    NOT_FOUND,
    NOT_MIGRATED,
    PRECONDITION_FAILED,
    TOO_LARGE,
    TOO_MANY,
    UNAUTHORIZED,
    UNAVAILABLE,
    UNSUPPORTED,
    USED_UP,
    Problem,
)
from orders_api.storage.unit_of_work import UnitOfWork
from orders_api.web.authentication import TOKEN_LIFETIME, sign_in
from orders_api.web.line_bodies import Imported, Lines, import_body, stream, takes_lines
from orders_api.web.pagination import Filter, Page, UpdatedSince, search, since
from orders_api.web.passwords import hash_password
from orders_api.web.problem_responses import document_problems
from orders_api.web.readiness import check_readiness
from orders_api.web.routing import Router
from orders_api.web.security import CurrentCaller
from orders_api.web.sessions import Read, Write, Writer

__all__ = [
    "ALREADY_EXISTS",
    "FORBIDDEN",
    "HEAD_TOO_LARGE",
    "IMPOSSIBLE",
    "INTERNAL",
    "INVALID",
    "IN_USE",
    "KEY_REUSED",
    "MALFORMED",
    "METHOD_NOT_ALLOWED",
    "NOT_FOUND",
    "NOT_MIGRATED",
    "PRECONDITION_FAILED",
    "TOKEN_LIFETIME",
    "TOO_LARGE",
    "TOO_MANY",
    "UNAUTHORIZED",
    "UNAVAILABLE",
    "UNSUPPORTED",
    "USED_UP",
    "CurrentCaller",
    "Filter",
    "Imported",
    "Lines",
    "Page",
    "Problem",
    "Read",
    "Router",
    "UnitOfWork",
    "UpdatedSince",
    "Write",
    "Writer",
    "check_readiness",
    "document_problems",
    "hash_password",
    "import_body",
    "search",
    "sign_in",
    "since",
    "stream",
    "takes_lines",
]
