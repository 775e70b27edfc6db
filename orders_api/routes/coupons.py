"""Coupons, of which orders use redemptions."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from sqlmodel import col

from orders_api.models import Coupon, CouponCode, CouponIn, CouponOut, CouponUpdate
from orders_api.web import (
    IMPOSSIBLE,
    INVALID,
    Filter,
    Page,
    Read,
    Router,
    UpdatedSince,
    Write,
    document_problems,
    since,
)

router = Router(prefix="/coupons", tags=["coupons"])

CouponId = Annotated[UUID, Path(alias="couponId", description="The coupon's id.")]


class CouponPage(Page):
    code: Annotated[CouponCode | None, Filter(lambda value: col(Coupon.code) == value)] = None
    updated_since: Annotated[UpdatedSince, since(col(Coupon.updated_at))] = None


@router.get("")
async def list_coupons(read: Read, page: Annotated[CouponPage, Query()]) -> list[CouponOut]:
    """List coupons, oldest first."""
    return await read.page(CouponOut, page)


@router.post("", status_code=201)
async def create_coupon(write: Write, body: CouponIn) -> CouponOut:
    """Create a coupon; `remainingCount` starts at `initCount`."""
    coupon = Coupon.model_validate(body, update={"remaining_count": body.init_count})
    return await write.create(coupon)


@router.get("/{couponId}")
async def get_coupon(read: Read, coupon_id: CouponId) -> CouponOut:
    """Get a coupon."""
    return await read.get_or_404(CouponOut, coupon_id)


@router.patch("/{couponId}", responses=document_problems(INVALID, IMPOSSIBLE))
async def update_coupon(write: Write, coupon_id: CouponId, body: CouponUpdate) -> CouponOut:
    """Change the members that are sent; `initCount` moves `remainingCount` with it."""
    return (await write.get_for_update(Coupon, coupon_id)).change(body)


@router.delete("/{couponId}", status_code=204)
async def delete_coupon(write: Write, coupon_id: CouponId) -> None:
    """Delete a coupon; 409 if an order used it."""
    await write.delete_or_404(Coupon, coupon_id)
