"""Out classes as queries: what an Out class names is what is read.

A member that is a column is selected, a nested Out class is joined, and the lists come in the same
statement, as rows of their own, whether they are in the object itself, in a nested object or in the
items of another list.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from operator import attrgetter, itemgetter
from typing import Any

from sqlalchemy import (
    ColumnElement,
    CompoundSelect,
    FromClause,
    Select,
    and_,
    bindparam,
    func,
    literal_column,
    select,
    union_all,
)
from sqlmodel import SQLModel

from orders_api.storage.relationships import bare, columns_in, moved, order_of, replaced, steps_of
from orders_api.storage.row_mapper import ResultProcessors, Row, RowFactory, RowMapper
from orders_api.storage.schemas import refuse_recursion, table_of
from orders_api.storage.selection import (
    NestedList,
    key_of,
    labelled,
    lists_of,
    nothing,
    read_columns,
)

Getter = Callable[[Any], Any]
FIRST = 2  # where the columns begin in a row of a query with lists
Query = Select[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]]
Conditions = Sequence[ColumnElement[bool]]


@dataclass(frozen=True)
class Projection:
    """How to read the objects of an Out class.

    With lists, each row is either an object or an item of a list. It has the number of the list
    (0 for an object), the object's key, then the columns of an object and those of each list, with
    what that is ordered by. They are NULL but for the row's own and, in an item of a list within a
    list, the keys of the items around it. An order with its totals is, on PostgreSQL:

        SELECT 0 AS list, parents.order_id AS key,
            parents.order_id AS c0, parents.date AS c1, parents.coupon_id AS c2,
            parents.coupon_code AS c3, parents.percent_off AS c4, CAST(NULL AS VARCHAR(3)) AS c5,
            CAST(NULL AS NUMERIC(12, 2)) AS c6, CAST(NULL AS NUMERIC(12, 2)) AS c7,
            CAST(NULL AS NUMERIC(12, 2)) AS c8, CAST(NULL AS VARCHAR(3)) AS c9
        FROM orders AS parents WHERE parents.order_id = $1::UUID
        UNION ALL SELECT 1, parents.order_id,
            CAST(NULL AS UUID) AS anon_1, CAST(NULL AS TIMESTAMP WITH TIME ZONE) AS anon__1,
            CAST(NULL AS UUID) AS anon__2, CAST(NULL AS VARCHAR) AS anon__3,
            CAST(NULL AS INTEGER) AS anon__4,
            order_totals_1.currency, order_totals_1.subtotal, order_totals_1.discount,
            order_totals_1.total, order_totals_1.currency AS currency__1
        FROM orders AS parents JOIN order_totals AS order_totals_1
            ON parents.order_id = order_totals_1.order_id AND order_totals_1.order_id = $1::UUID
        WHERE parents.order_id = $1::UUID
        ORDER BY list, c9
    """

    key: Any
    names: tuple[str, ...]
    columns: tuple[ColumnElement[Any], ...]
    source: FromClause
    mapper: RowMapper
    lists: tuple[NestedList, ...] = ()
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
        own = self.key.table

        def in_order(columns: Iterable[Any]) -> list[ColumnElement[Any]]:
            found = [column.desc() if descending else column.asc() for column in columns]
            for place, (name, by) in enumerate(zip(order, found, strict=True)):
                if own.c[name].nullable:  # SQLite has NULLs first, if it is not told otherwise
                    found[place] = by.nulls_first() if descending else by.nulls_last()
            return found

        source, move = self._search(conditions)
        labels = [_label(place) for place in range(FIRST, FIRST + len(self.columns))]
        # Without conditions PostgreSQL goes along an index, and joins no more than the page.
        if not self.lists and (limit is None or not conditions or self.source is source):
            query = select(*labelled(self.columns, labels)).select_from(self.source)
            query = query.where(*conditions).limit(limit)
            return query.order_by(*in_order(own.c[name] for name in order))
        # With them it may read all stores for a page of products. So it is made to join what is
        # nested after the limit, which is the same, as each object has just one of it. By key alone
        # each part looks its parents up, which takes SQLite less time than a CTE.
        by_key = [c for c in conditions if limit is None and {*columns_in(c)} == {self.key}]
        name = "_parents" if "parents" in own.metadata.tables else "parents"
        parents: FromClause = own.alias(name)
        found_by = [moved(condition, {own: parents}) for condition in by_key]
        if not by_key or len(by_key) < len(conditions):
            found = select(*own.c).select_from(source).where(*map(move, conditions)).limit(limit)
            found = found.order_by(*in_order(move(own.c[name]) for name in order))
            parents, found_by = found.cte(name), []
        columns, source, _ = read_columns(self.mapper.schema, parents, parents, 0)
        if not self.lists:
            query = select(*labelled(columns, labels)).select_from(source)
            return query.order_by(*in_order(parents.c[name] for name in order))
        parts = [
            select(
                literal_column("0").label("list"),
                parents.c[self.key.key].label("key"),
                *labelled(columns, labels),
                *(
                    nothing(column).label(_label(place))
                    for one in self.lists
                    for place, column in enumerate(one.columns, one.start)
                ),
            ).select_from(source)
        ]
        parts += [self._select_list(n, parents, by_key) for n in range(1, len(self.lists) + 1)]
        sorted_by = in_order(literal_column(labels[self.names.index(name)]) for name in order)
        for one in self.lists:
            for place, term in enumerate(one.order, one.keys.stop):
                sorted_by.append(replaced(term, bare(term), literal_column(_label(place))))
        rows = union_all(*(part.where(*found_by) for part in parts))
        return rows.order_by(literal_column("list"), *sorted_by)

    def count(self, *conditions: ColumnElement[bool]) -> Select[int]:
        """Count the objects that `select` finds under these conditions."""
        source, move = self._search(conditions)
        return select(func.count()).select_from(source).where(*map(move, conditions))

    def _select_list(self, number: int, parents: FromClause, by_key: Conditions) -> Any:
        """Select the rows of a list of these parents."""
        own = self.lists[number - 1]
        columns: list[ColumnElement[Any]] = [
            parents.c[self.key.key],
            *map(nothing, self.columns),
            *(nothing(column) for one in self.lists for column in one.columns),
        ]

        def put(start: int, values: Sequence[ColumnElement[Any]]) -> None:
            columns[start - 1 : start - 1 + len(values)] = values  # the list's number is in front

        source = target = parents
        for depth, hop in enumerate(own.hops, 1):
            tables: dict[FromClause, FromClause] = {}
            known = by_key if depth == 1 else ()  # an item may be of the same table
            steps = steps_of(hop.relationship, target, self.key, known)
            for target, on in steps:
                source = source.join(target, on)
                tables[target.element] = target  # type: ignore[attr-defined]  # an alias
            for one in self.lists:
                if one.hops == own.hops[:depth] and one.keys:
                    put(one.keys.start, key_of(target))
        last = own.hops[-1]
        if last.schema:
            values, source, _ = read_columns(last.schema, target, source, 0)
        else:
            values = [target.c[last.column]]
        put(own.start, values)
        put(own.keys.stop, [moved(bare(term), tables) for term in own.order])
        return select(literal_column(str(number)), *columns).select_from(source)

    def _search(self, conditions: Conditions) -> tuple[FromClause, Getter]:
        """Return what to search, and a function that moves conditions and columns there.

        A table of a list is searched if a condition names it. What it repeats of its parent's
        columns stands for them, so that an index can have all that is looked for: so does the key
        in a link table that a condition names.
        """
        own = searched = source = self.key.table
        tables = {column.table for condition in conditions for column in columns_in(condition)}
        tables.discard(own)  # to which a list of the same table leads as well
        for relationship in table_of(self.mapper.schema).__mapper__.relationships:
            target, link = relationship.target, relationship.secondary
            if not relationship.uselist or not {target, link} & tables:
                continue
            if link is None:
                searched = source = target
                pairs = relationship.local_remote_pairs
            else:
                searched, source = (link, link) if link in tables else (own, link)
                pairs = relationship.synchronize_pairs
                if target in tables:
                    to_target = relationship.secondary_synchronize_pairs
                    source = target.join(link, and_(*(a == b for a, b in to_target)))
            source = source.join(own, and_(*(b == a for a, b in pairs)))

        def move(part: ColumnElement[Any]) -> ColumnElement[Any]:
            return part if searched is own else moved(part, {own: searched})

        return source, move

    def objects(self, rows: Iterable[Row], processors: ResultProcessors = ()) -> list[Any]:
        """Make the objects of the rows of such a query.

        `processors` are functions, by the columns' positions, that make Python's values of those in
        the rows; None where they are Python's already, and empty if all are.
        """
        if processors not in self.factories:
            makers: list[RowMapper | NestedList] = [self.mapper, *self.lists]
            self.factories[processors] = [maker.factory(processors) for maker in makers]
        factories = self.factories[processors]
        if not self.lists:
            return [factories[0](row) for row in rows]
        found: dict[Any, Any] = {}
        items: list[dict[Any, Any]] = [found, *({} for _ in self.lists)]
        for row in rows:
            if not (number := row[0]):
                found[row[1]] = factories[0](row)
                continue
            holder, key_of_holder, list_of, key = self.places[number - 1]
            item = factories[number](row)
            list_of(items[holder][key_of_holder(row)]).append(item)
            if key:
                items[number][key(row)] = item
        return list(found.values())

    @cached_property
    def places(self) -> list[tuple[int, Getter, Getter, Getter | None]]:
        """The holder of each list, and functions: its key in a row, the list in it, the item's key.

        An item is known by the keys of all that it is in: a tag may be in many products.
        """
        keys: list[list[int]] = [[1]]
        for one in self.lists:
            keys.append([*keys[one.holder], *one.keys])
        return [
            (
                one.holder,
                itemgetter(*keys[one.holder]),
                attrgetter(one.path),
                itemgetter(*keys[number]) if one.keys else None,
            )
            for number, one in enumerate(self.lists, 1)
        ]


def _label(place: int) -> str:
    return f"c{place - FIRST}"


@cache
def projection_of(schema: type[SQLModel]) -> Projection:
    """Plan to read the objects of an Out class; TypeError if it has a member that nothing backs."""
    refuse_recursion(schema)
    table = table_of(schema).__table__
    found = lists_of(schema)
    start = FIRST if found else 0
    columns, source, mapper = read_columns(schema, table, table, start)
    names = tuple(name for name, place in mapper.members.items() if isinstance(place, int))
    start += len(columns)
    lists = []
    for number, (holder, path, hops) in enumerate(found, 1):
        nested = hops[-1]
        target = nested.relationship.target
        if nested.schema:
            items, _, items_mapper = read_columns(nested.schema, target, target, start)
        else:
            items, items_mapper = [target.c[nested.column]], None
        keys = key_of(target) if any(other == number for other, _, _ in found) else []
        places = range(start + len(items), start + len(items) + len(keys))
        order = order_of(nested.relationship)
        own = (*items, *keys, *map(bare, order))
        lists.append(NestedList(holder, path, hops, own, items_mapper, start, places, order))
        start = places.stop + len(order)
    (key,) = table.primary_key
    return Projection(key, names, tuple(columns), source, mapper, tuple(lists))


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
