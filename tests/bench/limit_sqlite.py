"""The limit on SQLite: `sqlite3` called in the event loop, on one connection."""

import sqlite3
from collections.abc import Sequence
from datetime import datetime
from typing import Any

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
)

PRODUCT = """
    p.name, p.description, p.price, p.store_id, p.product_id,
    s.name, s.city, s.country, s.currency, s.street, s.zipcode, s.domain, s.phone, s.email,
    p.created_at, p.updated_at, s.created_at, s.updated_at
"""

ONE_PRODUCT = f"""
    SELECT {PRODUCT} FROM products p JOIN stores s USING (store_id) WHERE p.product_id = ?
"""

SOME_PRODUCTS = f"""
    SELECT {PRODUCT} FROM products p JOIN stores s USING (store_id) ORDER BY p.product_id LIMIT ?
"""

ORDER = f"""
    SELECT {PRODUCT},
        i.name, i.unit_price, i.currency, i.quantity, round(i.unit_price * i.quantity, 2),
        o.date, o.coupon_code, o.percent_off
    FROM orders o
    JOIN order_items i USING (order_id)
    JOIN products p USING (product_id)
    JOIN stores s USING (store_id)
    WHERE o.order_id = ?
    ORDER BY i.line
"""

TOTALS = """
    SELECT currency, subtotal, discount, total FROM order_totals
    WHERE order_id = ? ORDER BY currency
"""

NEW_ORDER = "INSERT INTO orders (order_id, date, percent_off) VALUES (?, ?, 0)"
NEW_ITEM = """
    INSERT INTO order_items
        (order_id, product_id, line, name, unit_price, currency, quantity, date)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)
"""
NEW_TOTAL = """
    INSERT INTO order_totals (order_id, currency, subtotal, discount, total)
    VALUES (?, ?, ?, 0, ?)
"""

Rows = list[Sequence[Any]]


class SQLite:
    def __init__(self, url: str) -> None:
        self.path = url.removeprefix("sqlite:///")

    async def open(self) -> None:
        self.connection = sqlite3.connect(self.path, isolation_level=None)
        for pragma in PRAGMAS:
            self.connection.execute(pragma)

    async def close(self) -> None:
        self.connection.close()

    async def product(self, product_id: str) -> Sequence[Any]:
        return product(self.connection.execute(ONE_PRODUCT, (key(product_id),)).fetchone())

    async def products(self, limit: int) -> Rows:
        return [product(row) for row in self.connection.execute(SOME_PRODUCTS, (limit,))]

    async def order(self, order_id: str) -> tuple[Rows, Rows]:
        parameters = (key(order_id),)
        rows: Rows = [
            (*product(row)[:23], time(row[23]), *row[24:])
            for row in self.connection.execute(ORDER, parameters)
        ]
        return rows, self.connection.execute(TOTALS, parameters).fetchall()

    async def create_order(
        self, order_id: str, date: datetime, quantities: dict[str, int]
    ) -> tuple[Rows, Rows]:
        execute = self.connection.execute
        order_key = key(order_id)
        stored_date = date.replace(tzinfo=None).isoformat(" ", "microseconds")
        rows: Rows = []
        sums: dict[str, float] = {}
        execute("BEGIN IMMEDIATE")
        execute(NEW_ORDER, (order_key, stored_date))
        for line, (product_id, quantity) in enumerate(quantities.items(), 1):
            product_key = key(product_id)
            found = execute(ONE_PRODUCT, (product_key,)).fetchone()
            name, price, currency = found[0], found[2], found[8]
            item = (name, price, currency, quantity)
            execute(NEW_ITEM, (order_key, product_key, line, *item, stored_date))
            amount = round(price * quantity, 2)
            sums[currency] = round(sums.get(currency, 0) + amount, 2)
            rows.append((*product(found), *item, amount, date, None, 0))
        totals: Rows = [(currency, sums[currency], 0, sums[currency]) for currency in sorted(sums)]
        for currency, subtotal, _, total in totals:
            execute(NEW_TOTAL, (order_key, currency, subtotal, total))
        execute("COMMIT")
        return rows, totals


def key(text: str) -> str:
    """Return a UUID as it is stored."""
    return text.replace("-", "")


def product(row: Sequence[Any]) -> Sequence[Any]:
    """Return a row that begins with a product, with ids and times as they stand in JSON."""
    times = map(time, row[14:18])
    return (*row[:3], dashed(row[3]), dashed(row[4]), *row[5:14], *times, *row[18:])


def time(stored: str) -> str:
    return f"{stored[:10]}T{stored[11:].removesuffix('.000000')}Z"


def dashed(stored: str) -> str:
    return f"{stored[:8]}-{stored[8:12]}-{stored[12:16]}-{stored[16:20]}-{stored[20:]}"
