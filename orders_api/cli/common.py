"""What the commands have in common."""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from sqlmodel import Session

    from orders_api.settings import Settings


STREAM = Path("-")
CANNOT_WRITE = ("SQLITE_CANTOPEN", "SQLITE_READONLY")


@contextmanager
def open_session(begin: str = "BEGIN IMMEDIATE") -> Iterator["Session"]:
    """Open a session on the database of the settings, or end with the reason why not.

    `begin` is how SQLite begins a transaction: plain `BEGIN` lets others write until this one does.
    """
    import sqlalchemy as sa
    from sqlmodel import Session

    from orders_api.problems import NOT_MIGRATED, UNAVAILABLE
    from orders_api.settings import Settings, without_event_loop
    from orders_api.storage.errors import from_database_error
    from orders_api.storage.migrations import schema_advice
    from orders_api.storage.pooler import set_up_connection
    from orders_api.storage.sqlite import PRAGMAS

    settings = Settings()
    options: dict[str, Any] = {"connect_timeout": 10, "application_name": "orders-api"}
    if settings.is_sqlite:
        migrate_or_exit(settings, only_if_empty=True)
        options = {"isolation_level": None, "timeout": 60}
    url = without_event_loop(settings.url)
    engine = sa.create_engine(
        url, connect_args=options, hide_parameters=True, poolclass=sa.NullPool
    )
    if settings.is_sqlite:
        pragmas = ";".join(PRAGMAS)
        sa.event.listen(engine, "connect", lambda c, _: c.executescript(pragmas))
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql(begin))
    else:
        sa.event.listen(engine, "connect", set_up_connection)
    try:
        with Session(engine) as session:
            yield session
    except sa.exc.SQLAlchemyError as error:
        problem = from_database_error(error)
        sentence = problem.detail if problem else None
        if problem and problem.problem_type is NOT_MIGRATED:
            with engine.connect() as connection:
                sentence = schema_advice(connection)
        if problem and problem.problem_type is UNAVAILABLE:
            sentence = f"The database does not answer: {reason_of(error)}."
        if sentence is None:
            raise
        fail(sentence)


@contextmanager
def progress(label: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show a bar on standard error, if that is a terminal; call it with how much is done."""
    if not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=total)
        yield lambda done: bar.update(task, completed=done)


@contextmanager
def opened(file: Path, mode: Literal["rb", "wb"]) -> Iterator[BinaryIO]:
    """Open a file, or the standard stream that `-` stands for; what fails is said in a sentence."""
    stream = sys.stdin if mode == "rb" else sys.stdout
    try:
        with nullcontext(stream.buffer) if file == STREAM else file.open(mode) as content:
            yield content
            content.flush()
    except BrokenPipeError:  # such as with `| head`: typer ends quietly
        raise
    except OSError as error:
        name = stream.name if file == STREAM else file
        fail(f"{name} cannot be {'read' if mode == 'rb' else 'written'}: {error.strerror}.")


def format_of(file: Path) -> Any:
    """Tell a file's format by its name."""
    return {".csv": "csv", ".json": "json"}.get(file.suffix.lower(), "jsonl")


def openapi_text() -> str:
    """Return the OpenAPI document, as a file has it; it needs no database."""
    import json

    from orders_api.app import create_app
    from orders_api.settings import Settings

    document = create_app(Settings()).openapi()
    return json.dumps(document, indent=2, ensure_ascii=False) + "\n"


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def nearest(name: str, known: Iterable[str], otherwise: str = ".") -> str:
    """Ask, at the end of a sentence, whether the nearest of what is known was meant."""
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else otherwise


def fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def check_writable(settings: "Settings") -> None:
    """End with the way out if a SQLite file is there and cannot be written.

    SQLite says so at the first write only, and not at all if there is nothing to migrate.
    """
    file = Path(settings.url.database or "")
    is_there = settings.is_sqlite and file.is_file()
    if is_there and not os.access(file, os.W_OK):
        fail_to_write(settings)


def fail_to_write(settings: "Settings") -> NoReturn:
    fail(
        f"The database file {settings.url.database} cannot be written: make its folder, or allow to"
        " write there, or let DATABASE_URL name another file."
    )


def migrate_or_exit(settings: "Settings", *, only_if_empty: bool = False) -> None:
    import sqlalchemy.exc
    from alembic.util import CommandError

    from orders_api.storage.migrations import migrate

    check_writable(settings)
    try:
        migrate(settings.url, only_if_empty=only_if_empty)
    except (sqlalchemy.exc.DBAPIError, CommandError) as error:
        if getattr(getattr(error, "orig", None), "sqlite_errorname", "").startswith(CANNOT_WRITE):
            fail_to_write(settings)
        fail(f"The database could not be migrated: {reason_of(error)}.")


def reason_of(error: Exception) -> str:
    """Return the first line of what a database says of an error."""
    lines = str(getattr(error, "orig", error)).splitlines() or ["it gives no reason"]
    return lines[0].rstrip(".")
