"""Orders: placed once, then read, never changed."""

from collections.abc import AsyncIterable
from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path, Query, Request
from sqlmodel import col, select, update

from orders_api.models import (
    Coupon,
    CouponCode,
    Order,
    OrderDetail,
    OrderIn,
    OrderItem,
    OrderOut,
    ProductDetail,
    UtcDatetime,
)
from orders_api.web import (
    USED_UP,
    Filter,
    Page,
    Problem,
    Read,
    Router,
    Write,
    Writer,
    document_problems,
    stream,
)

router = Router(prefix="/orders", tags=["orders"])

OrderId = Annotated[UUID, Path(alias="orderId", description="The order's id.")]


class OrderPage(Page):
    product_id: Annotated[
        UUID | None,
        Filter(lambda value: col(OrderItem.product_id) == value),
        Query(description="Orders with this product."),
    ] = None
    coupon_code: Annotated[
        CouponCode | None, Filter(lambda value: col(Order.coupon_code) == value)
    ] = None
    since: Annotated[
        UtcDatetime | None,
        Filter(lambda value: col(Order.date) >= value),
        Query(description="Placed at this time or later (ISO 8601 with offset)."),
    ] = None
    until: Annotated[
        UtcDatetime | None,
        Filter(lambda value: col(Order.date) < value),
        Query(description="Placed before this time (ISO 8601 with offset)."),
    ] = None
    sort: Literal["date", "-date"] | None = None

    @property
    def sort_order(self) -> str:
        return self.sort or "date"


@router.get("")
async def list_orders(read: Read, page: Annotated[OrderPage, Query()]) -> list[OrderOut]:
    """List orders without their items, oldest first unless sorted."""
    return await read.page(OrderOut, page)


@router.post("", status_code=201, responses=document_problems(USED_UP))
async def create_order(write: Write, body: OrderIn) -> OrderDetail:
    """Order products at their prices of this moment, from any number of stores."""
    products = await write.get_many(ProductDetail, body.quantities())
    coupon = await redeem(write, body.coupon_code) if body.coupon_code else None
    return await write.create(OrderDetail.of(body, products, coupon))


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


@router.get("/export")
async def export_orders(request: Request) -> AsyncIterable[OrderDetail]:
    """Get all orders with their items, oldest first, an order a line."""
    async for order in stream(request.app.state.database, OrderDetail):
        yield order


@router.get("/{orderId}")
async def get_order(read: Read, order_id: OrderId) -> OrderDetail:
    """Get an order with its items."""
    return await read.get_or_404(OrderDetail, order_id)
