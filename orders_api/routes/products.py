"""Products, each offered by one store."""

from typing import Annotated, Literal
from uuid import UUID

from fastapi import Path, Query
from sqlmodel import col

from orders_api.models import (
    Money,
    Product,
    ProductDetail,
    ProductIn,
    ProductUpdate,
    SearchText,
    StoreOut,
)
from orders_api.web import (
    Filter,
    Imported,
    Lines,
    Page,
    Problem,
    Read,
    Router,
    UpdatedSince,
    Write,
    import_body,
    search,
    since,
    takes_lines,
)

router = Router(prefix="/products", tags=["products"])
store_router = Router(prefix="/stores", tags=["stores"])

SkipBad = Annotated[
    bool, Query(alias="skipBad", description="Import the good lines, and leave out the bad ones.")
]
StoreId = Annotated[UUID, Path(alias="storeId", description="The store's id.")]
ProductId = Annotated[UUID, Path(alias="productId", description="The product's id.")]


class StoreProductPage(Page):
    """The products of one store."""

    q: Annotated[
        SearchText | None,
        search(col(Product.name), col(Product.description)),
        Query(description="Part of the name or of the description, in any case."),
    ] = None
    min_price: Annotated[Money | None, Filter(lambda value: col(Product.price) >= value)] = None
    max_price: Annotated[Money | None, Filter(lambda value: col(Product.price) <= value)] = None
    updated_since: Annotated[UpdatedSince, since(col(Product.updated_at))] = None
    sort: Literal["name", "-name", "price", "-price"] | None = None


class ProductPage(StoreProductPage):
    store_id: Annotated[UUID | None, Filter(lambda value: col(Product.store_id) == value)] = None


@router.get("", public=True)
async def list_products(read: Read, page: Annotated[ProductPage, Query()]) -> list[ProductDetail]:
    """List products with their stores, oldest first unless sorted."""
    return await read.page(ProductDetail, page)


@store_router.get("/{storeId}/products", public=True)
async def list_store_products(
    read: Read, store_id: StoreId, page: Annotated[StoreProductPage, Query()]
) -> list[ProductDetail]:
    """List the products of a store, as `GET /products?storeId=…` does."""
    found = await read.page(ProductDetail, page, col(Product.store_id) == store_id)
    if not found:
        await read.get_or_404(StoreOut, store_id)  # 404 if there is none
    return found


@router.post("", status_code=201)
async def create_product(write: Write, body: ProductIn) -> ProductDetail:
    """Offer a product in a store."""
    stores = await write.get_many(StoreOut, [body.store_id])
    if not stores:
        raise Problem.impossible([{"pointer": "/storeId", "detail": "is not the id of a store"}])
    store = stores[body.store_id]
    return await write.create(ProductDetail.model_validate(body, update={"store": store}))


@router.post(
    "/import",
    openapi_extra=takes_lines(ProductIn, name="Mensagem"),
    response_model_exclude_none=True,
)
async def import_products(write: Write, lines: Lines, skip_bad: SkipBad = False) -> Imported:
    """Offer many products: a JSON object, as `POST /products` takes it, on each line of the body.

    All of them or, if a line is bad, none. What is wrong with the first bad lines is in `errors`.
    """
    return await import_body(write, Product, ProductIn, lines, skip_bad)


@router.get("/{productId}", public=True)
async def get_product(read: Read, product_id: ProductId) -> ProductDetail:
    """Get a product with its store."""
    return await read.get_or_404(ProductDetail, product_id)


@router.patch("/{productId}")
async def update_product(write: Write, product_id: ProductId, body: ProductUpdate) -> ProductDetail:
    """Change the members that are sent; orders keep the name and the price they were placed at."""
    product = await write.get_for_update(Product, product_id, ProductDetail)
    return ProductDetail.model_validate(product.sqlmodel_update(body.changes()))


@router.delete("/{productId}", status_code=204)
async def delete_product(write: Write, product_id: ProductId) -> None:
    """Delete a product; 409 if it was ever ordered."""
    await write.delete_or_404(Product, product_id, ProductDetail)
