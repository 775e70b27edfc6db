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

from orders_api.storage.row_mapper import Build, Loads, Recipe, Row
from orders_api.storage.schemas import nested_members, table_of

Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]


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
    recipe: "Recipe"
    children: tuple[Children, ...] = ()
    builds: dict[Loads, list[Build]] = field(default_factory=dict, compare=False)

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
        columns, source, _ = _select(self.recipe.shape, parents, parents, 0)
        if not self.children:
            query = select(*_labelled(columns, labels)).select_from(source)
            return query.order_by(*in_order(parents.c[name] for name in order))
        key = parents.c[self.key.key]
        lists = [child.plan.columns for child in self.children]
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
                ).select_from(child.plan.source.join(parents, foreign_key == key))
            )
        sorted_by = in_order(literal_column(labels[self.names.index(name)]) for name in order)
        return union_all(*parts).order_by(
            literal_column("list"), *sorted_by, literal_column("place")
        )

    def _search(
        self, conditions: Iterable[ColumnElement[bool]]
    ) -> tuple[FromClause, Callable[[ColumnElement[Any]], ColumnElement[Any]]]:
        """Give what to search, and a function that moves conditions and columns there.

        A table of a list is searched if a condition names it. What it repeats of its parent's
        columns stands for them, so that an index can have all that is looked for.
        """
        own = searched = source = self.key.table
        tables = {part.table for c in conditions for part in iterate(c) if isinstance(part, Column)}
        for relationship in table_of(self.recipe.shape).__mapper__.relationships:
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

    def objects(self, rows: Iterable[Row], loads: Loads = ()) -> list[Any]:
        """Make the objects of the rows of such a query.

        `loads` are functions, by the columns' positions, that make Python's values of those in
        the rows; None where they are Python's already, and empty if all are.
        """
        if loads not in self.builds:
            recipes = [self.recipe, *(child.plan.recipe for child in self.children)]
            self.builds[loads] = [recipe.build(loads) for recipe in recipes]
        builds = self.builds[loads]
        build = builds[0]
        if not self.children:
            return [build(row) for row in rows]
        found: dict[Any, Any] = {}
        for row in rows:
            number = row[0]
            if number == 0:
                found[row[2]] = build(row)
            else:
                children = found[row[2]].__dict__[self.children[number - 1].name]
                children.append(builds[number](row))
        return list(found.values())


def _labelled(columns: Iterable[Any], labels: Iterable[str]) -> list[ColumnElement[Any]]:
    return [column.label(label) for column, label in zip(columns, labels, strict=True)]


def _nothing(column: ColumnElement[Any]) -> ColumnElement[Any]:
    return cast(null(), column.type)


@cache
def plan_of(shape: type[SQLModel]) -> Plan:
    relationships = table_of(shape).__mapper__.relationships
    lists = [(name, nested) for name, nested, is_list in nested_members(shape) if is_list]
    plan = _plan(shape, 3 if lists else 0)
    start = 3 + len(plan.columns)
    children = []
    for name, nested in lists:
        child = Children(name, nested, _plan(_listless(nested), start), relationships[name])
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


def _listless(shape: type[SQLModel]) -> type[SQLModel]:
    if any(is_list for _, _, is_list in nested_members(shape)):
        raise TypeError(f"{shape.__name__} has a list, so it cannot be nested in another class")
    return shape


def _plan(shape: type[SQLModel], start: int) -> Plan:
    """Plan to read an Out class but for its lists, from rows in which it begins at `start`."""
    table = table_of(shape).__table__
    columns, source, recipe = _select(shape, table, table, start)
    names = tuple(name for name, place in recipe.members.items() if isinstance(place, int))
    return Plan(next(iter(table.primary_key)), names, tuple(columns), source, recipe)


def _select(
    shape: type[SQLModel], own: FromClause, source: FromClause, start: int
) -> tuple[list[ColumnElement[Any]], FromClause, Recipe]:
    """Give the columns of an Out class, what they are selected from, and how to make it of them.

    `own` is its table, which stands in `source` already. Its columns come first, then those of
    the nested classes.
    """
    relationships = table_of(shape).__mapper__.relationships
    names = [name for name in shape.model_fields if name in own.c]
    columns: list[ColumnElement[Any]] = [own.c[name] for name in names]
    # In the order of the class, in which members are shown.
    members: dict[str, int | Recipe | None] = dict.fromkeys(shape.model_fields)
    members |= {name: place for place, name in enumerate(names, start)}
    for name, other, is_list in nested_members(shape):
        if not is_list:
            target = table_of(_listless(other)).__table__.alias()
            pairs = relationships[name].local_remote_pairs
            source = source.join(target, *(own.c[a.key] == target.c[b.key] for a, b in pairs))
            more, source, members[name] = _select(other, target, source, start + len(columns))
            columns += more
    return columns, source, Recipe(shape, members)
