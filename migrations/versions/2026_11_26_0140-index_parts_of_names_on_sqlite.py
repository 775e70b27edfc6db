"""Index parts of names on SQLite

Where SQLite has FTS5 with its trigram tokenizer, the parameter `q` finds its rows in an index. Its
tables are in no model, because not every library can have them; env.py leaves them alone, and
fills the index anew when a migration has replaced the table that it is of.

Revision ID: c41d6f0b82e5
Revises: 087731f57f07
Created: 2026-11-26 01:40:00.000000+00:00
"""

from alembic import context, op

from orders_api.storage.trigrams import create_trigram_index, drop_trigram_index

revision: str = "c41d6f0b82e5"
down_revision: str | None = "087731f57f07"
branch_labels: str | None = None
depends_on: str | None = None

COLUMNS = {"products": ["name", "description"], "stores": ["name"]}


def is_sqlite() -> bool:
    # SQL that is only printed is for a database of which nothing is known.
    return not context.is_offline_mode() and op.get_context().dialect.name == "sqlite"


def upgrade() -> None:
    for table, columns in COLUMNS.items() if is_sqlite() else ():
        create_trigram_index(op.get_bind(), table, *columns)


def downgrade() -> None:
    for table in COLUMNS if is_sqlite() else ():
        drop_trigram_index(op.get_bind(), table)
