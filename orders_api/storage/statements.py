"""Statements that are kept, and their compiled forms.

A compiled statement knows how the driver takes values and returns them, by SQLAlchemy's types. Left
out is what its Connection does anew for every statement, which takes longer than the statement.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, Numeric, Uuid
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import UpdateBase
from sqlmodel import SQLModel, UTCDateTime

from orders_api.storage.projection import Query
from orders_api.storage.row_mapper import ResultProcessors

Values = Mapping[str, Any]
Executable = Query | UpdateBase
Processor = Callable[[Any], Any]


def upsert(table: type[SQLModel], is_sqlite: bool) -> postgresql.Insert | sqlite.Insert:
    """Begin an `INSERT … ON CONFLICT`, which both databases have in the same words."""
    return sqlite.insert(table) if is_sqlite else postgresql.insert(table)


class Statement:
    """A statement of SQLAlchemy's, compiled when that is first asked for."""

    def __init__(
        self, executable: Executable, dialect: Dialect, names: Sequence[str] | None = None
    ) -> None:
        """Keep it for one database; `names` are the columns to insert, by default all."""
        self.executable = executable
        self._dialect = dialect
        self._names = names

    @cached_property
    def compiled(self) -> "CompiledStatement":
        return CompiledStatement(self.executable, self._dialect, self._names)


class CompiledStatement:
    """A statement in the words of one database."""

    def __init__(
        self, executable: Executable, dialect: Dialect, names: Sequence[str] | None
    ) -> None:
        compiled: Any = executable.compile(dialect=dialect, column_keys=names)
        self.text = str(compiled)
        self.encoded = self.text.encode()
        self.reads = executable.is_select
        self.compares_texts = " MATCH " in self.text or " LIKE " in self.text
        """Whether it searches in texts, which may take long in one step of SQLite's machine."""

        self.positions = compiled.positiontup
        self.bind_names = compiled.bind_names
        self.dialect = dialect
        self.constants = {n: b.effective_value for n, b in compiled.binds.items() if not b.required}
        processors = {n: _processor(b.type, "bind", dialect) for n, b in compiled.binds.items()}
        self.binds = {name: processor for name, processor in processors.items() if processor}
        self.types = [column.type for column in executable.exported_columns]
        self._processors: dict[tuple[Any, ...], ResultProcessors] = {}
        self.unknown_types = (None,) * len(self.types)  # as SQLite's driver tells none

    def bind_values(self, values: Values) -> Any:
        """Return the values as the driver takes them."""
        if self.constants:
            values = {**self.constants, **values}
        if self.binds:
            values = {n: self.binds[n](v) if n in self.binds else v for n, v in values.items()}
        return [values[name] for name in self.positions]

    def processors(self, codes: tuple[Any, ...]) -> ResultProcessors:
        """Return how to process an answer's values, by the driver's types of its columns.

        These may change while the server runs, as `ALTER TABLE` changes them.
        """
        if codes not in self._processors:
            processors = tuple(
                _processor(type_, "result", self.dialect, code)
                for type_, code in zip(self.types, codes, strict=True)
            )
            self._processors[codes] = processors if any(processors) else ()
        return self._processors[codes]


# To make one takes longer than all else that is done for a value, and ids, times and prices recur.
@lru_cache(maxsize=10_000)
def _uuid_or_none(text: str | None) -> UUID | None:
    return None if text is None else UUID(text)


@lru_cache(maxsize=10_000)
def _time_or_none(text: str | None) -> datetime | None:
    return None if text is None else _in_utc(datetime.fromisoformat(text))


_decimals: dict[tuple[int | None, int | None], Processor] = {}
"""Of SQLite's numbers, by their places; PostgreSQL's driver returns Decimals itself."""


def _in_utc(time: datetime | None) -> datetime | None:
    """Do what `UTCDateTime` does; psycopg's times are in UTC already where the session is."""
    if time is None or time.tzinfo is UTC:
        return time
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _processor(type_: Any, kind: str, dialect: Dialect, *code: Any) -> Processor | None:
    if kind == "result" and isinstance(type_, Uuid) and not dialect.supports_native_uuid:
        return _uuid_or_none
    if kind == "result" and isinstance(type_, UTCDateTime):
        return _time_or_none if dialect.name == "sqlite" else _in_utc
    own = type_.dialect_impl(dialect)  # of another class than the type if that has a variant
    make = getattr(own, f"{kind}_processor")
    processor: Processor | None = make(dialect, *code)
    is_decimal = type(own) is Numeric and own.asdecimal
    if kind == "result" and is_decimal and dialect.name == "sqlite" and processor:
        places = own.scale, own.decimal_return_scale
        return _decimals.setdefault(places, lru_cache(maxsize=10_000)(processor))
    return processor
