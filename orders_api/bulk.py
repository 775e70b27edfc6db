"""Many objects at once: CSV, JSON lines or a JSON array come in, CSV or JSON lines go out.

Batch by batch, so that memory does not grow with their number; a JSON array alone is read whole.
"""

import asyncio
import csv
import io
import re
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain, islice
from operator import attrgetter
from typing import Annotated, Any, BinaryIO, TypeVar
from uuid import UUID

import pydantic
from fastapi import Depends, Request
from pydantic import (
    BaseModel,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)
from sqlalchemy import Connection, insert, literal
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import greenlet_spawn
from sqlmodel import SQLModel, col, select
from starlette.requests import ClientDisconnect

from orders_api.database import Database, Writer, within
from orders_api.driver import Link
from orders_api.errors import (
    IMPOSSIBLE,
    INVALID,
    MALFORMED,
    MOST_ERRORS,
    TOO_LARGE,
    ErrorItem,
    Kind,
    Problem,
    body_error,
    from_database_error,
)
from orders_api.models import (
    Count,
    Coupon,
    CouponOut,
    In,
    OrderDetail,
    Product,
    ProductOut,
    Store,
    StoreOut,
)
from orders_api.shapes import plan_of
from orders_api.strict_json import parse_json

Shape = TypeVar("Shape", bound=SQLModel)

BATCH = 1000  # lines that one statement inserts, and objects that one statement reads

# --- What a line may have -----------------------------------------------------------------

# Unlike a request, a line may have the ids that a server made before: a copy keeps them.


class StoreLine(StoreOut, In):
    pass


class ProductLine(ProductOut, In):
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


class CouponLine(CouponOut, In):
    remaining_count: Annotated[
        Count, pydantic.Field(default_factory=lambda line: line["init_count"])
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


# --- Lines in -----------------------------------------------------------------------------


@dataclass(frozen=True)
class Line:
    """What a line says, which need not be right."""

    number: int
    value: Any


@dataclass(frozen=True)
class BadLine:
    """A line that cannot be imported, and why."""

    number: int
    kind: Kind
    errors: Sequence[Mapping[str, str]]
    """As in a problem: a `detail`, and the `pointer` of the member that it is about."""

    def __str__(self) -> str:
        return "; ".join(
            f"`{error['pointer'][1:]}` {error['detail']}"
            if error.get("pointer")
            else error["detail"]
            for error in self.errors
        )


class UnreadableError(Exception):
    """The input as a whole is not what it is said to be."""


def read(file: BinaryIO, form: str, model: type[SQLModel]) -> Iterator[Line | BadLine]:
    """Read `csv`, `json` or `jsonl`; UnreadableError if it is something else as a whole."""
    if form == "csv":
        return read_csv(file, model)
    return read_json_array(file) if form == "json" else read_json_lines(enumerate(file, 1))


def read_json_lines(lines: Iterable[tuple[int, bytes]]) -> Iterator[Line | BadLine]:
    """Read lines that come with their numbers; a blank line is none."""
    for number, text in lines:
        content = (text.removeprefix(MARK) if number == 1 else text).rstrip()
        if content:
            try:
                yield Line(number, parse_json(content))
            except ValueError as error:
                detail = str(error).replace("(line 1, ", "(")
                yield BadLine(number, MALFORMED, [{"detail": detail}])


def read_json_array(file: BinaryIO) -> Iterator[Line | BadLine]:
    """Read an array whole; its elements count as lines."""
    try:
        values = parse_json(b"".join(_without_mark(file)))
    except ValueError as error:
        raise UnreadableError(str(error)) from None
    if not isinstance(values, list):
        raise UnreadableError("is not a JSON array")
    yield from (Line(number, value) for number, value in enumerate(values, 1))


def read_csv(file: Iterable[bytes], model: type[SQLModel]) -> Iterator[Line | BadLine]:
    """Read lines of cells below a line of names; a blank cell is none.

    The cells are separated by commas or, as spreadsheets in some languages have it, by semicolons
    or tabs. A line break within quotes is part of a cell.
    """
    texts = (text.decode("utf-8", "surrogateescape") for text in _without_mark(file))
    first = next(texts, "")
    separator = max(",;\t", key=first.count)
    reader = csv.reader(chain([first], texts), delimiter=separator, strict=True)
    try:
        names = [name.strip() for name in next(reader)]
    except csv.Error as error:
        raise UnreadableError(f"is not valid CSV: {error}") from None
    if not any(names):
        raise UnreadableError("does not begin with the names of the columns")
    if repeated := {name for name in names if name and names.count(name) > 1}:
        raise UnreadableError(f"has several columns with the name {min(repeated)}")
    whole = {
        spelling
        for name, field in model.model_fields.items()
        if field.annotation is int
        for spelling in (name, field.alias)
    }
    while True:
        number = reader.line_num + 1
        try:
            cells = next(reader)
            "".join(cells).encode()
        except StopIteration:
            return
        except UnicodeEncodeError:
            yield BadLine(number, MALFORMED, [{"detail": "is not valid UTF-8"}])
        except csv.Error as error:
            yield BadLine(number, MALFORMED, [{"detail": f"is not valid CSV: {error}"}])
        else:
            if len(cells) > len(names) and any(cells[len(names) :]):
                detail = f"has {len(cells)} cells, but there are {len(names)} columns"
                yield BadLine(number, MALFORMED, [{"detail": detail}])
            elif any(cells):
                yield Line(
                    number,
                    {
                        name: int(cell) if name in whole and WHOLE.fullmatch(cell) else cell
                        for name, cell in zip(names, cells, strict=False)
                        if cell.strip()
                    },
                )


WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


MARK = b"\xef\xbb\xbf"  # with which some programs begin a file: the byte order mark, in UTF-8


def _without_mark(file: Iterable[bytes]) -> Iterator[bytes]:
    for number, text in enumerate(file):
        yield text if number else text.removeprefix(MARK)


# --- Importing ----------------------------------------------------------------------------

Row = tuple[int, dict[str, Any]]
"""The number of a good line, and the values of its columns."""

MAX_MEMBERS = 1000  # of a line: Pydantic reports each unknown one, in half a second for 1 MiB


def import_lines(
    connection: Connection,
    table: type[SQLModel],
    model: type[SQLModel],
    lines: Iterable[Line | BadLine],
    size: int = BATCH,
) -> Iterator[tuple[int, list[BadLine]]]:
    """Insert what the lines say, and give for each batch how many are good, and the bad ones.

    A line is to be as `model` has it. All of it is in the connection's transaction, which is as
    good as before after a bad line.
    """

    @lru_cache(BATCH)
    def stores(name: str) -> Sequence[UUID]:
        query = select(col(Store.store_id)).where(Store.name == name).limit(2)
        return connection.execute(query).scalars().all()

    lines = iter(lines)
    while batch := list(islice(lines, size)):
        rows, bad = validate(batch, model, {"stores": stores})
        bad += insert_rows(connection, table, rows)
        yield len(batch) - len(bad), sorted(bad, key=attrgetter("number"))


def validate(
    lines: Iterable[Line | BadLine], model: type[SQLModel], context: dict[str, Any] | None = None
) -> tuple[list[Row], list[BadLine]]:
    """Return the rows that lines stand for, each to be as `model` has it, and the bad lines."""
    rows: list[Row] = []
    bad: list[BadLine] = []
    for line in lines:
        if isinstance(line, BadLine):
            bad.append(line)
        elif isinstance(line.value, dict) and len(line.value) > MAX_MEMBERS:
            detail = f"must not have more than {MAX_MEMBERS} members"
            bad.append(BadLine(line.number, INVALID, [{"detail": detail}]))
        else:
            try:
                rows.append((line.number, dict(model.model_validate(line.value, context=context))))
            except ValidationError as error:
                bad.append(BadLine(line.number, INVALID, _reasons(error, model)))
    return rows, bad


def _reasons(error: ValidationError, model: type[SQLModel]) -> list[Mapping[str, str]]:
    return [
        body_error(item, item["loc"], model)
        for item in error.errors()[:MOST_ERRORS]
        if item["type"] != "default_factory_not_called"  # another member is why
    ]


def insert_rows(
    connection: Connection, table: type[SQLModel], rows: list[Row]
) -> Iterator[BadLine]:
    """Insert rows, and find those that the database refuses by halving what contains one."""
    if not rows:
        return
    try:
        with connection.begin_nested():
            connection.execute(insert(table), [row for _, row in rows])
    except DBAPIError as error:
        problem = from_database_error(error)
        if problem is None or problem.status_code >= 500:
            raise
        if len(rows) == 1:
            yield _refused(rows[0][0], problem)
        else:
            middle = len(rows) // 2
            yield from insert_rows(connection, table, rows[:middle])
            yield from insert_rows(connection, table, rows[middle:])


def _refused(number: int, problem: Problem) -> BadLine:
    if problem.kind is IMPOSSIBLE:  # products alone refer to something
        error = {"pointer": "/storeId", "detail": "is not the id of a store"}
    else:
        error = {"detail": problem.detail.rstrip(".")}
    return BadLine(number, problem.kind, [error])


# --- Over HTTP ----------------------------------------------------------------------------

MEDIA_TYPES = ["application/jsonl", "application/x-ndjson"]


def takes_lines(model: type[SQLModel]) -> dict[str, Any]:
    """Document a body of JSON lines, each as this class has it, and let `Lines` hold it."""
    schema = {"type": "array", "items": {"$ref": f"#/components/schemas/{model.__name__}"}}
    content = {media_type: {"schema": schema} for media_type in MEDIA_TYPES}
    return {"requestBody": {"required": True, "content": content}}


async def _lines(request: Request) -> BinaryIO:
    lines: BinaryIO = request.state.lines
    return lines


Lines = Annotated[BinaryIO, Depends(_lines)]
FEW = 100  # objects that are read at a time, so that other requests need not wait for long
SLICE = 16 * 1024  # bytes of lines that are read and inserted at a time, for the same reason
MAX_LINES = 200  # of a slice that are not blank


class Imported(BaseModel):
    imported: int = Field(description="How many lines were imported.")
    skipped: int = Field(description="How many lines were bad and left out.")
    errors: list[ErrorItem] = Field(description="What is wrong with the first of the bad lines.")


async def import_body(
    write: Writer, table: type[SQLModel], model: type[SQLModel], body: BinaryIO, skip_bad: bool
) -> Imported:
    """Insert what the lines of a body say, or refuse it for the bad ones.

    Lines are read in a thread, and the transaction begins with the first good one. All of them may
    take long, but no slice may take the database longer than `DATABASE_TIMEOUT`: TimeoutError. It
    ends when the client has left: ClientDisconnect.
    """
    body.seek(0)
    state = write.request.app.state
    slices = _slices(body, model, state.settings.max_body_bytes)
    imported, skipped = 0, 0
    first: BadLine | None = None
    errors: list[dict[str, Any]] = []
    has_more = True
    while skip_bad or len(errors) < MOST_ERRORS:
        part = await asyncio.to_thread(next, slices, None)
        if part is None:
            has_more = False
            break
        if await write.request.is_disconnected():
            raise ClientDisconnect
        rows, bad = part
        if rows:
            refused = await _insert_in_time(write, state.database.timeout, table, rows)
            imported += len(rows) - len(refused)
            bad = sorted(bad + refused, key=attrgetter("number"))
        skipped += len(bad)
        first = first or next(iter(bad), None)
        named = ({"line": line.number, **error} for line in bad for error in line.errors)
        errors += islice(named, MOST_ERRORS - len(errors))
    if first and not skip_bad:
        at_least = "at least " if has_more else ""
        more = f" (and {at_least}{skipped - 1} more bad lines)" if skipped > 1 else ""
        sentence = f"Nothing is imported, because of line {first.number}: {first}{more}."
        raise Problem(first.kind, sentence, errors=errors)
    return Imported(
        imported=imported,
        skipped=skipped,
        errors=[ErrorItem.model_validate(error) for error in errors],
    )


async def _insert_in_time(
    write: Writer, seconds: float, table: type[SQLModel], rows: list[Row]
) -> list[BadLine]:
    connection = (await write.link()).connection
    try:
        return await within(seconds, greenlet_spawn(list, insert_rows(connection, table, rows)))
    except TimeoutError:
        # It is still busy with what takes too long.
        await greenlet_spawn(connection.invalidate)
        raise


def _slices(
    file: BinaryIO, model: type[SQLModel], limit: int
) -> Iterator[tuple[list[Row], list[BadLine]]]:
    """Read and validate lines a slice at a time, of about `SLICE` bytes, blank lines included.

    Raise 413 for a line of more bytes than `limit`.
    """
    number = 0
    while True:
        lines: list[tuple[int, bytes]] = []
        size = 0
        while size < SLICE and len(lines) < MAX_LINES and (text := file.readline(limit + 1)):
            number += 1
            size += len(text)
            if len(text) > limit:
                raise Problem(TOO_LARGE, f"Line {number} must not be larger than {limit} bytes.")
            if text != b"\n":
                lines.append((number, text))
        if not size:
            return
        yield validate(read_json_lines(lines), model)


async def stream(database: Database, shape: type[Shape]) -> AsyncIterator[Shape]:
    """Give all objects, oldest first; a slow client keeps no connection to the database busy."""
    page: list[Shape] = []

    async def read(link: Link) -> list[Shape]:
        return await greenlet_spawn(read_page, link.connection, shape, page, FEW)

    while page := await within(database.timeout, database.read(read)):
        for one in page:
            yield one


# --- Lines out ----------------------------------------------------------------------------

EXPORTS: dict[str, type[SQLModel]] = {
    "stores": StoreOut,
    "products": ProductOut,
    "coupons": CouponOut,
    "orders": OrderDetail,
}


def export(connection: Connection, shape: type[SQLModel], form: str) -> Iterator[bytes]:
    """Write all objects as `csv` or `jsonl`, oldest first."""
    if form == "csv":
        yield to_csv([csv_columns(shape)])
    page: list[Any] = []
    while page := read_page(connection, shape, page):
        yield to_csv(csv_rows(page)) if form == "csv" else to_json_lines(page)


def read_page(
    connection: Connection, shape: type[SQLModel], before: Sequence[Any], size: int = BATCH
) -> list[Any]:
    """Read the objects that follow the page before (or the first ones), oldest first.

    A page is found by key, so that all of them together take no transaction.
    """
    plan = plan_of(shape)
    beyond = [plan.key > getattr(before[-1], plan.key.key)] if before else []
    query = plan.select(*beyond, order=[plan.key.key], limit=literal(size))
    return plan.objects(connection.execute(query))


def to_json_lines(page: Iterable[SQLModel]) -> bytes:
    return b"".join(one.model_dump_json(by_alias=True).encode() + b"\n" for one in page)


def csv_columns(shape: type[SQLModel]) -> list[str]:
    """Name the columns: those of an object or, of an order, the same and those of an item."""
    if shape is OrderDetail:
        return ORDER_COLUMNS
    return [field.alias or name for name, field in shape.model_fields.items()]


ORDER_COLUMNS = [
    "orderId", "date", "couponCode", "percentOff",
    "productId", "name", "unitPrice", "currency", "quantity", "lineTotal",
]  # fmt: skip


def to_csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def csv_rows(page: Iterable[SQLModel]) -> Iterator[Iterable[Any]]:
    """Give a row for each object, and for each item of an order."""
    for one in page:
        if not isinstance(one, OrderDetail):
            yield (getattr(one, name) for name in type(one).model_fields)
            continue
        date = one.date.isoformat().replace("+00:00", "Z")
        for item in one.items:
            yield (
                *(one.order_id, date, one.coupon_code, one.percent_off),
                *(item.product.product_id, item.name, item.unit_price, item.currency),
                *(item.quantity, item.line_total),
            )
