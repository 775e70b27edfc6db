"""Index parts of names

Where PostgreSQL has the extension pg_trgm, the parameter `q` finds its rows in an index. These
indexes are in no model, because not every database can have them; env.py leaves them alone.

Revision ID: 5d0c8e1f7a34
Revises: b806e64d9c02
Created: 2026-11-21 11:21:00.000000+00:00
"""

import logging

import sqlalchemy as sa
from alembic import context, op

revision: str = "5d0c8e1f7a34"
down_revision: str | None = "b806e64d9c02"
branch_labels: str | None = None
depends_on: str | None = None

COLUMNS = {"products": ["name", "description"], "stores": ["name"]}
INSUFFICIENT_PRIVILEGE = "42501"

log = logging.getLogger("alembic.runtime.migration")


def upgrade() -> None:
    # SQL that is only printed is for a database of which nothing is known.
    if context.is_offline_mode() or op.get_context().dialect.name != "postgresql":
        return
    connection = op.get_bind()
    query = "SELECT FROM pg_available_extensions WHERE name = 'pg_trgm'"
    if connection.execute(sa.text(query)).first() is None:
        return
    try:
        with connection.begin_nested():
            op.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            # It may have been there before, in a schema that is not searched.
            query = "SELECT extnamespace::regnamespace FROM pg_extension WHERE extname = 'pg_trgm'"
            schema = connection.scalar(sa.text(query))
            for table, columns in COLUMNS.items():
                keys = ", ".join(f"{column} {schema}.gin_trgm_ops" for column in columns)
                name = index_name(table, columns)
                # With fastupdate, what is new waits in a list that each `q` reads from end to end.
                op.execute(
                    f"CREATE INDEX IF NOT EXISTS {name} ON {table} USING gin ({keys})"
                    " WITH (fastupdate = off)"
                )
    except sa.exc.ProgrammingError as error:
        if getattr(error.orig, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
            raise
        log.warning("`q` will read every row, as this user may not create the extension pg_trgm.")


def downgrade() -> None:
    for table, columns in COLUMNS.items():
        op.execute(f"DROP INDEX IF EXISTS {index_name(table, columns)}")


def index_name(table: str, columns: list[str]) -> str:
    return f"ix_{table}_{'_'.join(columns)}_trgm"
