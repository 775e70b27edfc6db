"""Orders: placed once, then read, never changed."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path, Query
from sqlalchemy import ColumnElement
from sqlmodel import col, select, update

from orders_api.database import Read, Write, Writer
from orders_api.errors import USED_UP, Problem
from orders_api.models import (
    Coupon,
    CouponCode,
    Moment,
    Order,
    OrderDetail,
    OrderIn,
    OrderItem,
    OrderOut,
    Product,
    ProductDetail,
)
from orders_api.paging import Filter, Page
from orders_api.reading import loads
from orders_api.routing import Router

router = Router(prefix="/orders", tags=["orders"])

OrderId = Annotated[UUID, Path(alias="orderId", description="The order's id.")]


def _has_product(product_id: UUID) -> ColumnElement[bool]:
    return col(Order.order_id).in_(
        select(OrderItem.order_id).where(OrderItem.product_id == product_id)
    )


class OrderPage(Page):
    product_id: Annotated[
        UUID | None, Filter(_has_product), Query(description="Orders with this product.")
    ] = None
    coupon_code: Annotated[
        CouponCode | None, Filter(lambda value: col(Order.coupon_code) == value)
    ] = None
    since: Annotated[
        Moment | None,
        Filter(lambda value: col(Order.date) >= value),
        Query(description="Placed at this time or later (ISO 8601 with offset)."),
    ] = None
    until: Annotated[
        Moment | None,
        Filter(lambda value: col(Order.date) < value),
        Query(description="Placed before this time (ISO 8601 with offset)."),
    ] = None
    sort: Literal["date", "-date"] | None = None


@router.get("")
async def list_orders(read: Read, page: Annotated[OrderPage, Query()]) -> list[OrderOut]:
    """List orders without their items, oldest first unless sorted."""
    return await read.page(OrderOut, page)


@router.post("", status_code=201)
async def create_order(write: Write, body: OrderIn) -> OrderDetail:
    """Order products at their prices of this moment, from any number of stores."""
    query = select(Product).options(*loads(ProductDetail))
    found = await write.exec(query.where(col(Product.product_id).in_(body.quantities())))
    products = {product.product_id: product for product in found}
    coupon = await redeem(write, body.coupon_code) if body.coupon_code else None
    order = await write.create(Order.of(body, products, coupon))
    return OrderDetail.model_validate(order)


async def redeem(write: Writer, code: str) -> Coupon:
    """Use one redemption of a coupon, or answer 409 if none is left."""
    same = col(Coupon.code) == code
    query = (
        update(Coupon)
        .where(same, col(Coupon.remaining_count) > 0)
        .values(remaining_count=Coupon.remaining_count - 1, version=Coupon.version + 1)
        .returning(Coupon)
    )
    coupon: Coupon | None = (await write.exec(query)).scalars().one_or_none()
    if coupon is None and (await write.exec(select(Coupon).where(same))).one_or_none():
        raise Problem(USED_UP, "The coupon is used up.")
    if coupon is None:
        raise Problem.impossible(
            [{"pointer": "/couponCode", "detail": "is not the code of a coupon"}]
        )
    return coupon


@router.get("/{orderId}")
async def get_order(read: Read, order_id: OrderId) -> OrderDetail:
    """Get an order with its items."""
    return await read.one(OrderDetail, order_id)
