"""The service itself: where things are, and whether it is well."""

from typing import Literal

from fastapi import Request
from pydantic import BaseModel

from orders_api.database import head_revision
from orders_api.errors import NOT_MIGRATED, Problem
from orders_api.routing import Router

router = Router(tags=["service"])


class Index(BaseModel):
    status: Literal["ok"] = "ok"
    docs: str
    redoc: str
    openapi: str
    health: str
    ready: str
    stores: str
    products: str
    orders: str
    coupons: str
    users: str
    todos: str


class Health(BaseModel):
    status: Literal["ok"] = "ok"


@router.get("/")
async def index(request: Request) -> Index:
    """Say where everything is."""
    root = request.scope["path"].rstrip("/")
    paths = {name: f"{root}/{name}" for name in Index.model_fields if name != "status"}
    return Index.model_validate(paths | {"openapi": f"{root}/openapi.json"})


@router.get("/health")
async def get_health() -> Health:
    """Tell that the process lives; the database is not asked."""
    return Health()


@router.get("/ready")
async def get_ready(request: Request) -> Health:
    """Tell whether requests can be served: the database answers and its schema is current."""
    current, head = await request.app.state.database.current_revision(), head_revision()
    if current != head:
        detail = f"The schema is at revision {current}, the code at {head}: `orders-api migrate`."
        raise Problem(NOT_MIGRATED, detail, headers={"Retry-After": "10"})
    return Health()
