"""Many objects in one body: JSON lines come in and go out, slice by slice."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from itertools import islice
from operator import attrgetter
from typing import Annotated, Any, BinaryIO, TypeVar

from fastapi import Depends, Request
from pydantic import BaseModel, Field
from sqlalchemy.util import greenlet_spawn
from sqlmodel import SQLModel
from starlette.requests import ClientDisconnect

from orders_api.problems import TOO_LARGE, ErrorItem, Problem
from orders_api.storage.batches import Row, read_page
from orders_api.storage.deadline import abandon_after
from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.web.lines import BadLine, insert_lines, read_json_lines, validate
from orders_api.web.sessions import Writer
from orders_api.web.validation import MAX_ERRORS

Schema = TypeVar("Schema", bound=SQLModel)
MEDIA_TYPES = ["application/jsonl", "application/x-ndjson"]
FEW = 100  # objects that are read at a time, so that other requests need not wait for long
SLICE = 16 * 1024  # bytes of lines that are read and inserted at a time, for the same reason
MAX_LINES = 200  # of a slice that are not blank


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
    while skip_bad or len(errors) < MAX_ERRORS:
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
        errors += islice(named, MAX_ERRORS - len(errors))
    if first and not skip_bad:
        at_least = "at least " if has_more else ""
        more = f" (and {at_least}{skipped - 1} more bad lines)" if skipped > 1 else ""
        sentence = f"Nothing is imported, because of line {first.number}: {first}{more}."
        raise Problem(first.problem_type, sentence, errors=errors)
    return Imported(
        imported=imported,
        skipped=skipped,
        errors=[ErrorItem.model_validate(error) for error in errors],
    )


async def _insert_in_time(
    write: Writer, seconds: float, table: type[SQLModel], rows: list[Row]
) -> list[BadLine]:
    connection = (await write.pooled_connection()).connection
    try:
        return await abandon_after(
            seconds, greenlet_spawn(list, insert_lines(connection, table, rows))
        )
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


async def stream(database: Database, schema: type[Schema]) -> AsyncIterator[Schema]:
    """Return all objects, oldest first; a slow client keeps no connection to the database busy."""
    page: list[Schema] = []

    async def read(connection: PooledConnection) -> list[Schema]:
        return await greenlet_spawn(read_page, connection.connection, schema, page, FEW)

    while page := await abandon_after(database.timeout, database.read(read)):
        for one in page:
            yield one
