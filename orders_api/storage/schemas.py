"""What an Out class says of the database: its table, and where each of its members is read.

A member is a column of the table (one that the database computes, too), a `Count` or a `Sum` of
related rows, or it has the name of a relationship: an object, a list of objects, or a list of
values (`Each`). Any other member is a TypeError.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from sqlalchemy import BigInteger, ColumnElement, Integer, cast, func, literal_column, select
from sqlalchemy.orm import (
    InstrumentedAttribute,
    RelationshipProperty,
    column_property,
    joinedload,
    selectinload,
    undefer,
)
from sqlalchemy.orm.interfaces import LoaderOption
from sqlmodel import SQLModel

from orders_api.field_types import Count, Each, Sum
from orders_api.storage.relationships import check_join, steps_of


@dataclass(frozen=True)
class Nested:
    """A member that is read from related rows."""

    name: str
    relationship: RelationshipProperty[Any]
    is_list: bool
    is_optional: bool
    schema: type[SQLModel] | None
    """The Out class of each object; None for values of one column."""

    column: str = ""


@dataclass(frozen=True)
class Members:
    columns: tuple[str, ...]
    nested: tuple[Nested, ...]


@cache
def table_of(schema: type[SQLModel]) -> Any:
    """Return the table that an Out class shows.

    It is the class itself, or the table that derives directly from it; if there is none, that of
    its nearest base that has one. TypeError if no base has one, or two that are as near.
    """
    tables = _nearest_tables(schema)
    if len(tables) == 1:
        return tables[0]
    if not tables:
        raise TypeError(
            f"No table derives from {schema.__name__} or a base of it: name an Out class or a table"
        )
    names = " and ".join(sorted(table.__name__ for table in tables))
    raise TypeError(f"{schema.__name__} could show {names}: derive it from what only one has")


def schemas_in(annotation: Any) -> Iterator[type[SQLModel]]:
    """Return the classes in an annotation, such as `list[StoreOut]`, that show a table."""
    is_model = isinstance(annotation, type) and issubclass(annotation, SQLModel)
    if is_model and _nearest_tables(annotation):
        yield annotation
    for argument in get_args(annotation):
        yield from schemas_in(argument)


def _nearest_tables(schema: type[SQLModel]) -> list[type]:
    found: dict[type, set[type]] = {}
    # SQLModel itself leads to every table.
    for base in schema.__mro__[: schema.__mro__.index(SQLModel)]:
        tables = {c for c in (base, *base.__subclasses__()) if "__table__" in vars(c)}
        if tables and not any(issubclass(nearer, base) for nearer in found):
            found[base] = tables
    return list(set().union(*found.values()))


def out_class_of(table: type[SQLModel]) -> type[SQLModel]:
    """Return the Out class that a table derives from: the base that names most of its columns."""
    bases = [base for base in table.__bases__ if issubclass(base, SQLModel)]
    return max(bases, key=lambda base: len(base.model_fields))


@cache
def members_of(schema: type[SQLModel]) -> Members:
    """Tell where the members of an Out class are read; TypeError names what is nowhere."""
    table = table_of(schema)
    mapper = table.__mapper__
    columns, nested = [], []
    for name, field in schema.model_fields.items():
        where = f"{schema.__name__}.{name}"
        for mark in field.metadata:
            if isinstance(mark, Count | Sum):
                _add_aggregate(table, name, mark, where)
        if name in mapper.column_attrs:
            columns.append(name)
        elif name in mapper.relationships:
            nested.append(_nested(where, mapper.relationships[name], field))
        else:
            raise TypeError(f"{where} is no column, relationship, Count or Sum of {table.__name__}")
    return Members(tuple(columns), tuple(nested))


def refuse_recursion(schema: type[SQLModel], within: tuple[type[SQLModel], ...] = ()) -> None:
    """Raise TypeError for an Out class that shows itself, in a list or in what it shows."""
    within = (*within, schema)
    for nested in members_of(schema).nested:
        if nested.schema in within:
            where, again = f"{schema.__name__}.{nested.name}", nested.schema.__name__
            raise TypeError(
                f"{where} shows {again} again, without an end: name a class that does not"
            )
        if nested.schema:
            refuse_recursion(nested.schema, within)


def _nested(where: str, relationship: RelationshipProperty[Any], field: Any) -> Nested:
    annotation, name = field.annotation, relationship.key
    is_optional = get_origin(annotation) in (Union, UnionType)
    if is_optional:
        annotation = next(a for a in get_args(annotation) if a is not NoneType)
    is_list = get_origin(annotation) is list
    if is_list:
        (annotation,) = get_args(annotation)
    if is_list != bool(relationship.uselist):
        kind = "a list" if relationship.uselist else "one object"
        raise TypeError(f"{where} must be {kind}, as its relationship is")
    check_join(where, relationship)
    if is_list and not relationship.order_by:
        raise TypeError(f"{where} has no order: give its relationship an order_by")
    target = relationship.mapper.class_
    for mark in field.metadata:
        if isinstance(mark, Each) and is_list:
            if mark.column not in target.__table__.c:
                raise TypeError(f"{where}: {target.__name__} has no column {mark.column}")
            return Nested(name, relationship, is_list, is_optional, None, mark.column)
    if not (isinstance(annotation, type) and issubclass(annotation, SQLModel)):
        raise TypeError(f"{where} needs an Out class, or Each and the name of a column")
    if table_of(annotation) is not target:
        raise TypeError(f"{where}: {annotation.__name__} does not show {target.__name__}")
    return Nested(name, relationship, is_list, is_optional, annotation)


def _add_aggregate(table: Any, name: str, mark: Count | Sum, where: str) -> None:
    """Let a table have what a mark says as an attribute, which is loaded only when asked for."""
    mapper = table.__mapper__
    if name in mapper.attrs:
        if mapper.attrs[name].info.get("aggregate") != mark:
            raise TypeError(f"{where}: {table.__name__} has another {name}")
        return
    path = mark.relationship if isinstance(mark, Count) else mark.path
    relation, _, column = path.partition(".")
    if relation not in mapper.relationships:
        raise TypeError(f"{where}: {table.__name__} has no relationship {relation}")
    check_join(where, mapper.relationships[relation])
    (first, condition), *others = steps_of(mapper.relationships[relation], table.__table__)
    source, target = first, first
    value: ColumnElement[Any] = func.count()
    if isinstance(mark, Sum):
        for target, on in others:
            source = source.join(target, on)
        if column not in target.c:
            raise TypeError(f"{where}: {relation} has no column {column}")
        value = _sum(target.c[column])
    inner = {first, target, source}
    query = select(value).select_from(source).where(condition).correlate_except(*inner)
    setattr(
        table,
        name,
        column_property(query.scalar_subquery(), deferred=True, info={"aggregate": mark}),
    )


def _sum(column: ColumnElement[Any]) -> ColumnElement[Any]:
    """Sum up a column; of no rows it is zero, with as many places as the column has."""
    total = func.coalesce(func.sum(column), cast(literal_column("0"), column.type))
    # PostgreSQL's sum of BIGINT is NUMERIC.
    return cast(total, BigInteger) if isinstance(column.type, Integer) else total


@cache
def loader_options(schema: type[SQLModel]) -> tuple[LoaderOption, ...]:
    """Load an entity, to change it, with just what the Out class names."""
    return tuple(_loader_options(schema))


def _loader_options(schema: type[SQLModel]) -> Iterator[Any]:
    table, members = table_of(schema), members_of(schema)
    for name in members.columns:
        if table.__mapper__.column_attrs[name].deferred:
            yield undefer(getattr(table, name))
    for nested in members.nested:
        relationship: InstrumentedAttribute[Any] = getattr(table, nested.name)
        load = selectinload(relationship) if nested.is_list else joinedload(relationship)
        yield load.options(*(_loader_options(nested.schema) if nested.schema else ()))
