"""Relationships as joins: what is related is found by equal keys, through a link table or not."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    FromClause,
    SelectBase,
    UnaryExpression,
    and_,
    func,
)
from sqlalchemy.orm import RelationshipProperty
from sqlalchemy.sql.visitors import ExternallyTraversible, replacement_traverse

Step = tuple[FromClause, ColumnElement[bool]]


def steps_of(
    relationship: RelationshipProperty[Any],
    own: FromClause,
    key: Any = None,
    by_key: Sequence[ColumnElement[bool]] = (),
) -> list[Step]:
    """Return the tables on the way to what is related, a link table first, and how to join each.

    Conditions on a key are repeated for what refers to it: so Citus knows the node that has it all.
    """

    def on(left: FromClause, pairs: Any, right: FromClause) -> ColumnElement[bool]:
        repeated = (replaced(c, key, right.c[b.key]) for a, b in pairs if a is key for c in by_key)
        return and_(*(left.c[a.key] == right.c[b.key] for a, b in pairs), *repeated)

    target = relationship.target.alias()
    if relationship.secondary is None:
        return [(target, on(own, relationship.local_remote_pairs, target))]
    link = relationship.secondary.alias()
    to_target = [(b, a) for a, b in relationship.secondary_synchronize_pairs or ()]
    return [
        (link, on(own, relationship.synchronize_pairs, link)),
        (target, on(link, to_target, target)),
    ]


def check_join(where: str, relationship: RelationshipProperty[Any]) -> None:
    """Refuse a join that asks for more than equal keys, which is all that is read by."""
    pairs = relationship.local_remote_pairs or ()
    joins = [
        join for join in (relationship.primaryjoin, relationship.secondaryjoin) if join is not None
    ]
    if sum(len(getattr(join, "clauses", [join])) for join in joins) != len(pairs):
        raise TypeError(f"{where}: its relationship must join by equal keys alone")


def columns_in(condition: ExternallyTraversible) -> Iterator[Column[Any]]:
    """Return the columns that a condition names itself, and not in a query within it."""
    if isinstance(condition, Column):
        yield condition
    for part in condition.get_children():
        if not isinstance(part, SelectBase):
            yield from columns_in(part)


def moved(part: Any, tables: Mapping[FromClause, FromClause]) -> Any:
    """Replace the columns of tables by those of what stands for them."""

    def replacement(element: Any, **_: Any) -> Any:
        if isinstance(element, Column) and element.table in tables:
            return tables[element.table].c.get(element.key)
        # A value is found by the parameter that it came with.
        return element if isinstance(element, BindParameter) else None

    return replacement_traverse(part, {}, replacement)


def order_of(relationship: RelationshipProperty[Any]) -> tuple[ColumnElement[Any], ...]:
    """Return what a list is ordered by: columns, or else a number, whose type is always known."""
    terms = tuple(relationship.order_by or ())
    if all(isinstance(bare(term), Column) for term in terms):
        return terms
    return (func.row_number(type_=BigInteger()).over(order_by=terms),)


def bare(term: Any) -> Any:
    """Return what is ordered by, without its `desc()` or `nulls_last()`."""
    while isinstance(term, UnaryExpression) and term.modifier:
        term = term.element
    return term


def replaced(term: Any, old: Any, new: Any) -> Any:
    def replacement(element: Any, **_: Any) -> Any:
        # A value is found by the parameter that it came with.
        return new if element is old else element if isinstance(element, BindParameter) else None

    return replacement_traverse(term, {}, replacement)
