"""What an Out class says of the database: its table, and what is nested in it."""

from collections.abc import Iterator
from functools import cache
from typing import Any, get_args, get_origin

from sqlalchemy.orm import InstrumentedAttribute, joinedload, selectinload
from sqlalchemy.orm.interfaces import LoaderOption
from sqlmodel import SQLModel


@cache
def table_of(schema: type[SQLModel]) -> Any:
    """Find the table that an Out class shows: the one that the class, or a base of it, leads to.

    An In class shows none: TypeError.
    """
    # SQLModel itself leads to every table.
    for base in schema.__mro__[: schema.__mro__.index(SQLModel)]:
        for candidate in (base, *base.__subclasses__()):
            if isinstance(candidate, type) and "__table__" in vars(candidate):
                return candidate
    raise TypeError(f"No table derives from {schema.__name__} or a base of it")


def nested_members(schema: type[SQLModel]) -> Iterator[tuple[str, type[SQLModel], bool]]:
    """Return the name and the class of each nested member, and whether it is a list of them."""
    for name, member in schema.model_fields.items():
        is_list = get_origin(member.annotation) is list
        nested = get_args(member.annotation)[0] if is_list else member.annotation
        if isinstance(nested, type) and issubclass(nested, SQLModel):
            yield name, nested, is_list


@cache
def loader_options(schema: type[SQLModel]) -> tuple[LoaderOption, ...]:
    """Load an entity, to change it, with just the related rows that the Out class names."""
    return tuple(_loader_options(schema, table_of(schema)))


def _loader_options(schema: type[SQLModel], table: type[SQLModel]) -> Iterator[Any]:
    for name, nested, is_list in nested_members(schema):
        relationship: InstrumentedAttribute[Any] = getattr(table, name)
        load = selectinload(relationship) if is_list else joinedload(relationship)
        yield load.options(*_loader_options(nested, table_of(nested)))
