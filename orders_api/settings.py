"""Every environment variable, in one class."""

import os
import re
import sys
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict
from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

SEVERAL_HOSTS = re.compile(r"(?P<start>postgres[\w+]*://(?:[^@/]*@)?)(?P<hosts>[^/?@]*,[^/?@]*)")
DRIVERS = {
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
    "postgresql+psycopg": "postgresql+psycopg",
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
}


def parse_database_url(value: Any) -> URL:
    """Take the URL as people write it; the driver is our business."""
    hosts = SEVERAL_HOSTS.match(str(value))
    try:
        # Several servers, as libpq writes them, are parameters for SQLAlchemy.
        url = make_url(hosts["start"] + value[hosts.end() :] if hosts else value)
        if hosts:
            url = url.update_query_dict({"host": hosts["hosts"].split(",")})
    except (ArgumentError, ValueError):
        url = None
    if (
        url is None
        or url.drivername not in DRIVERS
        # sqlite://orders.db, with two slashes, would be a host.
        or (url.drivername.startswith("sqlite") and (url.host or url.query))
    ):
        raise ValueError(
            "must look like postgresql://user:password@host/database or sqlite:///orders.db"
        )
    url = url.set(drivername=DRIVERS[url.drivername])
    if url.get_backend_name() == "postgresql":
        # Else psycopg talks in the encoding of the database, and takes no text from SQL_ASCII.
        url = url.set(query={"client_encoding": "utf8", **url.query})
    return url


def parse_api_prefix(value: str) -> str:
    """Take /v1 and /v1/ alike."""
    prefix = value.rstrip("/")
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)*", prefix):
        raise ValueError("must look like /v1")
    return prefix


IN_MEMORY = {None, "", ":memory:"}  # names of a SQLite database without a file


def without_event_loop(url: URL) -> URL:
    """Return where a database is, for code that waits for it: SQLite has another driver then."""
    return url.set(drivername=url.drivername.replace("aiosqlite", "pysqlite"))


ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:[0-9]{1,5})?")


def parse_origins(value: Any) -> Any:
    """Return origins as browsers send them: in lower case, without the port that is the scheme's.

    What is no text is taken as it is.
    """
    if not isinstance(value, str):
        return value
    origins = [origin.strip().lower() for origin in value.split(",")] if value else []
    if origins != ["*"] and not all(map(ORIGIN.fullmatch, origins)):
        raise ValueError(
            "must be origins such as http://localhost:5173, with commas between them and no slash"
            " at the end, or * alone"
        )
    return [one.removesuffix(":443" if one.startswith("https:") else ":80") for one in origins]


@dataclass(frozen=True)
class Faults:
    """What goes wrong on purpose."""

    delay_ms: tuple[int, int] = (0, 0)
    """Each answer is delayed by so many milliseconds, from and to."""

    fail: tuple[tuple[int, float], ...] = ()
    """Statuses, and the share of the requests that fails with each."""

    only: tuple[tuple[str, str], ...] = ()
    """The methods and paths that fail, with all paths below; all if there are none."""

    seed: int = 1

    def __str__(self) -> str:
        low, high = self.delay_ms
        parts = [f"answers are delayed by {low} to {high} ms"] if high else []
        which = " and ".join(" ".join(one) for one in self.only) or "all requests"
        parts += [f"{share * 100:g} % of {which} fail with {status}" for status, share in self.fail]
        return f"On purpose, {' and '.join(parts)} (seed {self.seed})."


FAULT = re.compile(
    r"delay=(?P<low>[0-9]{1,5})(\.\.(?P<high>[0-9]{1,5}))?"
    r"|fail=(?P<status>[45][0-9]{2}):(?P<percent>[0-9]{1,3}(\.[0-9]{1,3})?)%"
    r"|for=(?P<method>DELETE|GET|HEAD|OPTIONS|PATCH|POST|PUT|QUERY):(?P<path>/[^\s,?#]*)"
    r"|seed=(?P<seed>[0-9]{1,9})"
)


def parse_faults(value: Any) -> Any:
    """Return what is to go wrong, or None; what is no text is taken as it is."""
    if not value or not isinstance(value, str):
        return value or None
    found = [FAULT.fullmatch(part.strip()) for part in value.split(",")]
    parts = [part.groupdict() for part in found if part]
    delays = [(int(p["low"]), int(p["high"] or p["low"])) for p in parts if p["low"]]
    fail = tuple((int(p["status"]), float(p["percent"]) / 100) for p in parts if p["status"])
    only = tuple((p["method"], p["path"].rstrip("/")) for p in parts if p["method"])
    if (
        len(parts) < len(found)
        or len(delays) > 1
        or any(low > high for low, high in delays)
        or round(sum(share for _, share in fail), 9) > 1  # floats may add up to a bit more
        or (only and not fail)
        or not (delays or fail)
    ):
        raise ValueError(
            "must look like delay=300..800,fail=503:5%,for=POST:/orders,seed=1 (milliseconds, and"
            " statuses of up to 100 % in all)"
        )
    seeds = [int(p["seed"]) for p in parts if p["seed"]]
    return Faults(delays[0] if delays else (0, 0), fail, only, *seeds[-1:])


class SettingsError(SystemExit):
    """Ends the program with one sentence that names the variable that is wrong."""

    def __init__(self, sentence: str) -> None:
        super().__init__(sentence)
        sys.stderr.write(f"{sentence}\n")
        # uvicorn's code for "cannot start"; workers that end with another it starts anew for ever.
        self.code = 3


class Settings(BaseSettings):
    """Read from the environment, then from `.env` (or the file that `ENV_FILE` names)."""

    model_config = SettingsConfigDict(
        env_file_encoding="utf-8",
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        arbitrary_types_allowed=True,  # the URL
    )

    database_url: Annotated[URL, NoDecode, BeforeValidator(parse_database_url)] = Field(
        default="sqlite:///orders.db",
        validate_default=True,
        repr=False,  # the password may stand in its query too
    )
    postgres_db: Annotated[str, Field(min_length=1, max_length=63)] | None = None
    """Replaces the database name of a PostgreSQL `DATABASE_URL`, for a test database."""

    database_pool_size: Annotated[int, Field(ge=1, le=1000)] = 10
    """Connections that one process keeps at most for reading; on PostgreSQL as many for writing."""

    database_timeout: Annotated[float, Field(gt=0, le=3600)] = 4.0
    """Seconds that a request may wait for the database in all; then it is answered with 503."""

    api_prefix: Annotated[str, AfterValidator(parse_api_prefix)] = ""

    log_level: Annotated[
        Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"], BeforeValidator(str.upper)
    ] = "INFO"

    log_format: Annotated[Literal["auto", "text", "json"], BeforeValidator(str.lower)] = "auto"
    """`auto` is text on a terminal, and JSON everywhere else."""

    slow_statement_ms: Annotated[int, Field(ge=0, le=3_600_000)] = 500
    """Milliseconds from which on an SQL statement is logged; 0 logs every one."""

    trust_local: bool = True
    """Whether requests from the machine itself need no sign-in."""

    cors_origins: Annotated[tuple[str, ...], NoDecode, BeforeValidator(parse_origins)] = Field(
        default="", validate_default=True
    )
    """Where the pages come from that may read answers; none but the server's own by default."""

    max_head_bytes: Annotated[int, Field(ge=1024, le=2**20)] = 32 * 1024
    """Of the request line and the headers together; counted by the server of `orders-api serve`."""

    max_body_bytes: Annotated[int, Field(ge=0, le=2**31 - 1)] = 1024 * 1024

    max_import_bytes: Annotated[int, Field(ge=0, le=2**40)] = 100 * 1024 * 1024
    """As `max_body_bytes`, for the body of an import, which is kept on disk; that limits a line."""

    shortcuts: bool = True
    """Whether to take what is faster than the ways of FastAPI, SQLAlchemy and psycopg."""

    faults: Annotated[Faults | None, NoDecode, BeforeValidator(parse_faults)] = None
    """What goes wrong on purpose, for those who build a client; see `orders-api serve --help`."""

    @field_validator("faults")
    @classmethod
    def _only_locally(cls, faults: Faults | None, info: ValidationInfo) -> Faults | None:
        if faults and not info.data.get("trust_local", True):
            raise ValueError("must not be set with TRUST_LOCAL=false: it is for this machine alone")
        return faults

    def __init__(self, **values: Any) -> None:
        env_file = os.environ.get("ENV_FILE") or ".env"
        if env_file != ".env" and (os.path.isdir(env_file) or not os.path.exists(env_file)):
            raise SettingsError(f"ENV_FILE names {env_file}, which is no file.")
        try:
            super().__init__(_env_file=env_file, **values)
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"The settings in {env_file} cannot be read: {error}.") from None
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            name = str(first["loc"][0]).upper()
            message = first["msg"].removeprefix("Value error, ").replace("Input should", "must")
            message = message.replace("String should", "must").partition(", unable to")[0]
            message = message.replace("a valid boolean", "true or false")
            raise SettingsError(f"{name} is wrong: it {message}.") from None

    @property
    def url(self) -> URL:
        """Where the database is, `POSTGRES_DB` taken into account."""
        if self.postgres_db and self.database_url.get_backend_name() == "postgresql":
            return self.database_url.set(database=self.postgres_db)
        return self.database_url

    @property
    def is_sqlite(self) -> bool:
        return self.url.get_backend_name() == "sqlite"
