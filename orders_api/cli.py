"""The command line, `orders-api`: the server, migrations and users."""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, NoReturn, TypeVar

import sqlalchemy.exc
import typer
import uvicorn
from alembic.util import CommandError
from pydantic import ValidationError
from sqlmodel import col, delete, select
from sqlmodel.ext.asyncio.session import AsyncSession

from orders_api.database import Database, head_revision, migrate
from orders_api.errors import explain, from_database_error
from orders_api.models import Token, User, UserIn
from orders_api.security import password_hash
from orders_api.settings import Settings

Result = TypeVar("Result")

app = typer.Typer(
    help="The Orders API. Settings come from the environment and `.env`; see .env.example.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


@app.command()
def serve(
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 8000,
    reload: Annotated[bool, typer.Option(help="Start anew when the code changes.")] = False,
    workers: Annotated[int, typer.Option(min=1, help="Number of processes.")] = 1,
) -> None:
    """Run the server. A SQLite database is created and migrated first."""
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
        server_header=False,
        ws="none",  # an Upgrade is ignored, as RFC 9110 (7.8) allows, and HTTP goes on
    )


@app.command(name="migrate")
def migrate_database() -> None:
    """Bring the database's schema to the newest revision; several may do so at once."""
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
    if password_stdin:
        password = sys.stdin.readline().rstrip("\r\n")
    else:
        password = typer.prompt("Password", hide_input=True, confirmation_prompt=True)
    try:
        body = UserIn(username=name, password=password)
    except ValidationError as error:
        first = error.errors()[0]
        fail(f"The {first['loc'][0]} {explain(first)}.")
    user = User.of(body, password_hash.hash(body.password))

    async def add(session: AsyncSession) -> None:
        session.add(user)

    in_transaction(add)
    typer.echo(f"{name} may sign in from now on.")


@app.command()
def revoke_tokens(name: Annotated[str, typer.Argument(help="The username, in any case.")]) -> None:
    """End all sign-ins of a user."""

    async def revoke(session: AsyncSession) -> int:
        login = User.login_of(name)
        user = (await session.exec(select(User).where(User.login == login))).one_or_none()
        if user is None:
            fail(f"There is no user {name}.")
        tokens = delete(Token).where(col(Token.user_id) == user.user_id)
        return (await session.exec(tokens)).rowcount

    count = in_transaction(revoke)
    typer.echo(f"{name} is signed out ({count} {'token' if count == 1 else 'tokens'}).")


def in_transaction(action: Callable[[AsyncSession], Awaitable[Result]]) -> Result:
    """Do something with the database of the settings, or end with the reason why not."""
    settings = Settings()
    if settings.url.get_backend_name() == "sqlite":
        migrate_or_exit(settings)

    async def run() -> Result:
        database = Database(settings)
        try:
            async with AsyncSession(database.writer) as session, session.begin():
                return await action(session)
        finally:
            await database.dispose()

    try:
        return asyncio.run(run())
    except (sqlalchemy.exc.SQLAlchemyError, OSError) as error:
        problem = from_database_error(error)
        if problem is None:
            raise
        fail(problem.detail)


def fail(sentence: str) -> NoReturn:
    typer.echo(sentence, err=True)
    raise typer.Exit(1)


def migrate_or_exit(settings: Settings) -> None:
    try:
        migrate(settings.url)
    except (sqlalchemy.exc.DBAPIError, CommandError) as error:
        reason = str(getattr(error, "orig", error)).splitlines()[0].rstrip(".")
        fail(f"The database could not be migrated: {reason}.")
