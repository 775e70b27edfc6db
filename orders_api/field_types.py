"""Kinds of value that members may have, whatever resource they belong to."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from functools import partial
from typing import Annotated, Any
from uuid import UUID

import pydantic
from pydantic import (
    AfterValidator,
    BeforeValidator,
    GetCoreSchemaHandler,
    PlainSerializer,
    WithJsonSchema,
)
from pydantic_core import CoreSchema, core_schema
from sqlmodel import Field, SQLModel
from uuid_utils.compat import uuid7

from orders_api.problems import matching

CENT = Decimal("0.01")
MAX_INTEGER = 2**31 - 1  # an INTEGER of PostgreSQL
MAX_MONEY = Decimal("9999999999.99")
AMOUNT = re.compile(r"[0-9]{1,10}(\.[0-9]{1,2})?", re.ASCII)


def _plain_decimal(value: object, form: re.Pattern[str] = AMOUNT) -> object:
    """Refuse what Decimal would take besides numbers and plain decimal strings."""
    if isinstance(value, bool) or (isinstance(value, str) and not form.fullmatch(value)):
        raise ValueError('must be a number or a plain decimal string such as "19.99"')
    return value


def _to_cents(value: Decimal) -> Decimal:
    # The databases round differently, so nothing is left for them to round.
    return abs(value.quantize(CENT))  # zero has no sign in a database


Key = Annotated[UUID, Field(default_factory=uuid7, primary_key=True)]
"""Made by the server as UUIDv7 (RFC 9562): the order of keys is the order of creation.

`model_validate` makes it. mypy wants a call to name it, as `StoreOut(store_id=uuid7(), …)` does.
"""

ISO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d\S*", re.ASCII)


def _iso_time(value: object) -> object:
    """Refuse what datetime would take besides ISO 8601, such as seconds since 1970."""
    if not isinstance(value, datetime) and not ISO_TIME.fullmatch(str(value)):
        hint = " (in a URL, + is written %2B)" if " " in str(value) else ""
        raise ValueError(f"must be a time such as 2026-01-31T12:00:00Z{hint}")
    return value


def _to_utc(value: datetime) -> datetime:
    if value.tzinfo is None:
        raise ValueError("must have an offset, such as Z or +01:00 (in a URL %2B01:00)")
    try:
        return value.astimezone(UTC)
    except OverflowError:
        raise ValueError("must be in the years 1 to 9999 in UTC") from None


UtcDatetime = Annotated[datetime, BeforeValidator(_iso_time), AfterValidator(_to_utc)]
"""A time in ISO 8601 with offset."""

MONEY_NUMBER = {"type": "number", "minimum": 0, "maximum": float(MAX_MONEY), "multipleOf": 0.01}

Money = Annotated[
    Decimal,
    BeforeValidator(_plain_decimal),
    pydantic.Field(max_digits=12, decimal_places=2),  # makes the column NUMERIC(12,2)
    pydantic.Field(ge=0, le=MAX_MONEY),
    AfterValidator(_to_cents),
    PlainSerializer(float, return_type=float, when_used="json"),
    WithJsonSchema(MONEY_NUMBER, mode="serialization"),
    WithJsonSchema(
        {"anyOf": [MONEY_NUMBER, {"type": "string", "pattern": f"^{AMOUNT.pattern}$"}]},
        mode="validation",
    ),
]
"""An amount in a currency's main unit, at most two decimals, as a number or a string."""


def decimal(max_digits: int, places: int) -> Any:
    """Make a kind of number such as `Weight = Annotated[Decimal, decimal(9, 3)]`.

    It has all its places from the start, so that it is the same before it is stored as after. Its
    column is NUMERIC(9, 3); where it may be None, SQLModel must be told: `sa_type=Numeric(9, 3)`.
    """
    kind: Any = pydantic.Field(max_digits=max_digits, decimal_places=places)
    step = Decimal(1).scaleb(-places)
    most = float(Decimal(10) ** (max_digits - places) - step)
    number = {"type": "number", "minimum": -most, "maximum": most, "multipleOf": float(step)}
    pattern = rf"-?[0-9]{{1,{max_digits - places}}}(\.[0-9]{{1,{places}}})?"
    text = {"type": "string", "pattern": f"^{pattern}$"}
    kind.metadata += [
        BeforeValidator(partial(_plain_decimal, form=re.compile(pattern, re.ASCII))),
        AfterValidator(lambda value: value.quantize(step) + 0),  # zero has no sign in a database
        WithJsonSchema({"anyOf": [number, text]}, mode="validation"),
        WithJsonSchema(text, mode="serialization"),
    ]
    return kind


def _text(max_length: int) -> Any:
    return matching(
        # PostgreSQL cannot store NUL.
        r"^[^\x00]*[^\x00-\x20][^\x00]*$",
        "must be text that is not blank and has no NUL character",
        min_length=1,
        max_length=max_length,
    )


Text = Annotated[str, _text(200)]
LongText = Annotated[str, _text(5000)]
SearchText = Annotated[
    str, matching(r"^[^\x00]*$", "must be text without a NUL character", max_length=200)
]

CurrencyCode = Annotated[
    str, matching(r"^[A-Z]{3}$", "must be three capital letters, such as EUR", max_length=3)
]
"""A currency's code, as in ISO 4217."""

EmailAddress = Annotated[
    str,
    matching(
        # What a browser's <input type=email> accepts (WHATWG HTML, "valid email address").
        r"^[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
        r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)*$",
        "must be an e-mail address",
        max_length=254,
    ),
]

WebAddress = Annotated[
    str,
    matching(
        r"^https?://[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?(?::[0-9]{1,5})?(?:[/?#][!-~]*)?$",
        "must be a web address with http:// or https://",
        max_length=2000,
    ),
]


def whole(value: object) -> object:
    """Take 2.0 for 2, as JSON Schema and every client with but one type of number does."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


StrictBool = Annotated[bool, pydantic.Field(strict=True)]


# --- Marks of members that are read from related rows ---------------------------------------


@dataclass(frozen=True)
class Count:
    """How many related rows there are: `review_count: Annotated[int, Count("reviews")] = 0`."""

    relationship: str


@dataclass(frozen=True)
class Sum:
    """The sum of a column of related rows: `Annotated[int, Sum("items.quantity")] = 0`."""

    path: str


@dataclass(frozen=True)
class Each:
    """One column of each related row: `tags: Annotated[list[str], Each("name")]`.

    The member has the name of the relationship.
    """

    column: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.values_of, handler(source))

    def values_of(self, rows: Any) -> Any:
        """Return the values of rows of the ORM, or what is no list of rows as it is."""
        if not isinstance(rows, list):
            return rows
        return [getattr(row, self.column) if isinstance(row, SQLModel) else row for row in rows]
