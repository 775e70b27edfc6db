"""What is selected for an Out class: its columns, those of its nested objects, and its lists."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from operator import itemgetter
from typing import Any

from sqlalchemy import ColumnElement, FromClause, cast, null
from sqlalchemy.types import NullType
from sqlmodel import SQLModel

from orders_api.storage.relationships import moved, steps_of
from orders_api.storage.row_mapper import ResultProcessors, RowFactory, RowMapper
from orders_api.storage.schemas import Nested, members_of, table_of


@dataclass(frozen=True)
class NestedList:
    """A list, and where its rows belong."""

    holder: int
    """The number of the list in whose items it is; 0 for the objects themselves."""

    path: str
    """Where it is in an item of its holder, such as `product.tags`."""

    hops: tuple[Nested, ...]
    """The way to its rows from the objects' own table."""

    columns: tuple[ColumnElement[Any], ...]
    mapper: RowMapper | None
    """None for a list of values of one column."""

    start: int
    """Where its columns begin in a row."""

    keys: range
    """Where in a row the key of an item is, if there are lists in it."""

    order: tuple[ColumnElement[Any], ...]
    """What it is ordered by; the values of that come last in its columns."""

    def factory(self, processors: ResultProcessors) -> RowFactory:
        if self.mapper:
            return self.mapper.factory(processors)
        value, process = itemgetter(self.start), processors and processors[self.start]
        return (lambda row: process(value(row))) if process else value


Found = tuple[int, str, tuple[Nested, ...]]


def lists_of(schema: type[SQLModel]) -> list[Found]:
    """Find the lists of an Out class, of its nested objects and of the items of its lists."""
    found: list[Found] = []

    def find(schema: type[SQLModel], holder: int, path: str, hops: tuple[Nested, ...]) -> None:
        for nested in members_of(schema).nested:
            way = (*hops, nested)
            if nested.is_list:
                found.append((holder, path + nested.name, way))
                if nested.schema:
                    find(nested.schema, len(found), "", way)
            elif nested.schema:
                find(nested.schema, holder, f"{path}{nested.name}.", way)

    find(schema, 0, "", ())
    return found


def key_of(table: FromClause) -> list[ColumnElement[Any]]:
    return list(table.primary_key)


def read_columns(
    schema: type[SQLModel], own: FromClause, source: FromClause, start: int, outer: bool = False
) -> tuple[list[ColumnElement[Any]], FromClause, RowMapper]:
    """Return the columns of an Out class, what they are selected from, and how to make it of them.

    `own` is its table, which stands in `source` already. Its columns come first, then those of
    the nested classes. Lists are left out.
    """
    table, members = table_of(schema), members_of(schema)
    columns: list[ColumnElement[Any]] = []
    for name in members.columns:
        (column, *_) = table.__mapper__.column_attrs[name].columns
        columns.append(moved(column, {table.__table__: own}))
    # In the order of the class, in which members are shown.
    places: dict[str, int | RowMapper | None] = dict.fromkeys(schema.model_fields)
    places |= {name: place for place, name in enumerate(members.columns, start)}
    for nested in members.nested:
        if nested.schema is None or nested.is_list:
            continue
        is_outer = outer or nested.is_optional
        target = own
        for target, on in steps_of(nested.relationship, own):
            source = source.join(target, on, isouter=is_outer)
        at = start + len(columns)
        more, source, mapper = read_columns(nested.schema, target, source, at, is_outer)
        columns += more
        if nested.is_optional:
            mapper = replace(mapper, presence=start + len(columns))
            columns.append(key_of(target)[0])
        places[nested.name] = mapper
    return columns, source, RowMapper(schema, places)


def labelled(columns: Iterable[Any], labels: Iterable[str]) -> list[ColumnElement[Any]]:
    return [column.label(label) for column, label in zip(columns, labels, strict=True)]


def nothing(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return null() if isinstance(column.type, NullType) else cast(null(), column.type)
