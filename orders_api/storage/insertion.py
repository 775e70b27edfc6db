"""Objects of Out classes as rows: what an Out class names is what is inserted.

Nested objects are there already, and so is what is behind a link table: of those only the keys are
taken, which are looked up for a list of values. What the database makes (an increasing key, a
server default, a computed column) is left to it where the object has None.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from operator import attrgetter
from typing import Any

from sqlalchemy import Column, Insert, Table, bindparam, insert, literal_column, select
from sqlalchemy.orm import RelationshipProperty
from sqlmodel import SQLModel

from orders_api.storage.schemas import Nested, members_of, table_of

Target = Table | Nested
"""Where rows are inserted; a list of values stands for its link table."""

VALUE = "linked_value"  # the parameter, which is no column

Rows = dict[tuple[Target, tuple[str, ...]], list[dict[str, Any]]]


@dataclass(frozen=True)
class Insertion:
    """Where the columns of a table get their values from when an object is inserted."""

    table: Any
    members: Mapping[str, Callable[[Any], Any]]
    inherited: Mapping[str, str]
    """The columns that are the parent's, and which of its columns they are."""

    defaults: Mapping[str, Callable[[], Any]]
    server_made: tuple[str, ...] = ()
    """The columns that the database fills if there is no value."""

    lists: tuple[Nested, ...] = ()

    def row(self, one: Any, parent: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """Return the row of an object; `parent` is the row of that in whose list it is."""
        values = {name: get(one) for name, get in self.members.items()}
        if parent:
            for name, column in self.inherited.items():
                values[name] = parent[column]
        for name, default in self.defaults.items():
            values[name] = default()
        for name in self.server_made:
            if values.get(name) is None:
                values.pop(name, None)
        return values


def rows_of(one: SQLModel) -> list[tuple[Target, list[dict[str, Any]]]]:
    """Return the rows that an object consists of, by target and columns, its own row first."""
    found: Rows = {}
    _add_rows(found, _insertion(type(one)), one, None)
    return [(target, rows) for (target, _), rows in found.items()]


def _add_rows(
    found: Rows, insertion: Insertion, one: Any, parent: Mapping[str, Any] | None
) -> None:
    row = insertion.row(one, parent)
    found.setdefault((insertion.table, tuple(row)), []).append(row)
    for nested in insertion.lists:
        for item in getattr(one, nested.name) or ():
            _add_rows(found, _insertion_of_item(nested), item, row)


@cache
def _insertion_of_item(nested: Nested) -> Insertion:
    relationship = nested.relationship
    if relationship.secondary is not None:  # a row of the link table
        inherited = {str(b.key): str(a.key) for a, b in relationship.synchronize_pairs}
        if nested.schema is None:
            return Insertion(nested, {VALUE: lambda value: value}, inherited, {})
        pairs = relationship.secondary_synchronize_pairs or ()
        members = {str(b.key): attrgetter(str(a.key)) for a, b in pairs}
        return Insertion(relationship.secondary, members, inherited, {})
    if nested.schema:
        return _insertion(nested.schema, relationship)
    return _complete(relationship.mapper.class_, {nested.column: lambda value: value}, relationship)


@cache
def _insertion(
    schema: type[SQLModel], parent: RelationshipProperty[Any] | None = None
) -> Insertion:
    table, own = table_of(schema), members_of(schema)
    members: dict[str, Callable[[Any], Any]] = {}
    for nested in own.nested:
        if not nested.is_list:  # the foreign key is the nested object's key
            for a, b in nested.relationship.local_remote_pairs or ():
                members[str(a.key)] = partial(_key_of_nested, nested.name, str(b.key))
    members |= {name: attrgetter(name) for name in own.columns}
    lists = tuple(nested for nested in own.nested if nested.is_list)
    return _complete(table, members, parent, lists)


def _key_of_nested(name: str, key: str, one: Any) -> Any:
    nested = getattr(one, name)
    return None if nested is None else getattr(nested, key)


def _complete(
    table: Any,
    members: Mapping[str, Callable[[Any], Any]],
    parent: RelationshipProperty[Any] | None,
    lists: tuple[Nested, ...] = (),
) -> Insertion:
    """Return the insertion into a table, with defaults for the columns that are no members."""
    columns = [column for column in table.__table__.columns if column.computed is None]
    names = [column.key for column in columns]
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
    return Insertion(
        table.__table__,
        {name: member for name, member in members.items() if name in names},
        inherited,
        defaults,
        tuple(column.key for column in columns if _is_server_made(column)),
        lists,
    )


def _is_server_made(column: Column[Any]) -> bool:
    """Tell whether the database makes a value where none is inserted."""
    return column.server_default is not None or column is column.table.autoincrement_column


@cache
def must_be_read_back(schema: type[SQLModel]) -> bool:
    """Tell whether an Out class shows what is not known from the object that is inserted.

    That is what the database makes, but for the object's own key, and the order of what is linked.
    """
    own = members_of(schema)
    columns = [table_of(schema).__mapper__.column_attrs[name].columns[0] for name in own.columns]
    return any(
        not isinstance(column, Column) or column.server_default is not None for column in columns
    ) or any(
        nested.schema is None
        or (nested.is_list and nested.relationship.secondary is not None)
        or (nested.is_list and _shows_key_made_by_server(nested.schema))
        or must_be_read_back(nested.schema)
        for nested in own.nested
    )


def _shows_key_made_by_server(schema: type[SQLModel]) -> bool:
    column = table_of(schema).__table__.autoincrement_column
    return column is not None and column.key in members_of(schema).columns


@cache
def insert_of(target: Target) -> Insert:
    """Insert rows with these columns, and answer nothing."""
    if isinstance(target, Nested):
        return insert(_table(target)).values(_lookup(target, VALUE)).inline()
    return insert(target).inline()


@cache
def insert_and_tell_key(table: Table) -> Insert:
    """Insert a row whose key the database makes, and answer with the key."""
    return insert(table).returning(*table.primary_key)


def _table(target: Target) -> Any:
    return target.relationship.secondary if isinstance(target, Nested) else target


def _lookup(nested: Nested, name: str) -> dict[str, Any]:
    """Link with the first row that has the value that is the parameter `name`.

    Without such a row it is NULL, which the database refuses.
    """
    columns = nested.relationship.target.c
    value = bindparam(name, type_=columns[nested.column].type)
    return {
        str(b.key): select(a)
        .where(columns[nested.column] == value)
        .order_by(a)
        .limit(literal_column("1"))
        .scalar_subquery()
        for a, b in nested.relationship.secondary_synchronize_pairs or ()
    }
