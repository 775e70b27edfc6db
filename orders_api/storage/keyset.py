"""Paging by key: a page starts after the last row of the one before, found in an index.

So the hundred-thousandth page costs what the first one does.
"""

import base64
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import ColumnElement, literal, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlmodel import SQLModel


@dataclass(frozen=True)
class Keyset:
    """The order of a list: a column to sort by (or none), and the key to break ties."""

    columns: list[InstrumentedAttribute[Any]]
    sort: str

    @classmethod
    def of(cls, table: type[SQLModel], sort: str = "") -> "Keyset":
        keys = [getattr(table, column.key) for column in table.__mapper__.primary_key]  # type: ignore[attr-defined]  # SQLModel's tables are mapped
        names = [sort.removeprefix("-")] if sort else []
        return cls([getattr(table, name) for name in names] + keys, sort)

    @property
    def _validator(self) -> TypeAdapter[tuple[Any, ...]]:
        parts: Any = (Literal.__getitem__(self.sort), *map(_annotation, self.columns))
        return TypeAdapter(tuple.__class_getitem__(parts))  # type: ignore[arg-type]  # made at run time

    def beyond(self, cursor: str) -> ColumnElement[bool]:
        """Select the rows after `cursor`; ValueError unless `cursor_of` made it for this order."""
        values = self._decode(cursor)
        row = tuple_(*self.columns)
        bound = tuple_(*(literal(v, c.type) for v, c in zip(values, self.columns, strict=True)))
        return row < bound if self.sort.startswith("-") else row > bound

    def cursor_of(self, row: SQLModel) -> str:
        values = [getattr(row, column.key) for column in self.columns]
        text = to_json([self.sort, *values])
        return base64.urlsafe_b64encode(text).rstrip(b"=").decode()

    def _decode(self, cursor: str) -> tuple[Any, ...]:
        padded = cursor + "=" * (-len(cursor) % 4)
        # Validated as a whole: the order, then a value for each column.
        text = base64.b64decode(padded, altchars=b"-_", validate=True)
        return self._validator.validate_json(text)[1:]


def _annotation(column: InstrumentedAttribute[Any]) -> Any:
    return column.class_.model_fields[column.key].rebuild_annotation()
