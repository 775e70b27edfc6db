"""Write all objects as lines of a file."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from sqlalchemy import Connection
from sqlmodel import SQLModel

from orders_api.bulk.formats import to_csv, to_json_lines
from orders_api.models import OrderDetail
from orders_api.storage.batches import read_page

ORDER_COLUMNS = [
    "orderId", "date", "couponCode", "percentOff",
    "productId", "name", "unitPrice", "currency", "quantity", "lineTotal",
]  # fmt: skip


def export(connection: Connection, schema: type[SQLModel], form: str) -> Iterator[bytes]:
    """Write all objects as `csv` or `jsonl`, oldest first."""
    if form == "csv":
        yield to_csv([csv_columns(schema)])
    page: list[Any] = []
    while page := read_page(connection, schema, page):
        yield to_csv(csv_rows(page)) if form == "csv" else to_json_lines(page)


def csv_columns(schema: type[SQLModel]) -> list[str]:
    """Name the columns: those of an object or, of an order, the same and those of an item."""
    if schema is OrderDetail:
        return ORDER_COLUMNS
    return [field.alias or name for name, field in schema.model_fields.items()]


def csv_rows(page: Iterable[SQLModel]) -> Iterator[Iterable[Any]]:
    """Return a row for each object, and for each item of an order."""
    for one in page:
        if not isinstance(one, OrderDetail):
            yield (_cell(getattr(one, name)) for name in type(one).model_fields)
            continue
        for item in one.items:
            yield (
                *(one.order_id, _cell(one.date), one.coupon_code, one.percent_off),
                *(item.product.product_id, item.name, item.unit_price, item.currency),
                *(item.quantity, item.line_total),
            )


def _cell(value: Any) -> Any:
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value
