"""The revisions of the schema."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import MultipleHeads, ResolutionError
from alembic.util import CommandError
from sqlalchemy import URL, Connection

_PACKAGE = Path(__file__).parents[1]
# In a checkout migrations/ stands beside the package, in an installed wheel within it.
MIGRATIONS = next(
    p for p in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations") if p.is_dir()
)


def migrate(url: URL, *, only_if_empty: bool = False) -> None:
    """Upgrade to the newest revision; safe when several processes do it at once.

    `only_if_empty` leaves a database alone that has a revision: it may have data to lose by a
    migration that was just generated, and that nobody has read.
    """
    config = Config(attributes={"url": url, "only_if_empty": only_if_empty})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        match error.__cause__:
            case MultipleHeads():
                raise CommandError(_several_heads()) from error
            case ResolutionError(argument=revision):
                raise CommandError(_unknown_revision(revision)) from error
        raise


def schema_advice(connection: Connection) -> str | None:
    """Return what to do about a schema that is not the code's, and None if it is."""
    current = MigrationContext.configure(connection).get_current_heads()
    scripts = migration_scripts()
    if len(scripts.get_heads()) > 1:
        return _several_heads()
    if not current:
        return "The database has no tables yet: run `orders-api migrate`."
    try:
        pending = len(list(scripts.iterate_revisions("head", current)))
    except ResolutionError as error:
        return _unknown_revision(error.argument)
    if pending == 0:
        return None
    noun, them = ("migration", "it") if pending == 1 else ("migrations", "them")
    return f"{pending} {noun} pending: read {them}, then run `orders-api migrate`."


def _several_heads() -> str:
    heads = sorted(migration_scripts().get_heads())
    return (
        f"The code has {len(heads)} newest migrations, {' and '.join(heads)}:"
        " run `alembic merge heads`, then `orders-api migrate`."
    )


def _unknown_revision(revision: str) -> str:
    return (
        f"The database is at revision {revision}, which this code does not have: update the code,"
        f" or run `alembic downgrade {head_revision()}` with the code that has it."
    )


@cache
def migration_scripts() -> ScriptDirectory:
    return ScriptDirectory(str(MIGRATIONS))


def head_revision() -> str | None:
    """Return the revision that the code is written for."""
    return migration_scripts().get_current_head()
