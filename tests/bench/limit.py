"""The limit: four operations of the API by hand, with nothing between uvicorn and PostgreSQL.

It is what a careful person gets from asyncpg and orjson without framework, ORM or validation: one
statement for each request, and the same JSON as the Orders API. It takes every request for a good
one, and sends no header but the necessary ones.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import asyncpg
import orjson
from uuid_utils.compat import uuid7

# As text and floats, in which they stand in JSON: asyncpg would make UUID and Decimal of them.
# In parentheses, p and s may be tables or columns that hold whole rows.
PRODUCT = """
    (p).name, (p).description, (p).price::float8, (p).store_id::text, (p).product_id::text,
    (s).name, (s).city, (s).country, (s).currency, (s).street, (s).zipcode, (s).domain, (s).phone,
    (s).email
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

pool: Any = None  # opened when the server starts


async def app(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        await live(receive, send)
        return
    path: str = scope["path"]
    status = 200
    answer: Any
    if scope["method"] == "POST":
        status, answer = 201, await create_order(orjson.loads(await read(receive)))
    elif path == "/products":
        answer = await list_products(int(scope["query_string"].removeprefix(b"limit=")))
    elif path.startswith("/products/"):
        answer = product(await pool.fetchrow(ONE_PRODUCT, path[10:]))
    else:
        answer = order(path[8:], await pool.fetch(ORDER, path[8:]))
    body = orjson.dumps(answer, option=orjson.OPT_UTC_Z)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def live(receive: Any, send: Any) -> None:
    global pool
    await receive()
    # As many connections as one of the two pools of the Orders API has.
    pool = await asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=10, max_size=10, reset=leave_as_it_is
    )
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await pool.close()
    await send({"type": "lifespan.shutdown.complete"})


async def leave_as_it_is(_: Any) -> None:
    """Save the round trip by which a pool cleans a connection: nothing here makes it dirty."""


async def read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    return body


async def list_products(limit: int) -> list[dict[str, Any]]:
    return [product(row) for row in await pool.fetch(SOME_PRODUCTS, limit)]


async def create_order(body: Any) -> dict[str, Any]:
    order_id = str(uuid7())
    products = [item["productId"] for item in body["items"]]
    quantities = [item["quantity"] for item in body["items"]]
    now = datetime.now(UTC)
    return order(order_id, await pool.fetch(NEW_ORDER, order_id, now, products, quantities))


def product(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "name": row[0],
        "description": row[1],
        "price": row[2],
        "storeId": row[3],
        "productId": row[4],
        "store": {
            "name": row[5],
            "city": row[6],
            "country": row[7],
            "currency": row[8],
            "street": row[9],
            "zipcode": row[10],
            "domain": row[11],
            "phone": row[12],
            "email": row[13],
            "storeId": row[3],
        },
    }


def order(order_id: str, rows: list[Sequence[Any]]) -> dict[str, Any]:
    date, coupon_code, percent_off, totals = rows[0][19:]
    return {
        "orderId": order_id,
        "date": date,
        "couponCode": coupon_code,
        "percentOff": percent_off,
        "totals": [
            {"currency": total[0], "subtotal": total[1], "discount": total[2], "total": total[3]}
            for total in totals
        ],
        "items": [
            {
                "name": row[14],
                "unitPrice": row[15],
                "currency": row[16],
                "quantity": row[17],
                "product": product(row),
                "lineTotal": row[18],
            }
            for row in rows
        ],
        "currency": totals[0][0] if len(totals) == 1 else None,
        "total": totals[0][3] if len(totals) == 1 else None,
    }
