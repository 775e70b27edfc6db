"""Out classes as queries: what an Out class names is what is read.

A member that is a column is selected, a nested Out class is joined, and the lists of nested
objects come in the same statement, as rows of their own.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Column,
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    bindparam,
    cast,
    func,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.orm import RelationshipProperty
from sqlalchemy.sql.visitors import iterate, replacement_traverse
from sqlmodel import SQLModel

from orders_api.storage.row_mapper import ResultProcessors, Row, RowFactory, RowMapper
from orders_api.storage.schemas import nested_members, table_of

Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]


@dataclass(frozen=True)
class NestedList:
    """A list of nested objects."""

    name: str
    schema: type[SQLModel]
    projection: "Projection"
    relationship: RelationshipProperty[Any]


@dataclass(frozen=True)
class Projection:
    """How to read the objects of an Out class.

    With lists of children, each row is either a parent or a child. It has the number of the list
    (0 for a parent), its place in that list, the parent's key, then the columns of a parent and
    those of each list, which are empty but for its own.
    """

    key: Any
    names: tuple[str, ...]
    columns: tuple[ColumnElement[Any], ...]
    source: FromClause
    mapper: "RowMapper"
    children: tuple[NestedList, ...] = ()
    factories: dict[ResultProcessors, list[RowFactory]] = field(default_factory=dict, compare=False)

    def select(
        self,
        *conditions: ColumnElement[bool],
        order: Sequence[str] = (),
        descending: bool = False,
        limit: ColumnElement[int] | None = None,
    ) -> Query:
        """Select the objects under these conditions, in the order of these of its columns.

        A condition may be on the table of a list, if it leaves one row of that for each object.
        """

        def in_order(columns: Iterable[Any]) -> list[ColumnElement[Any]]:
            return [column.desc() if descending else column.asc() for column in columns]

        own = self.key.table
        source, move = self._search(conditions)
        labels = [f"c{i}" for i in range(len(self.columns))]
        # Without conditions PostgreSQL goes along an index, and joins no more than the page.
        if not self.children and (limit is None or not conditions or self.source is source):
            query = select(*_labelled(self.columns, labels)).select_from(self.source)
            query = query.where(*conditions).limit(limit)
            return query.order_by(*in_order(own.c[name] for name in order))
        # With them it may read all stores for a page of products. So it is made to join what is
        # nested after the limit, which is the same, as each object has just one of it.
        found = select(*own.c).select_from(source).where(*map(move, conditions)).limit(limit)
        found = found.order_by(*in_order(move(own.c[name]) for name in order))
        parents = found.cte("parents")
        columns, source, _ = _select(self.mapper.schema, parents, parents, 0)
        if not self.children:
            query = select(*_labelled(columns, labels)).select_from(source)
            return query.order_by(*in_order(parents.c[name] for name in order))
        key = parents.c[self.key.key]
        lists = [child.projection.columns for child in self.children]
        parts = [
            select(
                literal_column("0").label("list"),
                literal_column("0").label("place"),
                key.label("key"),
                *_labelled(columns, labels),
                *(_nothing(column) for columns in lists for column in columns),
            ).select_from(source)
        ]
        for number, child in enumerate(self.children, 1):
            ((_, foreign_key),) = child.relationship.local_remote_pairs or ()
            place = func.row_number().over(order_by=child.relationship.order_by or ())
            parts.append(
                select(
                    literal_column(str(number)),
                    place,
                    key,
                    *map(_nothing, self.columns),
                    *(
                        column if mine == number else _nothing(column)
                        for mine, columns in enumerate(lists, 1)
                        for column in columns
                    ),
                ).select_from(child.projection.source.join(parents, foreign_key == key))
            )
        sorted_by = in_order(literal_column(labels[self.names.index(name)]) for name in order)
        return union_all(*parts).order_by(
            literal_column("list"), *sorted_by, literal_column("place")
        )

    def _search(
        self, conditions: Iterable[ColumnElement[bool]]
    ) -> tuple[FromClause, Callable[[ColumnElement[Any]], ColumnElement[Any]]]:
        """Return what to search, and a function that moves conditions and columns there.

        A table of a list is searched if a condition names it. What it repeats of its parent's
        columns stands for them, so that an index can have all that is looked for.
        """
        own = searched = source = self.key.table
        tables = {part.table for c in conditions for part in iterate(c) if isinstance(part, Column)}
        for relationship in table_of(self.mapper.schema).__mapper__.relationships:
            if relationship.uselist and relationship.target in tables:
                ((key, foreign_key),) = relationship.local_remote_pairs
                searched = relationship.target
                source = searched.join(own, foreign_key == key)

        def replace(element: Any, **_: Any) -> Any:
            if isinstance(element, Column) and element.table is own:
                return searched.c.get(element.key)
            # A value is found by the parameter that it came with.
            return element if isinstance(element, BindParameter) else None

        def move(part: ColumnElement[Any]) -> ColumnElement[Any]:
            moved: ColumnElement[Any] = replacement_traverse(part, {}, replace)
            return moved

        return source, move

    def objects(self, rows: Iterable[Row], processors: ResultProcessors = ()) -> list[Any]:
        """Make the objects of the rows of such a query.

        `processors` are functions, by the columns' positions, that make Python's values of those in
        the rows; None where they are Python's already, and empty if all are.
        """
        if processors not in self.factories:
            mappers = [self.mapper, *(child.projection.mapper for child in self.children)]
            self.factories[processors] = [mapper.factory(processors) for mapper in mappers]
        factories = self.factories[processors]
        factory = factories[0]
        if not self.children:
            return [factory(row) for row in rows]
        found: dict[Any, Any] = {}
        for row in rows:
            number = row[0]
            if number == 0:
                found[row[2]] = factory(row)
            else:
                children = found[row[2]].__dict__[self.children[number - 1].name]
                children.append(factories[number](row))
        return list(found.values())


def _labelled(columns: Iterable[Any], labels: Iterable[str]) -> list[ColumnElement[Any]]:
    return [column.label(label) for column, label in zip(columns, labels, strict=True)]


def _nothing(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(null(), column.type)


@cache
def projection_of(schema: type[SQLModel]) -> Projection:
    relationships = table_of(schema).__mapper__.relationships
    lists = [(name, nested) for name, nested, is_list in nested_members(schema) if is_list]
    projection = _plan(schema, 3 if lists else 0)
    start = 3 + len(projection.columns)
    children = []
    for name, nested in lists:
        child = NestedList(name, nested, _plan(_listless(nested), start), relationships[name])
        children.append(child)
        start += len(child.projection.columns)
    return replace(projection, children=tuple(children))


@cache
def by_key(schema: type[SQLModel]) -> Query:
    """Select the object whose key is the parameter `key`."""
    projection = projection_of(schema)
    return projection.select(projection.key == bindparam("key"))


@cache
def by_keys(schema: type[SQLModel], count: int) -> Query:
    """Select the objects whose keys are the parameters `key_0`, `key_1` and so on."""
    projection = projection_of(schema)
    return projection.select(
        projection.key.in_([bindparam(f"key_{i}", type_=projection.key.type) for i in range(count)])
    )


def _listless(schema: type[SQLModel]) -> type[SQLModel]:
    if any(is_list for _, _, is_list in nested_members(schema)):
        raise TypeError(f"{schema.__name__} has a list, so it cannot be nested in another class")
    return schema


def _plan(schema: type[SQLModel], start: int) -> Projection:
    """Plan to read an Out class but for its lists, from rows in which it begins at `start`."""
    table = table_of(schema).__table__
    columns, source, mapper = _select(schema, table, table, start)
    names = tuple(name for name, place in mapper.members.items() if isinstance(place, int))
    return Projection(next(iter(table.primary_key)), names, tuple(columns), source, mapper)


def _select(
    schema: type[SQLModel], own: FromClause, source: FromClause, start: int
) -> tuple[list[ColumnElement[Any]], FromClause, RowMapper]:
    """Return the columns of an Out class, what they are selected from, and how to make it of them.

    `own` is its table, which stands in `source` already. Its columns come first, then those of
    the nested classes.
    """
    relationships = table_of(schema).__mapper__.relationships
    names = [name for name in schema.model_fields if name in own.c]
    columns: list[ColumnElement[Any]] = [own.c[name] for name in names]
    # In the order of the class, in which members are shown.
    members: dict[str, int | RowMapper | None] = dict.fromkeys(schema.model_fields)
    members |= {name: place for place, name in enumerate(names, start)}
    for name, other, is_list in nested_members(schema):
        if not is_list:
            target = table_of(_listless(other)).__table__.alias()
            pairs = relationships[name].local_remote_pairs
            source = source.join(target, *(own.c[a.key] == target.c[b.key] for a, b in pairs))
            more, source, members[name] = _select(other, target, source, start + len(columns))
            columns += more
    return columns, source, RowMapper(schema, members)
