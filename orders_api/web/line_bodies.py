"""Many objects in one body: JSON lines come in and go out, slice by slice."""

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from operator import attrgetter
from tempfile import SpooledTemporaryFile
from typing import IO, Annotated, Any, BinaryIO, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from sqlalchemy.util import greenlet_spawn
from sqlmodel import SQLModel
from starlette.requests import ClientDisconnect

from orders_api.problems import TOO_LARGE, ErrorItem, Problem
from orders_api.storage.batches import BatchInsert, Row, read_page, read_rows, write_rows
from orders_api.storage.deadline import abandon_after
from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.web.lines import BadLine, insert_lines, read_json_lines, validate
from orders_api.web.sessions import Writer
from orders_api.web.validation import MAX_ERRORS

Schema = TypeVar("Schema", bound=SQLModel)
Part = TypeVar("Part")
Item = TypeVar("Item")
MEDIA_TYPES = ["application/jsonl", "application/x-ndjson"]
PAGE_SIZE = 100  # objects that are read at a time, so that other requests need not wait for long
SLICE = 16 * 1024  # bytes of lines that are read at a time, for the same reason
MAX_LINES = 200  # of a slice that are not blank
TURN = 0.00025  # seconds in which a thread computes before it makes room for others
PAUSE = 0.00005
IN_MEMORY = 1024 * 1024  # bytes that a temporary file keeps in memory


def takes_lines(model: type[SQLModel], **example: Any) -> dict[str, Any]:
    """Document a body of JSON lines, each as this class has it, and let `Lines` hold it.

    `example` has members in which a line of the example differs from that of the class.
    """
    schema = {"type": "array", "items": {"$ref": f"#/components/schemas/{model.__name__}"}}
    content = {media_type: {"schema": schema, "example": example} for media_type in MEDIA_TYPES}
    return {"requestBody": {"required": True, "content": content}}


async def _lines(request: Request) -> BinaryIO:
    lines: BinaryIO = request.state.lines
    return lines


Lines = Annotated[BinaryIO, Depends(_lines)]


@asynccontextmanager
async def temporary_file() -> AsyncIterator[IO[bytes]]:
    """Open a file for what may be too large for memory."""
    file = SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - closed by a thread
    try:
        yield file
    finally:
        # To delete a large one takes long. What is cancelled before it begins would not be done.
        await asyncio.shield(asyncio.to_thread(file.close))


class Imported(BaseModel):
    imported: int = Field(description="How many lines were imported.")
    skipped: int = Field(description="How many lines were bad and left out.")
    errors: list[ErrorItem] = Field(description="What is wrong with the first of the bad lines.")


async def import_body(
    write: Writer, table: type[SQLModel], model: type[SQLModel], body: BinaryIO, skip_bad: bool
) -> Imported:
    """Insert what the lines of a body say, or refuse it for the bad ones.

    All lines are read first, in a thread, and what is to be inserted is kept in a file: the
    transaction has nothing to do but insert. It may take long, but no statement may take the
    database longer than `DATABASE_TIMEOUT`: TimeoutError. All ends when the client has left:
    ClientDisconnect.
    """
    body.seek(0)
    request, state = write.request, write.request.app.state
    statement = BatchInsert(table, model, state.database.dialect)
    good = 0
    invalid, refused = _BadLines(), _BadLines()
    has_more = False
    async with temporary_file() as rows:
        slices = _slices(body, model, state.settings.max_body_bytes, statement, rows)
        while part := await _next(slices, request):
            good += part[0]
            invalid.add(part[1])
            if has_more := invalid.are_enough and not skip_bad:
                break
        batches = read_rows(rows)
        while batch := await _next(batches, request):
            async for lines in _insert_in_time(write, statement, batch):
                refused.add(lines)
            if refused.are_enough and not skip_bad:
                has_more = True
                break
    bad = invalid.count + refused.count
    first_lines = sorted(invalid.first + refused.first, key=attrgetter("number"))
    named = ({"line": line.number, **error} for line in first_lines for error in line.errors)
    errors = list(islice(named, MAX_ERRORS))
    if first_lines and not skip_bad:
        first = first_lines[0]
        at_least = "at least " if has_more else ""
        more = f" (and {at_least}{bad - 1} more bad line{'s' * (bad > 2)})" if bad > 1 else ""
        sentence = f"Nothing is imported, because of line {first.number}: {first}{more}."
        raise Problem(first.problem_type, sentence, errors=errors)
    return Imported(
        imported=good - refused.count,
        skipped=bad,
        errors=[ErrorItem.model_validate(error) for error in errors],
    )


class _BadLines:
    """How many lines are bad, and the first of them, as far as an answer can name them."""

    def __init__(self) -> None:
        self.count = 0
        self.first: list[BadLine] = []

    @property
    def are_enough(self) -> bool:
        return sum(len(line.errors) for line in self.first) >= MAX_ERRORS

    def add(self, lines: list[BadLine]) -> None:
        self.count += len(lines)
        for line in lines:
            if self.are_enough:
                return
            self.first.append(line)


async def _next(parts: Iterator[Part], request: Request) -> Part | None:
    """Have a thread make the next part, unless the client has left: ClientDisconnect."""
    part = await asyncio.to_thread(next, parts, None)
    if await request.is_disconnected():
        raise ClientDisconnect
    return part


async def _insert_in_time(
    write: Writer, statement: BatchInsert, rows: list[Row]
) -> AsyncIterator[list[BadLine]]:
    pooled = await write.pooled_connection(alone=True)
    connection = pooled.connection
    steps = insert_lines(connection, statement, rows)

    async def step() -> list[BadLine] | None:
        async with pooled.running:  # or the transaction would end before it
            return await greenlet_spawn(next, steps, None)

    try:
        while True:
            refused = await abandon_after(write.database.timeout, step())
            if refused is None:
                return
            yield refused
    except TimeoutError:
        # It is still busy with what takes too long.
        await greenlet_spawn(connection.invalidate)
        raise


def _slices(
    file: BinaryIO, model: type[SQLModel], limit: int, statement: BatchInsert, rows: IO[bytes]
) -> Iterator[tuple[int, list[BadLine]]]:
    """Read and validate lines a slice at a time, of about `SLICE` bytes, blank lines included.

    Write the rows that they stand for into a file, and return how many they are, and the bad lines.
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
        good, bad = validate(read_json_lines(_with_pauses(lines)), model)
        values = [(line, statement.values(members)) for line, members in _with_pauses(good)]
        write_rows(rows, values)
        yield len(good), bad


def _with_pauses(items: Iterable[Item]) -> Iterator[Item]:
    """Let other threads run between items: the interpreter would have them wait 5 ms each time."""
    end = time.perf_counter() + TURN
    for item in items:
        if time.perf_counter() > end:
            time.sleep(PAUSE)
            end = time.perf_counter() + TURN
        yield item


async def stream(database: Database, schema: type[Schema]) -> AsyncIterator[Schema]:
    """Return all objects, oldest first; a slow client keeps no connection to the database busy."""
    page: list[Schema] = []

    async def read(connection: PooledConnection) -> list[Schema]:
        return await greenlet_spawn(read_page, connection.connection, schema, page, PAGE_SIZE)

    while page := await abandon_after(database.timeout, database.read(read)):
        for one in page:
            yield one
