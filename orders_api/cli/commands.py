"""The commands of `orders-api`: the server, migrations, users, and data in bulk.

What takes long to import is imported by the commands that need it: completion and `--help` answer
at once.
"""

import os
import sys
from contextlib import suppress
from typing import Annotated, Any

import typer

from orders_api.cli import data
from orders_api.cli.common import fail, migrate_or_exit, open_session, openapi_text, plural
from orders_api.cli.scaffold.command import scaffold
from orders_api.cli.snapshots import snapshots

app = typer.Typer(
    help="The Orders API. Settings come from the environment and `.env`; see .env.example.",
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    reload: Annotated[
        bool, typer.Option(help="Start anew when the code or a setting in `.env` changes.")
    ] = False,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
    open_page: Annotated[bool, typer.Option("--open", help="Open the page in a browser.")] = False,
    delay: Annotated[str, typer.Option(help="Milliseconds, such as 300..800.")] = "",
    failures: Annotated[
        list[str] | None, typer.Option("--fail", help="Statuses, such as 503:5%.")
    ] = None,
    fail_for: Annotated[list[str] | None, typer.Option(help="Such as POST:/orders.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Of what is delayed and fails.")] = 1,
) -> None:
    """Run the server. A SQLite database is created and migrated first.

    With --reload only a new one is: a migration that was just generated waits for `migrate`.

    To build a client, --delay lets answers be late, and --fail lets requests fail, all or those of
    --fail-for, before anything is done. Each such answer says so in the header `X-Fault`.
    """
    import uvicorn

    from orders_api.cli.serving import (
        check_address,
        database_line,
        open_when_ready,
        reload_options,
    )
    from orders_api.logs import uvicorn_config
    from orders_api.settings import Settings, parse_faults

    chosen = {"delay": [delay] if delay else [], "fail": failures or (), "for": fail_for or ()}
    if faults := [f"{name}={value}" for name, values in chosen.items() for value in values]:
        os.environ["FAULTS"] = ",".join([*faults, f"seed={seed}"])  # other processes read it too
        try:
            parse_faults(os.environ["FAULTS"])
        except ValueError:
            fail(
                "It must look like --delay 300..800 --fail 503:5% --fail-for POST:/orders, with no"
                " more than 100 % in all."
            )
    settings = Settings()
    if settings.faults and host not in {"127.0.0.1", "::1", "localhost"}:
        fail("What goes wrong on purpose is for this machine alone: leave out --host.")
    check_address(host, port)
    if settings.is_sqlite:
        migrate_or_exit(settings, only_if_empty=reload)
    address = f"http://{f'[{host}]' if ':' in host else host}:{port}{settings.api_prefix}"
    typer.echo(f"Orders API on {address} (interactive documentation: {address}/docs)")
    typer.echo(database_line(settings))
    if open_page:
        open_when_ready(address)
    uvicorn.run(
        "orders_api.main:app",
        host=host,
        port=port,
        reload=reload,
        workers=workers,
        **(reload_options() if reload else {}),
        log_level=settings.log_level.lower(),
        log_config=uvicorn_config(settings),
        server_header=False,
        http="orders_api.cli.protocol:HttpProtocol",  # not imported by what only watches workers
        ws="none",  # an Upgrade is ignored, as RFC 9110 (7.8) allows, and HTTP goes on
    )


@app.command()
def openapi() -> None:
    """Print the OpenAPI document, for programs that make clients; it needs no database."""
    typer.echo(openapi_text(), nl=False)


@app.command(name="migrate")
def migrate_database() -> None:
    """Bring the database's schema to the newest revision; several may do so at once."""
    from orders_api.settings import Settings
    from orders_api.storage.migrations import head_revision

    migrate_or_exit(Settings())
    typer.echo(f"The database is at revision {head_revision()}.")


@app.command()
def create_user(
    name: Annotated[str, typer.Argument(help="3 to 64 characters, unique in any case.")],
    password_stdin: Annotated[
        bool, typer.Option("--password-stdin", help="Read the password from standard input.")
    ] = False,
) -> None:
    """Create a user, who may sign in from now on. Asks for the password."""
    from pydantic import ValidationError

    from orders_api.models import User, UserIn
    from orders_api.web.passwords import password_hash
    from orders_api.web.validation import explain

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


app.command()(scaffold)
app.add_typer(snapshots, name="snapshot")
app.command()(data.demo)
app.command(name="import")(data.import_file)
app.command(name="export")(data.export_file)


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


if __name__ == "__main__":
    app()
