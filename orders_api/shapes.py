"""Out classes as statements: what an Out class names is what is read and what is inserted.

A member that is a column is selected, a nested Out class is joined, and the lists of nested
objects come in the same statement, as rows of their own. Rows become Out objects without the
detour over entities of the ORM, and without validation, since the database holds what was
validated on its way in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from operator import attrgetter
from typing import Any, get_args, get_origin

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Insert,
    Select,
    Table,
    bindparam,
    cast,
    func,
    insert,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.orm import InstrumentedAttribute, RelationshipProperty, joinedload, selectinload
from sqlalchemy.orm.interfaces import LoaderOption
from sqlmodel import SQLModel

Row = Sequence[Any]
Build = Callable[[Row], Any]
Query = Select[Any] | CompoundSelect[Any]


@cache
def table_of(shape: type[SQLModel]) -> Any:
    """Find the table that an Out class shows: the one that the class, or a base of it, leads to.

    An In class shows none: TypeError.
    """
    # SQLModel itself leads to every table.
    for base in shape.__mro__[: shape.__mro__.index(SQLModel)]:
        for candidate in (base, *base.__subclasses__()):
            if isinstance(candidate, type) and "__table__" in vars(candidate):
                return candidate
    raise TypeError(f"No table derives from {shape.__name__} or a base of it")


def _nested(shape: type[SQLModel]) -> Iterator[tuple[str, type[SQLModel], bool]]:
    """Give the name and the class of each nested member, and whether it is a list of them."""
    for name, field in shape.model_fields.items():
        is_list = get_origin(field.annotation) is list
        nested = get_args(field.annotation)[0] if is_list else field.annotation
        if isinstance(nested, type) and issubclass(nested, SQLModel):
            yield name, nested, is_list


@cache
def loads(shape: type[SQLModel]) -> tuple[LoaderOption, ...]:
    """Load an entity, to change it, with just the related rows that the Out class names."""
    return tuple(_loads(shape, table_of(shape)))


def _loads(shape: type[SQLModel], table: type[SQLModel]) -> Iterator[Any]:
    for name, nested, is_list in _nested(shape):
        relationship: InstrumentedAttribute[Any] = getattr(table, name)
        load = selectinload(relationship) if is_list else joinedload(relationship)
        yield load.options(*_loads(nested, table_of(nested)))


# --- Reading ------------------------------------------------------------------------------


@dataclass(frozen=True)
class Children:
    """A list of nested objects."""

    name: str
    shape: type[SQLModel]
    plan: "Plan"
    relationship: RelationshipProperty[Any]


@dataclass(frozen=True)
class Plan:
    """How to read the objects of an Out class.

    With lists of children, each row is either a parent or a child. It has the number of the list
    (0 for a parent), its place in that list, the parent's key, then the columns of a parent and
    those of each list, which are empty but for its own.
    """

    key: Any
    names: tuple[str, ...]
    columns: tuple[ColumnElement[Any], ...]
    source: FromClause
    build: Build
    children: tuple[Children, ...]

    def select(
        self,
        *conditions: ColumnElement[bool],
        order: Sequence[str] = (),
        descending: bool = False,
        limit: ColumnElement[int] | None = None,
    ) -> Query:
        """Select the objects under these conditions, in the order of these of its columns."""

        def in_order(columns: Iterable[Any]) -> list[ColumnElement[Any]]:
            return [column.desc() if descending else column.asc() for column in columns]

        labels = [f"c{i}" for i in range(len(self.columns))]
        columns = [c.label(label) for c, label in zip(self.columns, labels, strict=True)]
        query = select(*columns).select_from(self.source).where(*conditions).limit(limit)
        query = query.order_by(*in_order(self.key.table.c[name] for name in order))
        if not self.children:
            return query
        parents = query.add_columns(self.key.label("key")).cte("parents")
        own = [parents.c[label] for label in labels]
        lists = [child.plan.columns for child in self.children]
        parts = [
            select(
                literal_column("0").label("list"),
                literal_column("0").label("place"),
                parents.c.key.label("key"),
                *(column.label(label) for column, label in zip(own, labels, strict=True)),
                *(_nothing(column) for columns in lists for column in columns),
            )
        ]
        for number, child in enumerate(self.children, 1):
            ((_, foreign_key),) = child.relationship.local_remote_pairs or ()
            place = func.row_number().over(order_by=child.relationship.order_by or ())
            parts.append(
                select(
                    literal_column(str(number)),
                    place,
                    parents.c.key,
                    *(_nothing(column) for column in own),
                    *(
                        column if mine == number else _nothing(column)
                        for mine, columns in enumerate(lists, 1)
                        for column in columns
                    ),
                ).select_from(child.plan.source.join(parents, foreign_key == parents.c.key))
            )
        sorted_by = in_order(literal_column(labels[self.names.index(name)]) for name in order)
        return union_all(*parts).order_by(
            literal_column("list"), *sorted_by, literal_column("place")
        )

    def objects(self, rows: Iterable[Row]) -> list[Any]:
        """Make the objects of the rows of such a query."""
        if not self.children:
            return [self.build(row) for row in rows]
        found: dict[Any, Any] = {}
        for row in rows:
            number, _, key = row[:3]
            if number == 0:
                found[key] = parent = self.build(row)
                parent.__dict__.update({child.name: [] for child in self.children})
            else:
                child = self.children[number - 1]
                found[key].__dict__[child.name].append(child.plan.build(row))
        return list(found.values())


def _nothing(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(null(), column.type)


@cache
def plan_of(shape: type[SQLModel]) -> Plan:
    relationships = table_of(shape).__mapper__.relationships
    lists = [(name, nested) for name, nested, is_list in _nested(shape) if is_list]
    plan = _plan(shape, 3 if lists else 0)
    start = 3 + len(plan.columns)
    children = []
    for name, nested in lists:
        child = Children(name, nested, _plan(nested, start), relationships[name])
        children.append(child)
        start += len(child.plan.columns)
    return replace(plan, children=tuple(children))


@cache
def by_key(shape: type[SQLModel]) -> Query:
    """Select the object whose key is the parameter `key`."""
    plan = plan_of(shape)
    return plan.select(plan.key == bindparam("key"))


@cache
def by_keys(shape: type[SQLModel], count: int) -> Query:
    """Select the objects whose keys are the parameters `key_0`, `key_1` and so on."""
    plan = plan_of(shape)
    return plan.select(
        plan.key.in_([bindparam(f"key_{i}", type_=plan.key.type) for i in range(count)])
    )


def _plan(shape: type[SQLModel], start: int) -> Plan:
    """Plan to read an Out class without its lists, from rows in which it begins at `start`."""
    table = table_of(shape).__table__
    columns, source, build = _select(shape, table, table, start)
    names = tuple(name for name in shape.model_fields if name in table.c)
    return Plan(next(iter(table.primary_key)), names, tuple(columns), source, build, ())


def _select(
    shape: type[SQLModel], own: FromClause, source: FromClause, start: int
) -> tuple[list[ColumnElement[Any]], FromClause, Build]:
    """Give the columns of an Out class, what they are selected from, and how to build it.

    `own` is its table, which stands in `source` already. Its columns come first, then those of
    the nested classes.
    """
    relationships = table_of(shape).__mapper__.relationships
    names = [name for name in shape.model_fields if name in own.c]
    columns: list[ColumnElement[Any]] = [own.c[name] for name in names]
    nested: list[tuple[str, Build]] = []
    end = start + len(columns)
    for name, other, is_list in _nested(shape):
        if not is_list:
            target = table_of(other).__table__.alias()
            pairs = relationships[name].local_remote_pairs
            source = source.join(target, *(own.c[a.key] == target.c[b.key] for a, b in pairs))
            more, source, build_nested = _select(other, target, source, start + len(columns))
            columns += more
            nested.append((name, build_nested))

    blank = dict.fromkeys(shape.model_fields)  # members are shown in this order

    def build(row: Row) -> Any:
        values = blank.copy()
        values.update(zip(names, row[start:end], strict=True))
        for name, build_other in nested:
            values[name] = build_other(row)
        one = shape.__new__(shape)
        object.__setattr__(one, "__dict__", values)
        return one

    return columns, source, build


# --- Inserting ----------------------------------------------------------------------------


@dataclass(frozen=True)
class Insertion:
    """Where the columns of a table get their values from when an object is inserted."""

    table: Any
    members: Mapping[str, Callable[[Any], Any]]
    inherited: Mapping[str, str]
    """The foreign keys to the parent, and the parent's members that they are."""

    defaults: Mapping[str, Any]

    def row(self, one: Any, parent: Any = None) -> dict[str, Any]:
        values = {name: get(one) for name, get in self.members.items()}
        for name, member in self.inherited.items():
            values[name] = getattr(parent, member)
        values.update(self.defaults)
        return values


def rows_of(one: SQLModel) -> list[tuple[Any, list[dict[str, Any]]]]:
    """Give the rows that an object consists of by their tables, its own table first."""
    own = _insertion(type(one), None)
    tables = [(own.table, [own.row(one)])]
    for child in plan_of(type(one)).children:
        insertion = _insertion(child.shape, child.relationship)
        rows = [insertion.row(other, one) for other in getattr(one, child.name)]
        tables.append((insertion.table, rows))
    return tables


@cache
def _insertion(shape: type[SQLModel], parent: RelationshipProperty[Any] | None) -> Insertion:
    table = table_of(shape)
    members: dict[str, Callable[[Any], Any]] = {}
    for name, _, is_list in _nested(shape):
        if not is_list:  # the foreign key is the nested object's key
            pairs = table.__mapper__.relationships[name].local_remote_pairs
            members |= {str(a.key): attrgetter(f"{name}.{b.key}") for a, b in pairs}
    names = [column.key for column in table.__table__.columns]
    members |= {name: attrgetter(name) for name in names if name in shape.model_fields}
    pairs = parent.local_remote_pairs if parent else []
    inherited = {str(b.key): str(a.key) for a, b in pairs or () if b.key not in members}
    defaults = {
        name: table.model_fields[name].get_default(call_default_factory=True)
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
