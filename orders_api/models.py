"""The whole domain on one page.

Each resource is a section and each section a ladder, every step adding only what is new:
`StoreIn` is what a client may write, `StoreUpdate` the same with every member optional,
`StoreOut` adds what the server makes, and `Store` is the table. Nested views
(`ProductDetail`, `OrderDetail`) are further Out classes: reading one loads exactly the
rows that its members name.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from typing import Annotated, Any, Self
from uuid import UUID

import pydantic
from pydantic import MISSING, BeforeValidator, computed_field
from pydantic.alias_generators import to_camel
from sqlalchemy import (
    CheckConstraint,
    Enum as EnumType,
    Index,
    Table,
    UniqueConstraint,
    event,
    inspect,
    text,
)
from sqlalchemy.orm import ColumnProperty, Mapped, declared_attr
from sqlmodel import Field, Relationship, SQLModel
from uuid_utils.compat import uuid7

# Those that routes use have a name here too.
from orders_api.field_types import (
    CENT,
    MAX_INTEGER as MAX_INTEGER,
    MAX_MONEY,
    CurrencyCode as CurrencyCode,
    EmailAddress,
    Key,
    LongText,
    Money as Money,
    SearchText as SearchText,
    StrictBool,
    Text as Text,
    UtcDatetime as UtcDatetime,
    WebAddress,
    whole,
)
from orders_api.problems import Problem, matching

# Constraints without a name cannot be altered on SQLite nor told apart in an error.
SQLModel.metadata.naming_convention = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_N_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}


@event.listens_for(Table, "after_parent_attach")
def _store_enums_as_text(table: Table, _: Any) -> None:
    """Keep an enum's values as text, alike on both databases.

    PostgreSQL's native enum types outlive the table that a downgrade drops.
    """
    for column in table.columns:
        if isinstance(column.type, EnumType) and column.type.enum_class is not None:
            column.type = EnumType(
                column.type.enum_class,
                native_enum=False,
                values_callable=lambda members: [member.value for member in members],
            )


# --- Kinds of value of this domain ---------------------------------------------------------


MAX_QUANTITY = 1_000_000

CouponCode = Annotated[Text, pydantic.Field(max_length=64)]
Username = Annotated[
    str,
    matching(
        r"^[^\x00-\x20\x7f]+$",
        "must be text without spaces and control characters",
        min_length=3,
        max_length=64,
    ),
]
Password = Annotated[
    str,
    matching(r"^[^\x00]*$", "must be text without a NUL character", min_length=8, max_length=128),
]
WholeNumber = Annotated[
    int, pydantic.Field(strict=True, ge=0, le=MAX_INTEGER), BeforeValidator(whole)
]
Percent = Annotated[int, pydantic.Field(strict=True, ge=0, le=100), BeforeValidator(whole)]
Quantity = Annotated[
    int, pydantic.Field(strict=True, ge=1, le=MAX_QUANTITY), BeforeValidator(whole)
]


# --- The steps of the ladder --------------------------------------------------------------


class Model(SQLModel):
    """camelCase outside and snake_case inside; bodies may use either."""

    model_config = {
        "alias_generator": to_camel,
        "validate_by_alias": True,
        "validate_by_name": True,
        # Declared key order, and a loud failure rather than `{}` on an expired row.
        "revalidate_instances": "subclass-instances",
    }


class In(Model):
    """What a client may write: unknown members are refused."""

    model_config = {"extra": "forbid"}


class Partial(Model):
    """Makes every inherited member optional: left out it stays, and `null` clears it if it may."""

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        for field in cls.model_fields.values():
            field.default, field.default_factory = MISSING, None
        cls.model_rebuild(force=True)

    def changes(self) -> dict[str, Any]:
        """Return the members that were sent."""
        return self.model_dump(exclude_unset=True, by_alias=False)


class Out(Model):
    """What the server answers, read from rows."""

    model_config = {"extra": "ignore", "json_schema_serialization_defaults_required": True}


def now() -> datetime:
    return datetime.now(UTC)


class Timestamps(Model):
    """When a row was created and last changed: set by what writes it, and never by a client."""

    created_at: UtcDatetime = Field(default_factory=now, description="When it was created, in UTC.")
    updated_at: UtcDatetime = Field(
        default_factory=now,
        description="When it was last changed, in UTC.",
        sa_column_kwargs={"onupdate": now},
    )

    def model_post_init(self, _: Any, /) -> None:
        values = vars(self)  # SQLAlchemy may not know the row yet
        if not {"created_at", "updated_at"} & self.model_fields_set:
            values["updated_at"] = values["created_at"]


@event.listens_for(Timestamps, "attribute_instrument", propagate=True)
def _note_changes(_: type, name: str, attribute: Any) -> None:
    """Set `updated_at` with the first change of a row, as it is answered before it is written."""
    if name == "updated_at" or not isinstance(attribute.property, ColumnProperty):
        return

    @event.listens_for(attribute, "set")
    def note(row: Timestamps, value: Any, old: Any, _: Any) -> None:
        if value != old and inspect(row).persistent:
            row.updated_at = now()


class Versioned(Model):
    """Makes a change of a row fail that another transaction has changed since it was read."""

    version: int = Field(default=1)

    @declared_attr.directive
    @classmethod
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.version}


# --- Stores -------------------------------------------------------------------------------


class StoreIn(In):
    name: Text = Field(schema_extra={"examples": ["Corner Books"]})
    city: Text = Field(schema_extra={"examples": ["Lisbon"]})
    country: Text = Field(schema_extra={"examples": ["Portugal"]})
    currency: CurrencyCode = Field(
        description="What the store's prices are in: three capital letters, as in ISO 4217.",
        schema_extra={"examples": ["EUR"]},
    )
    street: Text = Field(schema_extra={"examples": ["Rua Garrett 73"]})
    zipcode: Text = Field(schema_extra={"examples": ["1200-203"]})
    domain: WebAddress | None = Field(
        default=None,
        description="The store's web address, with http:// or https://.",
        schema_extra={"examples": ["https://books.example"]},
    )
    phone: Text | None = Field(default=None, schema_extra={"examples": ["+351 213 460 000"]})
    email: EmailAddress | None = Field(
        default=None, schema_extra={"examples": ["hello@books.example"]}
    )


class StoreUpdate(Partial, StoreIn):
    pass


class StoreOut(Timestamps, StoreIn, Out):
    store_id: Key


class Store(StoreOut, Versioned, table=True):
    __tablename__ = "stores"
    __table_args__ = (
        Index(None, "country", "store_id"),
        Index(None, "city", "store_id"),
        Index(None, "currency", "store_id"),
        Index(None, "updated_at", "store_id"),
    )


# --- Products -----------------------------------------------------------------------------


class ProductFields(In):
    name: Text = Field(
        description="Unique within its store.", schema_extra={"examples": ["Os Lusíadas"]}
    )
    description: LongText | None = Field(default=None, schema_extra={"examples": ["Paperback"]})
    price: Money = Field(
        description="In the store's currency, at most two decimals, at most 9999999999.99.",
        schema_extra={"examples": [19.99]},
    )


class ProductUpdate(Partial, ProductFields):
    pass


class ProductIn(ProductFields):
    store_id: UUID = Field(
        foreign_key="stores.store_id", description="The store that offers it; fixed at creation."
    )


class ProductOut(Timestamps, ProductIn, Out):
    product_id: Key


class ProductDetail(ProductOut):
    store: StoreOut


class Product(ProductOut, Versioned, table=True):
    __tablename__ = "products"
    __table_args__ = (
        UniqueConstraint("store_id", "name"),
        CheckConstraint("price >= 0", name="price_not_negative"),
        Index(None, "store_id", "product_id"),
        Index(None, "store_id", "price", "product_id"),
        Index(None, "name", "product_id"),
        Index(None, "price", "product_id"),
        Index(None, "updated_at", "product_id"),
    )

    store: Mapped[Store] = Relationship(sa_relationship_kwargs={"lazy": "raise_on_sql"})


# --- Coupons ------------------------------------------------------------------------------


class CouponIn(In):
    code: CouponCode = Field(
        description="Unique; upper and lower case differ.", schema_extra={"examples": ["PIOTR"]}
    )
    init_count: WholeNumber = Field(
        description="How many orders may use it in all.", schema_extra={"examples": [100]}
    )
    percent_off: Percent = Field(
        default=0,
        description="The discount, in whole percent of the subtotal.",
        schema_extra={"examples": [10]},
    )


class CouponUpdate(Partial, CouponIn):
    pass


class CouponOut(Timestamps, CouponIn, Out):
    coupon_id: Key
    remaining_count: WholeNumber = Field(description="How many orders may still use it.")


class Coupon(CouponOut, Versioned, table=True):
    __tablename__ = "coupons"
    __table_args__ = (
        UniqueConstraint("code"),
        Index(None, "updated_at", "coupon_id"),
        CheckConstraint("remaining_count >= 0", name="remaining_count_not_negative"),
        CheckConstraint("remaining_count <= init_count", name="remaining_count_in_bounds"),
        CheckConstraint("percent_off BETWEEN 0 AND 100", name="percent_off_in_bounds"),
    )

    def change(self, body: CouponUpdate) -> Self:
        """Change the members that are sent; a new `initCount` moves `remainingCount` with it."""
        changes = body.changes()
        used = self.init_count - self.remaining_count
        remaining = changes.get("init_count", self.init_count) - used
        if remaining < 0:
            detail = f"must not be less than {used}, the redemptions already used"
            raise Problem.impossible([{"pointer": "/initCount", "detail": detail}])
        return self.sqlmodel_update(changes | {"remaining_count": remaining})


# --- Orders -------------------------------------------------------------------------------


class OrderItemIn(In):
    product_id: UUID
    quantity: Quantity = Field(schema_extra={"examples": [2]})


class OrderIn(In):
    items: Annotated[list[OrderItemIn], pydantic.Field(min_length=1, max_length=100)] = Field(
        description="What is ordered; the same product twice is merged into one line."
    )

    coupon_code: CouponCode | None = Field(
        default=None,
        description="A coupon, of which the order uses one redemption.",
        schema_extra={"examples": [None, "PIOTR"]},  # tried first, when no coupon is there
    )

    def quantities(self) -> dict[UUID, int]:
        """Return the quantity of each product, in the order in which they were first named."""
        quantities: dict[UUID, int] = {}
        for item in self.items:
            quantities[item.product_id] = quantities.get(item.product_id, 0) + item.quantity
        return quantities


class OrderTotalOut(Out):
    currency: CurrencyCode
    subtotal: Money
    discount: Money
    total: Money

    @classmethod
    def of(cls, currency: str, subtotal: Decimal, percent_off: int) -> Self:
        discount = (subtotal * percent_off / 100).quantize(CENT, ROUND_HALF_UP)
        total = subtotal - discount
        return cls(currency=currency, subtotal=subtotal, discount=discount, total=total)


class OrderTotal(OrderTotalOut, table=True):
    __tablename__ = "order_totals"
    __table_args__ = (
        CheckConstraint("discount >= 0", name="discount_not_negative"),
        CheckConstraint("total >= 0", name="total_not_negative"),
        # Rounded, because SQLite computes with binary fractions.
        CheckConstraint("round(subtotal - discount, 2) = total", name="total_adds_up"),
        {"info": {"distribute_by": "order_id"}},
    )

    order_id: UUID = Field(primary_key=True, foreign_key="orders.order_id", ondelete="CASCADE")
    currency: CurrencyCode = Field(primary_key=True)


class OrderLine(Out):
    """One line of an order: name, price and currency as they were when it was placed."""

    line: int = Field(exclude=True, description="The place of this line in the order, from 1.")
    name: Text
    unit_price: Money
    currency: CurrencyCode
    quantity: Quantity


class OrderItemOut(OrderLine):
    product: ProductDetail

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know decorated properties
    @property
    def line_total(self) -> Money:
        """`unitPrice` times `quantity`."""
        return self.unit_price * self.quantity


class OrderItem(OrderLine, table=True):
    __tablename__ = "order_items"
    __table_args__ = (
        CheckConstraint("quantity > 0", name="quantity_positive"),
        CheckConstraint("unit_price >= 0", name="unit_price_not_negative"),
        Index(None, "product_id", "date", "order_id"),
        Index(
            None,
            *("product_id", "coupon_code", "date", "order_id"),
            sqlite_where=text("coupon_code IS NOT NULL"),
            postgresql_where=text("coupon_code IS NOT NULL"),
        ),
        {"info": {"distribute_by": "order_id"}},
    )

    order_id: UUID = Field(primary_key=True, foreign_key="orders.order_id", ondelete="CASCADE")
    product_id: UUID = Field(primary_key=True, foreign_key="products.product_id")

    # The order's, which never change: so an index can have them together with the product.
    date: UtcDatetime
    coupon_code: CouponCode | None

    product: Mapped[Product] = Relationship(sa_relationship_kwargs={"lazy": "raise_on_sql"})


class OrderFields(Out):
    order_id: Key
    date: UtcDatetime = Field(default_factory=now, description="When it was placed, in UTC.")
    coupon_id: UUID | None = Field(
        default=None, foreign_key="coupons.coupon_id", index=True, exclude=True
    )
    coupon_code: CouponCode | None = Field(default=None, description="The coupon it used.")
    percent_off: Percent = Field(
        default=0, description="The coupon's discount in percent when the order was placed."
    )


class OrderOut(OrderFields):
    totals: list[OrderTotalOut] = Field(
        description="One entry for each currency, because different currencies are never added up."
    )

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know decorated properties
    @property
    def currency(self) -> CurrencyCode | None:
        """The currency, when there is just one."""
        return self.totals[0].currency if len(self.totals) == 1 else None

    @computed_field  # type: ignore[prop-decorator]  # mypy does not know decorated properties
    @property
    def total(self) -> Money | None:
        """The total, when there is just one currency."""
        return self.totals[0].total if len(self.totals) == 1 else None


class OrderDetail(OrderOut):
    items: list[OrderItemOut]

    @classmethod
    def of(
        cls, body: OrderIn, products: Mapping[UUID, ProductDetail], coupon: Coupon | None = None
    ) -> Self:
        """Make an order at the products' prices of this moment.

        The coupon's discount is taken off each currency's subtotal, rounded half up to the cent.

        Refused with 422: a product that is not among `products`, a merged quantity or a
        total that is too large.
        """
        errors = [
            {"pointer": f"/items/{i}/productId", "detail": "is not the id of a product"}
            for i, item in enumerate(body.items)
            if item.product_id not in products
        ]
        quantities = body.quantities()
        if max(quantities.values()) > MAX_QUANTITY:
            detail = f"must not add up to more than {MAX_QUANTITY} of one product"
            errors.append({"pointer": "/items", "detail": detail})
        if errors:
            raise Problem.impossible(errors)
        items = [
            OrderItemOut(
                line=line,
                product=products[product_id],
                name=products[product_id].name,
                unit_price=products[product_id].price,
                currency=products[product_id].store.currency,
                quantity=quantity,
            )
            for line, (product_id, quantity) in enumerate(quantities.items(), 1)
        ]
        subtotals: dict[str, Decimal] = {}
        for item in items:
            subtotals[item.currency] = subtotals.get(item.currency, Decimal(0)) + item.line_total
        if max(subtotals.values()) > MAX_MONEY:
            detail = f"must not cost more than {MAX_MONEY} in total"
            raise Problem.impossible([{"pointer": "/items", "detail": detail}])
        percent_off = coupon.percent_off if coupon else 0
        return cls(
            order_id=uuid7(),
            coupon_id=coupon.coupon_id if coupon else None,
            coupon_code=coupon.code if coupon else None,
            percent_off=percent_off,
            totals=[OrderTotalOut.of(c, s, percent_off) for c, s in sorted(subtotals.items())],
            items=items,
        )


class Order(OrderFields, table=True):
    __tablename__ = "orders"
    __table_args__ = (
        Index(None, "date", "order_id"),
        Index(None, "coupon_code", "date", "order_id"),
        CheckConstraint("percent_off BETWEEN 0 AND 100", name="percent_off_in_bounds"),
        {"info": {"distribute_by": "order_id"}},
    )

    totals: Mapped[list[OrderTotal]] = Relationship(
        sa_relationship_kwargs={"lazy": "raise_on_sql", "order_by": "OrderTotal.currency"}
    )
    items: Mapped[list[OrderItem]] = Relationship(
        sa_relationship_kwargs={"lazy": "raise_on_sql", "order_by": "OrderItem.line"}
    )


# --- Users --------------------------------------------------------------------------------


class UserFields(In):
    username: Username = Field(
        description="Unique in any case: `Ada` and `ada` are the same.",
        schema_extra={"examples": ["ada"]},
    )


class UserIn(UserFields):
    password: Password = Field(
        schema_extra={"examples": ["correct horse"], "json_schema_extra": {"writeOnly": True}}
    )


class UserUpdate(Partial, UserIn):
    pass


class UserOut(Timestamps, UserFields, Out):
    user_id: Key


class User(UserOut, Versioned, table=True):
    __tablename__ = "users"
    __table_args__ = (
        UniqueConstraint("login", name="uq_users_username"),
        Index(None, "updated_at", "user_id"),
    )

    login: str
    """The username without differences of case; databases would differ in what that means."""

    password_hash: str = Field(repr=False)

    @classmethod
    def of(cls, body: UserIn, password_hash: str) -> Self:
        login = cls.login_of(body.username)
        return cls.model_validate(body, update={"login": login, "password_hash": password_hash})

    @staticmethod
    def login_of(username: str) -> str:
        return username.casefold()


class Token(SQLModel, table=True):
    """A sign-in. Only a hash of the token is kept, so that the table gives nobody access."""

    __tablename__ = "tokens"

    token_hash: str = Field(primary_key=True, max_length=64, repr=False)
    user_id: UUID = Field(foreign_key="users.user_id", ondelete="CASCADE", index=True)
    expires: datetime = Field(index=True)


class SignInFailures(SQLModel, table=True):
    """Failed sign-ins in a row for one username, which need not exist.

    The username is kept as a hash, because people type passwords into the wrong field.
    """

    __tablename__ = "sign_in_failures"

    login_hash: str = Field(primary_key=True, max_length=64)
    count: int
    blocked_until: datetime = Field(index=True)


# --- Idempotency keys ---------------------------------------------------------------------


class IdempotencyKey(SQLModel, table=True):
    """The answer to a `POST`, kept for 24 hours for a client that sends it again."""

    __tablename__ = "idempotency_keys"
    __table_args__ = ({"info": {"distribute_by": "key_hash"}},)

    key_hash: str = Field(primary_key=True, max_length=64)
    fingerprint: str = Field(max_length=64)
    created: datetime = Field(index=True)
    status: int
    location: str | None = None
    body: str


# --- To-dos -------------------------------------------------------------------------------


class TodoIn(In):
    task: Text = Field(schema_extra={"examples": ["Call the bookbinder"]})
    complete: StrictBool = Field(default=False, schema_extra={"examples": [False]})


class TodoUpdate(Partial, TodoIn):
    pass


class TodoOut(Timestamps, TodoIn, Out):
    todo_id: int = Field(default=None, primary_key=True, ge=1, le=MAX_INTEGER)


class Todo(TodoOut, Versioned, table=True):
    __tablename__ = "todos"
    __table_args__ = (
        Index(None, "complete", "todo_id"),
        Index(None, "updated_at", "todo_id"),
        {"sqlite_autoincrement": True},
    )
