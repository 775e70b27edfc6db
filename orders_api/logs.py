"""What is logged, and how: lines to read on a terminal, and JSON everywhere else."""

import json
import logging
import os
import sys
import time
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

from starlette.types import Scope
from uvicorn.config import LOGGING_CONFIG

from orders_api.settings import Settings

log = logging.getLogger("orders_api")

request_state: ContextVar[dict[str, Any]] = ContextVar("request_state")
"""The `request.state` of the request under way, also where there is no request at hand."""


encode = json.JSONEncoder(default=str).encode


COLOURS = {2: 32, 3: 36, 4: 33, 5: 31}  # by the first digit of a status: green to red
YELLOW, RED = 33, 31


class TextFormatter(logging.Formatter):
    """Time, level and message, and then as `name=value` what a record has beside its message.

    On a terminal the message has the colour of its status, and warnings and errors have one.
    """

    @property
    def has_colours(self) -> bool:
        return sys.stderr.isatty() and not os.environ.get("NO_COLOR")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - the library's name
        line = super().formatMessage(record)
        if self.has_colours and (colour := colour_of(record)):
            line = f"\x1b[{colour}m{line}\x1b[0m"
        if isinstance(record.args, Mapping):
            more = {k: v for k, v in record.args.items() if f"%({k})" not in str(record.msg)}
            line += "".join(f" {name}={value}" for name, value in more.items())
        return line


def colour_of(record: logging.LogRecord) -> int | None:
    if isinstance(record.args, Mapping) and "status" in record.args:
        return COLOURS.get(int(str(record.args["status"])) // 100)
    if record.levelno >= logging.ERROR:
        return RED
    return YELLOW if record.levelno >= logging.WARNING else None


class JsonFormatter(logging.Formatter):
    """One object a line: `time`, `level`, `message`, and by name all that a record has."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "message": record.getMessage(),
        }
        if "request_id" in (state := request_state.get({})):
            line["requestId"] = state["request_id"]
        if isinstance(record.args, Mapping):
            line.update(record.args)
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return encode(line)


def writes_json(settings: Settings) -> bool:
    if settings.log_format == "auto":
        return not sys.stderr.isatty()
    return settings.log_format == "json"


def uvicorn_config(settings: Settings) -> dict[str, Any]:
    """Leave uvicorn's own lines as they are on a terminal; else they are JSON too."""
    if not writes_json(settings):
        return LOGGING_CONFIG
    json_lines = {"()": JsonFormatter}
    return LOGGING_CONFIG | {"formatters": {"default": json_lines, "access": json_lines}}


def start_logging(settings: Settings) -> None:
    """Log in the same way whatever program has started the server."""
    formatter: logging.Formatter = TextFormatter("%(asctime)s %(levelname)s %(message)s")
    if writes_json(settings):
        formatter = JsonFormatter()
        for its_own in logging.getLogger("uvicorn").handlers:
            its_own.setFormatter(formatter)
    handler = logging.StreamHandler()
    handler.setFormatter(formatter)
    logging.basicConfig(handlers=[handler])
    log.setLevel(settings.log_level)
    # The access log is ours, since uvicorn's knows neither a request's id nor its user.
    logging.getLogger("uvicorn.access").handlers.clear()
    logging.getLogger("uvicorn.access").propagate = False


# --- Requests -----------------------------------------------------------------------------


def log_request(scope: Scope, status: int, seconds: float) -> None:
    """Write the line of the access log for a request; `status` is 0 if there was no answer."""
    state = scope["state"]
    fields = {
        "method": state["method"],
        # Without the query, which may hold what is nobody's business.
        "path": scope["raw_path"].decode("ascii", "backslashreplace"),
        "status": status,
        "durationMs": round(seconds * 1000, 1),
        "statements": state["statements"],
        "route": getattr(scope.get("route"), "path", "-"),
        "user": str(getattr(state.get("caller"), "user_id", None) or "-"),
        "client": scope["client"][0] if scope["client"] else "-",
        "requestId": state["request_id"],
    }
    if "attempts" in state:  # more than one, because of conflicts with other transactions
        fields["attempts"] = state["attempts"]
    log.info("%(method)s %(path)s %(status)s", fields)


# --- Statements ---------------------------------------------------------------------------


class StatementLog:
    """Counts statements for the requests that send them, and logs the slow ones."""

    def __init__(self, slow_ms: int) -> None:
        self.slow_ms = slow_ms

    def before(self, info: dict[Any, Any], sql: str) -> None:
        info["started"] = time.perf_counter()
        state = request_state.get(None)
        if state and not sql.startswith("BEGIN"):  # implicit on PostgreSQL, a statement on SQLite
            state["statements"] += 1

    def after(self, info: dict[Any, Any], sql: str) -> None:
        seconds = time.perf_counter() - info["started"]
        if seconds * 1000 >= self.slow_ms:
            log_slow(sql, seconds)


def log_slow(sql: str, seconds: float) -> None:
    """Log a statement with placeholders; its parameters, which are users' data, are not logged."""
    fields = {
        "durationMs": round(seconds * 1000, 1),
        "requestId": request_state.get({}).get("request_id", "-"),
        "statement": " ".join(sql.split()),
    }
    log.warning("Slow statement", fields)
