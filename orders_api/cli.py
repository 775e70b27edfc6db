"""The command line, `orders-api`: the server, migrations, users, and data in bulk.

What takes long to import is imported by the commands that need it: completion and `--help` answer
at once.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO, Literal, NoReturn

import typer

if TYPE_CHECKING:
    from sqlmodel import Session

    from orders_api.settings import Settings

app = typer.Typer(
    help="The Orders API. Settings come from the environment and `.env`; see .env.example.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


# --- The server ---------------------------------------------------------------------------


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    reload: Annotated[bool, typer.Option(help="Start anew when the code changes.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
) -> None:
    """Run the server. A SQLite database is created and migrated first."""
    import uvicorn

    from orders_api.logs import uvicorn_config
    from orders_api.settings import Settings

    settings = Settings()
    if settings.url.get_backend_name() == "sqlite":
        migrate_or_exit(settings)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.api_prefix}"
    typer.echo(f"Orders API on {address} (interactive documentation: {address}/docs)")
    uvicorn.run(
        "orders_api.main:app",
        host=host,
        port=port,
        reload=reload,
        workers=workers,
        log_level=settings.log_level.lower(),
        log_config=uvicorn_config(settings),
        server_header=False,
        http="orders_api.protocol:HttpProtocol",  # not imported by what only watches workers
        ws="none",  # an Upgrade is ignored, as RFC 9110 (7.8) allows, and HTTP goes on
    )


@app.command()
def openapi() -> None:
    """Print the OpenAPI document, for programs that make clients; it needs no database."""
    import json

    from orders_api.app import create_app
    from orders_api.settings import Settings

    typer.echo(json.dumps(create_app(Settings()).openapi(), indent=2, ensure_ascii=False))


@app.command(name="migrate")
def migrate_database() -> None:
    """Bring the database's schema to the newest revision; several may do so at once."""
    from orders_api.database import head_revision
    from orders_api.settings import Settings

    migrate_or_exit(Settings())
    typer.echo(f"The database is at revision {head_revision()}.")


# --- Users --------------------------------------------------------------------------------


@app.command()
def create_user(
    name: Annotated[str, typer.Argument(help="3 to 64 characters, unique in any case.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Create a user, who may sign in from now on. Asks for the password."""
    from pydantic import ValidationError

    from orders_api.errors import explain
    from orders_api.models import User, UserIn
    from orders_api.security import password_hash

    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    try:
        body = UserIn(username=name, password=password)
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"The {first['loc'][0]} {explain(first)}.")
    with open_session() as session:
        session.add(User.of(body, password_hash.hash(body.password)))
        session.commit()
    typer.echo(f"{name} may sign in from now on.")


@app.command()
def revoke_tokens(name: Annotated[str, typer.Argument(help="The username, in any case.")]) -> None:
    """End all sign-ins of a user."""
    from sqlmodel import col, delete, select

    from orders_api.models import Token, User

    with open_session() as session:
        user = session.exec(select(User).where(User.login == User.login_of(name))).one_or_none()
        if user is None:
            fail(f"There is no user {name}.")
        count = session.exec(delete(Token).where(col(Token.user_id) == user.user_id)).rowcount
        session.commit()
    typer.echo(f"{name} is signed out ({plural(count, 'token')}).")


# --- Data ---------------------------------------------------------------------------------


@app.command()
def demo(
    size: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many products.")] = 100,
    seed: Annotated[int, typer.Option(help="Another number makes other data.")] = 1,
) -> None:
    """Fill an empty database with made-up stores, products, coupons and orders.

    The same size and seed make the same data, ids and dates included.
    """
    from orders_api.demo import Demo, is_empty

    made = Demo(size, seed)
    with open_session() as session, progress("Making", sum(made.counts.values())) as show:
        if not is_empty(session.connection()):
            fail("The database has data already, and the demo needs an empty one.")
        for done in made.fill(session.connection()):
            show(done)
        session.commit()
    *parts, last = [plural(n, table.__name__.lower()) for table, n in made.counts.items()]
    typer.echo(f"Made {', '.join(parts)} and {last}.")


STREAM = Path("-")
FORMAT: Any = typer.Option("--format", help="By default as the file's name ends, else jsonl.")
SKIP_BAD: Any = typer.Option("--skip-bad", help="Import the good lines, and end with 4 for others.")


@app.command(name="import")
def import_file(
    kind: Annotated[Literal["stores", "products", "coupons"], typer.Argument(help="Of what.")],
    file: Annotated[Path, typer.Argument(help="In UTF-8; - is standard input.")],
    form: Annotated[Literal["csv", "json", "jsonl"] | None, FORMAT] = None,
    skip_bad: Annotated[bool, SKIP_BAD] = False,
) -> None:
    """Import stores, products or coupons: all of the file, or nothing if a line is bad.

    The members are those of the API, and the id if it is to stay the same. A product may name its
    store as `store` in place of the `storeId`.

    In CSV the first line names the columns, and commas, semicolons or tabs stand between cells. A
    JSON array is read whole into memory, the other formats are not.
    """
    from orders_api import bulk

    table, model = bulk.IMPORTS[kind]
    form = form or format_of(file)
    name = "<stdin>" if file == STREAM else str(file)
    total = file.stat().st_size if file.is_file() and form != "json" else None
    good = bad = 0
    with opened(file, "rb") as source, open_session() as session:
        lines = bulk.read(source, form, model)
        batches = bulk.import_lines(session.connection(), table, model, lines)
        try:
            with progress("Importing", total) as show:
                for count, bad_lines in batches:
                    good += count
                    bad += len(bad_lines)
                    for line in bad_lines:
                        typer.echo(f"{name}:{line.number}: {line}", err=True)
                    if total:
                        show(source.tell())
        except bulk.UnreadableError as error:
            fail(f"{name} {error}.")
        if bad and not skip_bad:
            fail(f"Nothing is imported, because of {plural(bad, 'bad line')}.")
        session.commit()
    typer.echo(f"Imported {plural(good, kind[:-1])}.")
    if bad:
        typer.echo(f"Left out {plural(bad, 'bad line')}.", err=True)
        raise typer.Exit(4)


@app.command()
def export(
    kind: Annotated[
        Literal["stores", "products", "coupons", "orders"], typer.Argument(help="Of what.")
    ],
    file: Annotated[Path, typer.Argument(help="- is standard output.")] = STREAM,
    form: Annotated[Literal["csv", "jsonl"] | None, FORMAT] = None,
) -> None:
    """Export all stores, products, coupons or orders, oldest first.

    All but orders can be imported again. An order is one line of jsonl; in CSV each of its items is
    one.
    """
    from orders_api import bulk

    with open_session("BEGIN") as session:
        shape = bulk.EXPORTS[kind]
        contents = bulk.export(session.connection(), shape, form or format_of(file))
        with opened(file, "wb") as output:
            output.writelines(contents)


@app.command()
def shell() -> None:
    """Open a Python prompt with a database session and the models; runs what is piped into it."""
    import sqlmodel

    from orders_api import models

    names: dict[str, Any] = {
        name: value
        for name, value in vars(models).items()
        if isinstance(value, type) and issubclass(value, sqlmodel.SQLModel)
    }
    names |= {name: getattr(sqlmodel, name) for name in ("col", "delete", "func", "select")}
    tables = [name for name, value in names.items() if hasattr(value, "__table__")]
    with open_session("BEGIN") as session:
        names["session"] = session
        if sys.stdin.isatty():
            prompt(names, f"{SHELL_HINT} The tables are {', '.join(tables)}.")
        else:
            exec(compile(sys.stdin.read(), "<stdin>", "exec"), names)  # noqa: S102 - its purpose


SHELL_HINT = "`session` is a database session; `session.commit()` keeps what it has changed."


def prompt(names: dict[str, Any], banner: str) -> None:
    import code

    with suppress(ImportError):  # there is none on Windows
        import readline
        import rlcompleter

        readline.set_completer(rlcompleter.Completer(names).complete)
        readline.parse_and_bind("tab: complete")
    code.interact(banner, local=names, exitmsg="")


# --- What the commands have in common -----------------------------------------------------


@contextmanager
def open_session(begin: str = "BEGIN IMMEDIATE") -> Iterator["Session"]:
    """Open a session on the database of the settings, or end with the reason why not.

    `begin` is how SQLite begins a transaction: plain `BEGIN` lets others write until this one does.
    """
    import sqlalchemy as sa
    from sqlmodel import Session

    from orders_api.database import PRAGMAS
    from orders_api.errors import from_database_error
    from orders_api.settings import Settings

    settings = Settings()
    options: dict[str, Any] = {"connect_timeout": 10, "application_name": "orders-api"}
    if is_sqlite := settings.url.get_backend_name() == "sqlite":
        migrate_or_exit(settings)
        options = {"isolation_level": None, "timeout": 60}
    url = settings.url.set(drivername=settings.url.drivername.replace("aiosqlite", "pysqlite"))
    engine = sa.create_engine(
        url, connect_args=options, hide_parameters=True, poolclass=sa.NullPool
    )
    if is_sqlite:
        pragmas = ";".join(PRAGMAS)
        sa.event.listen(engine, "connect", lambda c, _: c.executescript(pragmas))
        sa.event.listen(engine, "begin", lambda c: c.exec_driver_sql(begin))
    try:
        with Session(engine) as session:
            yield session
    except sa.exc.SQLAlchemyError as error:
        problem = from_database_error(error)
        if problem is None:
            raise
        fail(problem.detail)


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


def plural(count: int, noun: str) -> str:
    return f"{count} {noun}{'' if count == 1 else 's'}"


def fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def migrate_or_exit(settings: "Settings") -> None:
    import sqlalchemy.exc
    from alembic.util import CommandError

    from orders_api.database import migrate

    try:
        migrate(settings.url)
    except (sqlalchemy.exc.DBAPIError, CommandError) as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0].rstrip(".")
        fail(f"The database could not be migrated: {reason}.")
