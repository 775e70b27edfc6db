"""Out classes as queries: what an Out class names is what is read, no more and no less.

A member that is a column is selected, a nested Out class is joined, and a list of them takes one
more statement. Rows become Out objects without the detour over entities of the ORM, and without
validation, since the database holds what was validated on its way in.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, get_args, get_origin

from sqlalchemy import Connection, FromClause, Select, bindparam, select
from sqlalchemy.orm import InstrumentedAttribute, RelationshipProperty, joinedload, selectinload
from sqlalchemy.orm.interfaces import LoaderOption
from sqlmodel import SQLModel

Values = Sequence[Any]
Build = Callable[[Values], Any]


@cache
def table_of(shape: type[SQLModel]) -> Any:
    """Find the table that an Out class shows: the one that the class, or a base of it, leads to."""
    for base in shape.__mro__:
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


@dataclass(frozen=True)
class Children:
    """A list of nested objects, read by one statement for all their parents."""

    name: str
    statement: Select[Any]
    """Selects the key of the parent first; the parents' keys are the parameter `parents`."""

    plan: "Plan"


@dataclass(frozen=True)
class Plan:
    """How to read the objects of an Out class."""

    columns: tuple[Any, ...]
    statement: Select[Any]
    build: Build
    key: str
    children: tuple[Children, ...]

    def read(self, connection: Connection, statement: Select[Any], **values: Any) -> list[Any]:
        """Run a statement made from this plan's, and give an object for each row."""
        objects = [self.build(row) for row in connection.execute(statement, values)]
        for child in self.children if objects else ():
            lists: dict[Any, list[Any]] = {getattr(one, self.key): [] for one in objects}
            for row in connection.execute(child.statement, {"parents": list(lists)}):
                lists[row[0]].append(child.plan.build(row[1:]))
            for one in objects:
                one.__dict__[child.name] = lists[getattr(one, self.key)]
        return objects


@cache
def plan_of(shape: type[SQLModel]) -> Plan:
    table = table_of(shape)
    columns, source, build = _select(shape, table.__table__, table.__table__)
    children = tuple(
        _children(name, nested, table.__mapper__.relationships[name])
        for name, nested, is_list in _nested(shape)
        if is_list
    )
    key = table.__mapper__.primary_key[0].key
    return Plan(tuple(columns), select(*columns).select_from(source), build, key, children)


@cache
def by_key(shape: type[SQLModel]) -> Select[Any]:
    """Select the object whose key is the parameter `key`."""
    (key,) = table_of(shape).__mapper__.primary_key
    return plan_of(shape).statement.where(key == bindparam("key", type_=key.type))


def _select(
    shape: type[SQLModel], own: FromClause, source: FromClause
) -> tuple[list[Any], FromClause, Build]:
    """Give the columns of an Out class, what they are selected from, and how to build it.

    `own` is its table, which stands in `source` already.
    """
    joined = {name: nested for name, nested, is_list in _nested(shape) if not is_list}
    relationships = table_of(shape).__mapper__.relationships
    columns: list[Any] = []
    parts: list[tuple[str, int | slice, Build | None]] = []
    for name in shape.model_fields:
        start = len(columns)
        if name in joined:
            target = table_of(joined[name]).__table__.alias()
            pairs = relationships[name].local_remote_pairs
            source = source.join(target, *(own.c[a.key] == target.c[b.key] for a, b in pairs))
            more, source, build = _select(joined[name], target, source)
            columns += more
            parts.append((name, slice(start, len(columns)), build))
        elif name in own.c:
            columns.append(own.c[name])
            parts.append((name, start, None))
        else:
            parts.append((name, 0, lambda _: []))  # a list of children, which come later
    return columns, source, _builder(shape, parts)


def _builder(shape: type[SQLModel], parts: list[tuple[str, int | slice, Build | None]]) -> Build:
    def build(row: Values) -> Any:
        one = shape.__new__(shape)
        object.__setattr__(
            one,
            "__dict__",
            {name: make(row[at]) if make else row[at] for name, at, make in parts},
        )
        return one

    return build


def _children(
    name: str, nested: type[SQLModel], relationship: RelationshipProperty[Any]
) -> Children:
    plan = plan_of(nested)
    ((_, foreign_key),) = relationship.local_remote_pairs or ()
    statement = (
        plan.statement.with_only_columns(foreign_key, *plan.columns)
        .where(foreign_key.in_(bindparam("parents", expanding=True)))
        .order_by(*(relationship.order_by or ()))
    )
    return Children(name, statement, plan)
