"""What can be imported and exported, and the members of a line."""

from datetime import datetime
from typing import Annotated, Any

import pydantic
from pydantic import ValidationInfo, field_validator, model_validator
from sqlmodel import SQLModel

from orders_api.models import (
    Coupon,
    CouponOut,
    In,
    OrderDetail,
    Product,
    ProductOut,
    Store,
    StoreOut,
    WholeNumber,
    now,
)


class Line(In):
    """Unlike a body, a line may have what a server made before: a copy keeps its id and its age."""

    @field_validator("updated_at", check_fields=False)
    @classmethod
    def _is_changed_now(cls, _: datetime) -> datetime:
        """Change it now, whatever the line says: so who asks for changes gets it."""
        return now()


class StoreLine(StoreOut, Line):
    pass


class ProductLine(ProductOut, Line):
    @model_validator(mode="before")
    @classmethod
    def _find_store(cls, value: Any, info: ValidationInfo) -> Any:
        """Take the name of a store (`store`) in place of its id."""
        if not isinstance(value, dict) or not isinstance(value.get("store"), str):
            return value
        match info.context["stores"](value["store"]) if info.context else []:
            case [store_id]:
                others = {name: other for name, other in value.items() if name != "store"}
                return {"storeId": store_id} | others
            case []:
                raise ValueError("`store` is not the name of a store")
        raise ValueError("`store` is the name of several stores: use `storeId`")


class CouponLine(CouponOut, Line):
    remaining_count: Annotated[
        WholeNumber, pydantic.Field(default_factory=lambda line: line["init_count"])
    ]

    @field_validator("remaining_count")
    @classmethod
    def _in_bounds(cls, value: int, info: ValidationInfo) -> int:
        if value > info.data.get("init_count", value):
            raise ValueError("must not be more than `initCount`")
        return value


IMPORTS: dict[str, tuple[type[SQLModel], type[SQLModel]]] = {
    "stores": (Store, StoreLine),
    "products": (Product, ProductLine),
    "coupons": (Coupon, CouponLine),
}
EXPORTS: dict[str, type[SQLModel]] = {
    "stores": StoreOut,
    "products": ProductOut,
    "coupons": CouponOut,
    "orders": OrderDetail,
}
