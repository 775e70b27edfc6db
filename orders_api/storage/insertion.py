"""Objects of Out classes as rows: what an Out class names is what is inserted."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from operator import attrgetter
from typing import Any

from sqlalchemy import Insert, Table, bindparam, insert
from sqlalchemy.orm import RelationshipProperty
from sqlmodel import SQLModel

from orders_api.storage.projection import projection_of
from orders_api.storage.schemas import nested_members, table_of


@dataclass(frozen=True)
class Insertion:
    """Where the columns of a table get their values from when an object is inserted."""

    table: Any
    members: Mapping[str, Callable[[Any], Any]]
    inherited: Mapping[str, str]
    """The columns that are the parent's, and its members that they are."""

    defaults: Mapping[str, Callable[[], Any]]

    def row(self, one: Any, parent: Any = None) -> dict[str, Any]:
        values = {name: get(one) for name, get in self.members.items()}
        for name, member in self.inherited.items():
            values[name] = getattr(parent, member)
        for name, default in self.defaults.items():
            values[name] = default()
        return values


def rows_of(one: SQLModel) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Return the rows that an object consists of by their tables, its own table first."""
    own = _insertion(type(one), None)
    tables = [(own.table, [own.row(one)])]
    for child in projection_of(type(one)).children:
        insertion = _insertion(child.schema, child.relationship)
        rows = [insertion.row(other, one) for other in getattr(one, child.name)]
        tables.append((insertion.table, rows))
    return tables


@cache
def _insertion(schema: type[SQLModel], parent: RelationshipProperty[Any] | None) -> Insertion:
    table = table_of(schema)
    members: dict[str, Callable[[Any], Any]] = {}
    for name, _, is_list in nested_members(schema):
        if not is_list:  # the foreign key is the nested object's key
            pairs = table.__mapper__.relationships[name].local_remote_pairs
            members |= {str(a.key): attrgetter(f"{name}.{b.key}") for a, b in pairs}
    names = [column.key for column in table.__table__.columns]
    members |= {name: attrgetter(name) for name in names if name in schema.model_fields}
    inherited: dict[str, str] = {}
    if parent:  # its key, and what else there must be that no member gives
        inherited = {name: name for name in names if table.model_fields[name].is_required()}
        inherited |= {str(b.key): str(a.key) for a, b in parent.local_remote_pairs or ()}
        inherited = {name: m for name, m in inherited.items() if name not in members}
    defaults = {
        name: partial(table.model_fields[name].get_default, call_default_factory=True)
        for name in names
        if name not in members and name not in inherited
    }
    return Insertion(table.__table__, members, inherited, defaults)


@cache
def insert_of(table: Table) -> Insert:
    return insert(table)


@cache
def insert_and_tell_key(table: Table) -> Insert:
    """Insert a row whose key the database makes, and answer with the key."""
    return insert(table).returning(*table.primary_key)


@cache
def insert_together(tables: tuple[tuple[Table, tuple[str, ...], int], ...]) -> Insert:
    """Insert a number of rows with these columns into each table by one statement.

    PostgreSQL looks at foreign keys when the statement has ended, whatever it did first. The
    parameters are named as in `values_together`.
    """
    inserts = [
        insert(table).values(
            [
                {n: bindparam(f"{n}_{i}_{row}", type_=table.c[n].type) for n in names}
                for row in range(count)
            ]
        )
        for i, (table, names, count) in enumerate(tables)
    ]
    first, *others = inserts
    return first.add_cte(*(other.cte(f"insert_{i}") for i, other in enumerate(others)))


def values_together(tables: Iterable[list[dict[str, Any]]]) -> dict[str, Any]:
    return {
        f"{name}_{i}_{row}": value
        for i, rows in enumerate(tables)
        for row, values in enumerate(rows)
        for name, value in values.items()
    }
