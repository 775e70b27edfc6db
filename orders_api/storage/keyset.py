"""Paging by key: a page starts after the last row of the one before, found in an index.

So the hundred-thousandth page costs what the first one does, but for a column that may be NULL: its
pages after the first go along the index from the start. NULLs sort as the greatest value, on SQLite
as on PostgreSQL.
"""

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import TypeAdapter
from pydantic_core import to_json
from sqlalchemy import ColumnElement, and_, literal, or_, tuple_
from sqlalchemy.orm import InstrumentedAttribute
from sqlmodel import SQLModel


@dataclass(frozen=True)
class Keyset:
    """The order of a list: a column to sort by (or none), and the key to break ties."""

    columns: list[InstrumentedAttribute[Any]]
    sort: str

    @classmethod
    def of(cls, table: type[SQLModel], sort: str = "") -> "Keyset":
        """Order by a member, by its name or alias (a minus before it for descending), and the key.

        TypeError if the member is no column of the table.
        """
        columns = [column.key for column in table.__mapper__.primary_key]  # type: ignore[attr-defined]  # SQLModel's tables are mapped
        if sort:
            wanted = sort.removeprefix("-")
            fields = table.model_fields.items()
            names = [name for name, field in fields if wanted in {name, field.alias}]
            if not names or names[0] not in table.__table__.c:  # type: ignore[attr-defined]
                raise TypeError(f"{table.__name__} has no column {wanted} to sort by")
            columns = names + columns
        return cls([getattr(table, name) for name in columns], sort)

    @property
    def _validator(self) -> TypeAdapter[tuple[Any, ...]]:
        parts: Any = (Literal.__getitem__(self.sort), *map(_annotation, self.columns))
        return TypeAdapter(tuple.__class_getitem__(parts))  # type: ignore[arg-type]  # made at run time

    def beyond(self, cursor: str) -> ColumnElement[bool]:
        """Select the rows after `cursor`; ValueError unless `cursor_of` made it for this order."""
        values = self._decode(cursor)
        first, *others = self.columns
        if values[0] is None:
            is_after = and_(first.is_(None), self._after(others, values[1:]))
            return or_(is_after, first.is_not(None)) if self.sort.startswith("-") else is_after
        is_after = self._after(self.columns, values)
        if first.property.columns[0].nullable and not self.sort.startswith("-"):
            return or_(is_after, first.is_(None))
        return is_after

    def _after(
        self, columns: Sequence[InstrumentedAttribute[Any]], values: Sequence[Any]
    ) -> ColumnElement[bool]:
        row = tuple_(*columns)
        bound = tuple_(*(literal(v, c.type) for v, c in zip(values, columns, strict=True)))
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
