"""Out classes as rows and as objects. Their SQL is in test_statements.py."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy.dialects import postgresql, sqlite
from sqlmodel import SQLModel

from orders_api import models
from orders_api.models import (
    OrderDetail,
    OrderItemOut,
    OrderOut,
    OrderTotalOut,
    ProductDetail,
    StoreOut,
)
from orders_api.storage.insertion import rows_of
from orders_api.storage.projection import Projection, by_key, projection_of
from orders_api.storage.schemas import table_of

KEYS = [UUID(int=n) for n in range(1, 5)]
STORE = StoreOut(
    name="Corner Books",
    city="Lisbon",
    country="Portugal",
    currency="EUR",
    street="Rua Garrett 73",
    zipcode="1200-203",
    store_id=KEYS[0],
)
PRODUCT = ProductDetail(
    name="Atlas", price=Decimal("19.99"), store_id=KEYS[0], product_id=KEYS[1], store=STORE
)
TOTALS = [
    OrderTotalOut(
        currency=currency, subtotal=Decimal(2), discount=Decimal("0.5"), total=Decimal("1.5")
    )
    for currency in ("EUR", "USD")
]
ITEM = OrderItemOut(
    line=1, name="Atlas", unit_price=Decimal(1), currency="EUR", quantity=2, product=PRODUCT
)
DATE = datetime(2026, 11, 20, tzinfo=UTC)
ORDER = OrderDetail(
    order_id=KEYS[2], date=DATE, coupon_code="PIOTR", totals=TOTALS[:1], items=[ITEM]
)


# --- Tables -------------------------------------------------------------------------------


def test_each_out_class_leads_to_its_table() -> None:
    found = {
        schema: table_of(schema)
        for schema in (models.StoreOut, models.ProductDetail, models.OrderOut, models.OrderItemOut)
    }
    assert list(found.values()) == [models.Store, models.Product, models.Order, models.OrderItem]


@pytest.mark.parametrize(
    "schema", [models.ProductIn, models.StoreUpdate, models.OrderIn, models.In, models.Out]
)
def test_class_that_shows_no_table_leads_to_none(schema: type[SQLModel]) -> None:
    with pytest.raises(TypeError, match=schema.__name__):
        table_of(schema)


# --- Reading ------------------------------------------------------------------------------


def columns(one: SQLModel) -> list[Any]:
    """Return the values of an object's own columns, in the order of its class."""
    members = [getattr(one, name) for name in type(one).model_fields]
    return [value for value in members if not isinstance(value, SQLModel | list)]


def check_same(objects: list[Any], expected: list[Any]) -> None:
    assert objects == expected
    assert [one.model_dump_json() for one in objects] == [e.model_dump_json() for e in expected]


def test_row_becomes_an_object() -> None:
    check_same(projection_of(StoreOut).objects([columns(STORE)]), [STORE])


def test_columns_of_a_nested_object_follow() -> None:
    row = columns(PRODUCT) + columns(STORE)
    check_same(projection_of(ProductDetail).objects([row, row]), [PRODUCT, PRODUCT])


def test_values_are_made_pythons_where_the_database_has_others() -> None:
    row = [str(v) if isinstance(v, UUID | Decimal) else v for v in columns(PRODUCT)]
    projection = projection_of(ProductDetail)
    processors = [
        {UUID: UUID, Decimal: Decimal}.get(type(value))
        for value in columns(PRODUCT) + columns(STORE)
    ]
    row += [str(v) if isinstance(v, UUID) else v for v in columns(STORE)]
    check_same(projection.objects([row], tuple(processors)), [PRODUCT])


def test_rows_of_lists_come_into_the_objects_that_they_belong_to() -> None:
    """Parents come first in their order, then the children of all."""
    first, second, third = (
        OrderOut(order_id=key, date=DATE, totals=totals)
        for key, totals in ((KEYS[3], TOTALS), (KEYS[2], TOTALS[1:]), (KEYS[1], []))
    )
    nothing = [None] * len(columns(TOTALS[0]))
    empty = [None] * len(columns(first))
    rows = [[0, one.order_id, *columns(one), *nothing] for one in (first, second, third)]
    rows += [
        [1, key, *empty, *columns(total)]
        for key, total in (
            (first.order_id, TOTALS[0]),
            (second.order_id, TOTALS[1]),
            (first.order_id, TOTALS[1]),
        )
    ]
    check_same(projection_of(OrderOut).objects(rows), [first, second, third])


def test_no_rows_are_no_objects() -> None:
    for schema in (StoreOut, ProductDetail, OrderOut, OrderDetail):
        assert projection_of(schema).objects([]) == []


def test_each_statement_has_the_columns_that_its_objects_are_made_of() -> None:
    order = 5 + (4 + 1) + (5 + 7 + 12 + 1)  # each list with the column that it is ordered by
    for one, own in ((STORE, 12), (PRODUCT, 7 + 12), (ORDER, order)):
        projection = projection_of(type(one))
        query = projection.select(order=[projection.key.key])
        in_front = 2 if projection.lists else 0  # the list, and the parent's key
        assert len(query.exported_columns) == in_front + own


ON_SQLITE = {
    "$1::UUID": "?",
    "AS UUID": "AS CHAR(32)",
    "TIMESTAMP WITH TIME ZONE": "DATETIME",
    "AS key": 'AS "key"',
}


@pytest.mark.parametrize("dialects", [sqlite, postgresql], ids=["sqlite", "postgresql"])
def test_statement_is_the_one_that_is_described(dialects: Any) -> None:
    described = str(Projection.__doc__).partition("on PostgreSQL:")[2]
    if dialects is sqlite:
        for there, here in ON_SQLITE.items():
            assert there in described
            described = described.replace(there, here)
    dialect = dialects.dialect(paramstyle="qmark" if dialects is sqlite else "numeric_dollar")
    assert str(by_key(OrderOut).compile(dialect=dialect)).split() == described.split()


# --- Inserting ----------------------------------------------------------------------------


def test_object_without_lists_is_one_row() -> None:
    [(table, [row])] = rows_of(PRODUCT)
    assert table.name == "products"
    assert row == {
        "version": 1,
        "name": "Atlas",
        "description": None,
        "price": Decimal("19.99"),
        "store_id": KEYS[0],
        "created_at": PRODUCT.created_at,
        "updated_at": PRODUCT.updated_at,
        "product_id": KEYS[1],
    }


def test_rows_of_lists_have_the_key_of_their_parent_and_what_is_repeated_of_it() -> None:
    (orders, totals, items) = rows_of(ORDER)
    assert [(table.name, len(rows)) for table, rows in (orders, totals, items)] == [
        ("orders", 1),
        ("order_totals", 1),
        ("order_items", 1),
    ]
    assert totals[1][0]["order_id"] == KEYS[2]
    assert items[1] == [
        {
            "line": 1,
            "name": "Atlas",
            "unit_price": Decimal(1),
            "currency": "EUR",
            "quantity": 2,
            "order_id": KEYS[2],
            "product_id": KEYS[1],
            "date": DATE,
            "coupon_code": "PIOTR",
        }
    ]
