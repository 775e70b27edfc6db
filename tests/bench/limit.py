"""The limit: four operations of the API by hand, with nothing between uvicorn and the driver.

It is what a careful person gets from a driver and orjson without framework, ORM or validation: the
same JSON as the Orders API, from PostgreSQL (`limit_postgresql.py`) or SQLite (`limit_sqlite.py`).
It takes every request for a good one, and sends no header but the necessary ones.
"""

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import orjson
from uuid_utils.compat import uuid7

from tests.bench.limit_postgresql import PostgreSQL
from tests.bench.limit_sqlite import SQLite

database: Any = None  # opened when the server starts


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
        limit = int(scope["query_string"].removeprefix(b"limit="))
        answer = [product(row) for row in await database.products(limit)]
    elif path.startswith("/products/"):
        answer = product(await database.product(path[10:]))
    else:
        answer = order(path[8:], *await database.order(path[8:]))
    body = orjson.dumps(answer, option=orjson.OPT_UTC_Z)
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", str(len(body)).encode()),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def live(receive: Any, send: Any) -> None:
    global database
    await receive()
    url = os.environ["DATABASE_URL"]
    database = (SQLite if url.startswith("sqlite:") else PostgreSQL)(url)
    await database.open()
    await send({"type": "lifespan.startup.complete"})
    await receive()
    await database.close()
    await send({"type": "lifespan.shutdown.complete"})


async def read(receive: Any) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message["body"]
        more = message["more_body"]
    return body


async def create_order(body: Any) -> dict[str, Any]:
    order_id = str(uuid7())
    quantities = {item["productId"]: item["quantity"] for item in body["items"]}
    return order(order_id, *await database.create_order(order_id, datetime.now(UTC), quantities))


def product(row: Sequence[Any]) -> dict[str, Any]:
    return {
        "name": row[0],
        "description": row[1],
        "price": row[2],
        "storeId": row[3],
        "createdAt": row[14],
        "updatedAt": row[15],
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
            "createdAt": row[16],
            "updatedAt": row[17],
            "storeId": row[3],
        },
    }


def order(
    order_id: str, rows: Sequence[Sequence[Any]], totals: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """Take a row for each line: its product, what the line keeps, and what the order has."""
    date, coupon_code, percent_off = rows[0][23:26]
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
                "name": row[18],
                "unitPrice": row[19],
                "currency": row[20],
                "quantity": row[21],
                "product": product(row),
                "lineTotal": row[22],
            }
            for row in rows
        ],
        "currency": totals[0][0] if len(totals) == 1 else None,
        "total": totals[0][3] if len(totals) == 1 else None,
    }
