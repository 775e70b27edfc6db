"""Out classes as statements: what an Out class names is what is read and what is inserted.

A member that is a column is selected, a nested Out class is joined, and the lists of nested
objects come in the same statement, as rows of their own. Rows become Out objects without the
detour over entities of the ORM, and without validation, since the database holds what was
validated on its way in.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache, partial
from operator import attrgetter
from typing import Any, get_args, get_origin

from sqlalchemy import (
    BindParameter,
    Column,
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
from sqlalchemy.sql.visitors import iterate, replacement_traverse
from sqlmodel import SQLModel

Row = Sequence[Any]
Build = Callable[[Row], Any]
Loads = tuple[Callable[[Any], Any] | None, ...]
Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]


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
    for name, member in shape.model_fields.items():
        is_list = get_origin(member.annotation) is list
        nested = get_args(member.annotation)[0] if is_list else member.annotation
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


@dataclass(frozen=True)
class Recipe:
    """How to make an object of an Out class of a row."""

    shape: type[SQLModel]
    members: Mapping[str, "int | Recipe | None"]
    """Where each member is: in a column, in a nested object, or (a list) in rows of its own."""

    def build(self, loads: Loads) -> Build:
        """Write a function: it takes half the time that a loop over the members would."""
        known: dict[str, Any] = {"make": _make}
        # The source has numbers, and names of members of our own classes.
        build: Build = eval(f"lambda row: {self._source(loads, known)}", known)  # noqa: S307
        return build

    def _source(self, loads: Loads, known: dict[str, Any]) -> str:
        shape = f"shape_{len(known)}"
        known[shape] = self.shape
        members = []
        for name, place in self.members.items():
            if place is None:
                value = "[]"
            elif isinstance(place, Recipe):
                value = place._source(loads, known)
            elif loads and loads[place]:
                known[f"load_{place}"] = loads[place]
                value = f"load_{place}(row[{place}])"
            else:
                value = f"row[{place}]"
            members.append(f"{name!r}: {value}")
        return f"make({shape}, {{{', '.join(members)}}})"


def _make(shape: type[SQLModel], values: dict[str, Any]) -> SQLModel:
    """Make an object without validation, as `model_construct` does, but five times as fast."""
    one: SQLModel = _new(shape)
    _set(one, "__dict__", values)
    _set(one, "__pydantic_fields_set__", set())
    _set(one, "__pydantic_extra__", None)
    _set(one, "__pydantic_private__", None)
    return one


_new: Any = object.__new__
_set = object.__setattr__


def _labelled(columns: Iterable[Any], labels: Iterable[str]) -> list[ColumnElement[Any]]:
    return [column.label(label) for column, label in zip(columns, labels, strict=True)]


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
    if any(is_list for _, _, is_list in _nested(shape)):
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
    for name, other, is_list in _nested(shape):
        if not is_list:
            target = table_of(_listless(other)).__table__.alias()
            pairs = relationships[name].local_remote_pairs
            source = source.join(target, *(own.c[a.key] == target.c[b.key] for a, b in pairs))
            more, source, members[name] = _select(other, target, source, start + len(columns))
            columns += more
    return columns, source, Recipe(shape, members)


# --- Inserting ----------------------------------------------------------------------------


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
