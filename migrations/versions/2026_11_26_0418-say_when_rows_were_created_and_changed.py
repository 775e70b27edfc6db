"""Say when rows were created and changed

Those that are there already have the time of this migration.

Revision ID: f1efe6541b48
Revises: c41d6f0b82e5
Created: 2026-11-26 04:18:46.411734+00:00
"""

from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from alembic import op

revision: str = "f1efe6541b48"
down_revision: str | None = "c41d6f0b82e5"
branch_labels: str | None = None
depends_on: str | None = None


KEYS = {
    "stores": "store_id",
    "products": "product_id",
    "coupons": "coupon_id",
    "users": "user_id",
    "todos": "todo_id",
}
NAMES = ("created_at", "updated_at")


def upgrade() -> None:
    # Neither database writes any row for it. They keep it as the default, which SQL uses that goes
    # past the models; SQLite takes nothing but a constant.
    now: Any = sa.func.now()
    if op.get_context().dialect.name == "sqlite":
        now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S.%f}"
    for table, key in KEYS.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            for name in NAMES:
                kind = sa.DateTime(timezone=True)
                batch_op.add_column(sa.Column(name, kind, server_default=now, nullable=False))
            batch_op.create_index(
                batch_op.f(f"ix_{table}_updated_at_{key}"), ["updated_at", key], unique=False
            )


def downgrade() -> None:
    for table, key in KEYS.items():
        with op.batch_alter_table(table, schema=None) as batch_op:
            batch_op.drop_index(batch_op.f(f"ix_{table}_updated_at_{key}"))
            for name in NAMES:
                batch_op.drop_column(name)
