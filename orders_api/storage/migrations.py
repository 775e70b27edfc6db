"""The revisions of the schema."""

from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import URL, Connection

_PACKAGE = Path(__file__).parents[1]
# In a checkout migrations/ stands beside the package, in an installed wheel within it.
MIGRATIONS = next(
    p for p in (_PACKAGE / "migrations", _PACKAGE.parent / "migrations") if p.is_dir()
)


def migrate(url: URL) -> None:
    """Upgrade to the newest revision; safe when several processes do it at once."""
    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    command.upgrade(config, "head")


@cache
def head_revision() -> str | None:
    """Return the revision that the code is written for."""
    return ScriptDirectory(str(MIGRATIONS)).get_current_head()


def revision_of(connection: Connection) -> str | None:
    """Read the revision of a database's schema; None if it was never migrated."""
    return ", ".join(MigrationContext.configure(connection).get_current_heads()) or None
