"""Stores, which offer products."""

from typing import Annotated
from uuid import UUID

from fastapi import Path, Query
from sqlmodel import col

from orders_api.models import (
    CurrencyCode,
    SearchText,
    Store,
    StoreIn,
    StoreOut,
    StoreUpdate,
    Text,
)
from orders_api.web import Filter, Page, Read, Router, UpdatedSince, Write, search, since

router = Router(prefix="/stores", tags=["stores"])

StoreId = Annotated[UUID, Path(alias="storeId", description="The store's id.")]


class StorePage(Page):
    country: Annotated[Text | None, Filter(lambda value: col(Store.country) == value)] = None
    city: Annotated[Text | None, Filter(lambda value: col(Store.city) == value)] = None
    currency: Annotated[CurrencyCode | None, Filter(lambda value: col(Store.currency) == value)] = (
        None
    )
    q: Annotated[
        SearchText | None,
        search(col(Store.name)),
        Query(description="Part of the name, in any case."),
    ] = None
    updated_since: Annotated[UpdatedSince, since(col(Store.updated_at))] = None


@router.get("", public=True)
async def list_stores(read: Read, page: Annotated[StorePage, Query()]) -> list[StoreOut]:
    """List stores, oldest first."""
    return await read.page(StoreOut, page)


@router.post("", status_code=201)
async def create_store(write: Write, body: StoreIn) -> StoreOut:
    """Create a store."""
    return await write.create(Store.model_validate(body))


@router.get("/{storeId}", public=True)
async def get_store(read: Read, store_id: StoreId) -> StoreOut:
    """Get a store."""
    return await read.get_or_404(StoreOut, store_id)


@router.patch("/{storeId}")
async def update_store(write: Write, store_id: StoreId, body: StoreUpdate) -> StoreOut:
    """Change the members that are sent; `null` clears one that may be empty."""
    store = await write.get_for_update(Store, store_id)
    return store.sqlmodel_update(body.changes())


@router.delete("/{storeId}", status_code=204)
async def delete_store(write: Write, store_id: StoreId) -> None:
    """Delete a store; 409 while it still has products."""
    await write.delete_or_404(Store, store_id)
