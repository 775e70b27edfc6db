"""Files of lines: CSV and JSON lines, read and written, and JSON arrays, which are read whole."""

import csv
import io
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any, BinaryIO

from sqlmodel import SQLModel

from orders_api.problems import MALFORMED
from orders_api.web.lines import BYTE_ORDER_MARK, BadLine, Line, read_json_lines
from orders_api.web.strict_json import parse_json

WHOLE = re.compile(r"-?[0-9]{1,18}", re.ASCII)


class UnreadableError(Exception):
    """The input as a whole is not what it is said to be."""


def read(file: BinaryIO, form: str, model: type[SQLModel]) -> Iterator[Line | BadLine]:
    """Read `csv`, `json` or `jsonl`; UnreadableError if it is something else as a whole."""
    if form == "csv":
        return read_csv(file, model)
    return read_json_array(file) if form == "json" else read_json_lines(enumerate(file, 1))


def read_json_array(file: BinaryIO) -> Iterator[Line | BadLine]:
    """Read an array whole; its elements count as lines."""
    try:
        values = parse_json(b"".join(_without_byte_order_mark(file)))
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
    texts = (text.decode("utf-8", "surrogateescape") for text in _without_byte_order_mark(file))
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


def _without_byte_order_mark(file: Iterable[bytes]) -> Iterator[bytes]:
    for number, text in enumerate(file):
        yield text if number else text.removeprefix(BYTE_ORDER_MARK)


def to_json_lines(page: Iterable[SQLModel]) -> bytes:
    return b"".join(one.model_dump_json(by_alias=True).encode() + b"\n" for one in page)


def to_csv(rows: Iterable[Iterable[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()
