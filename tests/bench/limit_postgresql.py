"""The limit on PostgreSQL, by asyncpg: one statement for each request."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

import asyncpg

# As text and floats, in which they stand in JSON: asyncpg would make UUID and Decimal of them.
# In parentheses, p and s may be tables or columns that hold whole rows.
PRODUCT = """
    (p).name, (p).description, (p).price::float8, (p).store_id::text, (p).product_id::text,
    (s).name, (s).city, (s).country, (s).currency, (s).street, (s).zipcode, (s).domain, (s).phone,
    (s).email, (p).created_at, (p).updated_at, (s).created_at, (s).updated_at
"""
TOTAL = "(currency, subtotal::float8, discount::float8, total::float8)"

ONE_PRODUCT = f"""
    SELECT {PRODUCT} FROM products p JOIN stores s USING (store_id) WHERE p.product_id = $1
"""

SOME_PRODUCTS = f"""
    SELECT {PRODUCT} FROM products p JOIN stores s USING (store_id) ORDER BY p.product_id LIMIT $1
"""

ORDER = f"""
    SELECT {PRODUCT},
        i.name, i.unit_price::float8, i.currency, i.quantity, (i.unit_price * i.quantity)::float8,
        o.date, o.coupon_code, o.percent_off,
        ARRAY(SELECT {TOTAL} FROM order_totals WHERE order_id = $1 ORDER BY currency)
    FROM orders o
    JOIN order_items i USING (order_id)
    JOIN products p USING (product_id)
    JOIN stores s USING (store_id)
    WHERE o.order_id = $1
    ORDER BY i.line
"""

# One statement is one transaction. It gives the rows that ORDER would give.
NEW_ORDER = f"""
    WITH
    new_order AS (
        INSERT INTO orders (order_id, date, percent_off) VALUES ($1, $2, 0)
        RETURNING date, coupon_code, percent_off
    ),
    lines AS MATERIALIZED (
        SELECT p, s, quantity, line, p.price * quantity AS amount
        FROM unnest($3::uuid[], $4::int[]) WITH ORDINALITY AS _ (product_id, quantity, line)
        JOIN products p USING (product_id)
        JOIN stores s USING (store_id)
    ),
    new_items AS (
        INSERT INTO order_items
            (order_id, product_id, quantity, line, name, unit_price, currency, date)
        SELECT $1, (p).product_id, quantity, line, (p).name, (p).price, (s).currency, $2 FROM lines
    ),
    new_totals AS (
        INSERT INTO order_totals (order_id, currency, subtotal, discount, total)
        SELECT $1, (s).currency, sum(amount), 0, sum(amount) FROM lines GROUP BY (s).currency
        RETURNING *
    )
    SELECT {PRODUCT},
        (p).name, (p).price::float8, (s).currency, quantity, amount::float8,
        date, coupon_code, percent_off,
        ARRAY(SELECT {TOTAL} FROM new_totals ORDER BY currency)
    FROM new_order, lines
    ORDER BY line
"""


async def leave_as_it_is(_: Any) -> None:
    """Save the round trip by which a pool cleans a connection: nothing here makes it dirty."""


class PostgreSQL:
    def __init__(self, url: str) -> None:
        self.url = url

    async def open(self) -> None:
        # As many connections as one of the two pools of the Orders API has.
        self.pool = await asyncpg.create_pool(
            self.url, min_size=10, max_size=10, reset=leave_as_it_is
        )

    async def close(self) -> None:
        await self.pool.close()

    async def product(self, product_id: str) -> Sequence[Any]:
        row: Sequence[Any] = await self.pool.fetchrow(ONE_PRODUCT, product_id)
        return row

    async def products(self, limit: int) -> list[Sequence[Any]]:
        rows: list[Sequence[Any]] = await self.pool.fetch(SOME_PRODUCTS, limit)
        return rows

    async def order(self, order_id: str) -> tuple[list[Sequence[Any]], list[Sequence[Any]]]:
        rows = await self.pool.fetch(ORDER, order_id)
        return rows, rows[0][26]

    async def create_order(
        self, order_id: str, date: datetime, quantities: dict[str, int]
    ) -> tuple[list[Sequence[Any]], list[Sequence[Any]]]:
        rows = await self.pool.fetch(
            NEW_ORDER, order_id, date, list(quantities), list(quantities.values())
        )
        return rows, rows[0][26]
