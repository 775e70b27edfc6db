"""Repeat in order items what orders are filtered by

Revision ID: 087731f57f07
Revises: 5d0c8e1f7a34
Created: 2026-11-21 14:57:35.951405+00:00
"""

import sqlalchemy as sa
from alembic import op

revision: str = "087731f57f07"
down_revision: str | None = "5d0c8e1f7a34"
branch_labels: str | None = None
depends_on: str | None = None

WITH_COUPON = sa.text("coupon_code IS NOT NULL")


def upgrade() -> None:
    with op.batch_alter_table("order_items", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_items_product_id_order_id"))
        batch_op.add_column(
            sa.Column(
                "date",
                sa.DateTime(timezone=True),
                server_default="1970-01-01 00:00:00+00",  # until it is filled, below
                nullable=False,
            )
        )
        batch_op.add_column(sa.Column("coupon_code", sa.String(), nullable=True))

    op.execute(
        "UPDATE order_items SET date = orders.date, coupon_code = orders.coupon_code"
        " FROM orders WHERE orders.order_id = order_items.order_id"
    )
    if op.get_context().dialect.name == "postgresql":  # SQLite would need a new table for it
        op.alter_column("order_items", "date", server_default=None)

    with op.batch_alter_table("order_items", schema=None) as batch_op:
        batch_op.create_index(
            batch_op.f("ix_order_items_product_id_coupon_code_date_order_id"),
            ["product_id", "coupon_code", "date", "order_id"],
            unique=False,
            sqlite_where=WITH_COUPON,
            postgresql_where=WITH_COUPON,
        )
        batch_op.create_index(
            batch_op.f("ix_order_items_product_id_date_order_id"),
            ["product_id", "date", "order_id"],
            unique=False,
        )


def downgrade() -> None:
    with op.batch_alter_table("order_items", schema=None) as batch_op:
        batch_op.drop_index(batch_op.f("ix_order_items_product_id_date_order_id"))
        batch_op.drop_index(
            batch_op.f("ix_order_items_product_id_coupon_code_date_order_id"),
            sqlite_where=WITH_COUPON,
            postgresql_where=WITH_COUPON,
        )
        batch_op.create_index(
            batch_op.f("ix_order_items_product_id_order_id"),
            ["product_id", "order_id"],
            unique=False,
        )
        batch_op.drop_column("coupon_code")
        batch_op.drop_column("date")
