"""A new resource: its names, members and indexes, checked against what is there already."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache

from pydantic.alias_generators import to_camel, to_pascal, to_snake
from sqlalchemy import Column, MetaData, Table, Uuid
from sqlmodel import SQLModel

from orders_api import models
from orders_api.app import create_app
from orders_api.cli.common import nearest
from orders_api.cli.scaffold.members import (
    MAX_INDEX,
    Member,
    ScaffoldError,
    parse_member,
    parse_name,
)
from orders_api.settings import Settings
from orders_api.web import Page

MAX_IDENTIFIER = 63  # characters of a name in PostgreSQL
# What a route module imports beside its models, what the class of a list's parameters has or uses,
# and the paths and modules that are no resource.
IN_ROUTES = {"Annotated", "Filter", "Literal", "Page", "Path", "Query", "Read", "Router", "Write"}
IN_PAGES = {*dir(Page), *Page.model_fields, "bool", "col", "int", "since"}
TAKEN = {"docs", "openapi", "redoc", "service"}


@dataclass(frozen=True)
class Resource:
    table: str
    """The collection in snake_case: `gift_cards`."""
    noun: str
    """One of them: `gift_card`."""
    members: tuple[Member, ...]
    unique: tuple[tuple[str, ...], ...] = ()
    filters: tuple[str, ...] = ()
    sorts: tuple[str, ...] = ()

    @property
    def path(self) -> str:
        return self.table.replace("_", "-")

    @property
    def model(self) -> str:
        return to_pascal(self.noun)

    @property
    def key(self) -> str:
        return f"{self.noun}_id"

    @property
    def key_alias(self) -> str:
        return to_camel(self.key)

    @property
    def constant(self) -> str:
        return self.table.upper()

    @property
    def title(self) -> str:
        return self.table.replace("_", " ").capitalize()

    @property
    def words(self) -> str:
        return self.noun.replace("_", " ")

    @property
    def references(self) -> list[Member]:
        """The members that are fixed at creation."""
        return [member for member in self.members if member.table is not None]

    @property
    def fields(self) -> list[Member]:
        """The members that can be changed."""
        return [member for member in self.members if member.table is None]

    @property
    def parameters(self) -> list[str]:
        """The query parameters of the list."""
        names = []
        for member in self.named(self.filters):
            names += [to_camel(f"{bound}_{member.name}".strip("_")) for bound in member.filters]
        return names + ["updatedSince"] * bool(self.fields) + ["sort"] * bool(self.sorts)

    def named(self, names: Iterable[str]) -> list[Member]:
        return [member for name in names for member in self.members if member.name == name]

    def type_of(self, member: Member) -> str:
        """Return the name of the type that the resource has for a member."""
        return f"{self.model}{to_pascal(member.name)}"

    @property
    def indexes(self) -> list[tuple[str, ...]]:
        """The columns that a list is filtered or sorted by, each with the key, to page by."""
        names = dict.fromkeys((*self.filters, *self.sorts))
        columns = [name for name in names if (name,) not in self.unique]
        return [(name, self.key) for name in columns + ["updated_at"] * bool(self.fields)]


def parse_resource(
    name: str,
    members: Sequence[str],
    paths: Mapping[str, Mapping[str, object]],
    *,
    unique: Sequence[str] = (),
    filters: Sequence[str] = (),
    sorts: Sequence[str] = (),
    singular: str | None = None,
) -> Resource:
    """Read what one writes of a resource, and raise ScaffoldError for what cannot be.

    `paths` are those of the API as they are, with their methods.
    """
    table = parse_name(name, "resource")
    noun = parse_name(singular, "resource") if singular else singular_of(table)
    tables = referable_tables()
    if table in SQLModel.metadata.tables:
        raise ScaffoldError(f"There are {name} already: choose another name.")
    if any(path.split("/")[1] == table.replace("_", "-") for path in paths) or table in TAKEN:
        raise ScaffoldError(f"`{name}` is the path of something else: choose another name.")
    # It may refer to others of its own kind.
    tables[table] = Table(table, MetaData(), Column(f"{noun}_id", Uuid, primary_key=True))
    parsed = [parse_member(text, tables) for text in members]
    if not parsed:
        raise ScaffoldError(f"What has one of the {name}? Name a member, such as `name:text`.")
    resource = Resource(table, noun, tuple(parsed))
    known = [member.name for member in parsed]
    resource = replace(
        resource,
        unique=tuple(dict.fromkeys(_names(text, known, "unique") for text in unique)),
        filters=tuple(dict.fromkeys(n for text in filters for n in _names(text, known, "filter"))),
        sorts=tuple(dict.fromkeys(n for text in sorts for n in _names(text, known, "sort"))),
    )
    indexed = {*resource.filters, *resource.sorts, *(n for names in resource.unique for n in names)}
    deletable = {path for path, methods in paths.items() if "delete" in methods}
    parsed = [m.indexable() if m.name in indexed else m for m in parsed]
    parsed = [replace(m, is_deletable=m.object_path in deletable) for m in parsed]
    resource = replace(resource, members=tuple(parsed))
    _check_names(resource)
    _check_indexes(resource)
    return resource


@cache
def existing_paths() -> dict[str, dict[str, object]]:
    """Return the paths of the API with their methods."""
    paths: dict[str, dict[str, object]] = create_app(Settings(api_prefix="")).openapi()["paths"]
    return paths


def referable_tables() -> dict[str, Table]:
    """Return the tables of the resources: each has an id."""
    tables = SQLModel.metadata.tables
    return {
        name: table
        for name, table in tables.items()
        if len(table.primary_key) == 1 and next(iter(table.primary_key)).name.endswith("_id")
    }


def singular_of(table: str) -> str:
    for pattern, ending in (("ies", "y"), ("(s|x|z|ch|sh)es", r"\1"), ("([^s])s", r"\1")):
        noun, count = re.subn(f"{pattern}$", ending, table)
        if count and noun not in {"", table}:
            return noun
    raise ScaffoldError(
        f"`{table}` does not look like a plural: name one of them too, such as --singular person."
    )


def _names(text: str, known: list[str], option: str) -> tuple[str, ...]:
    names = []
    for written in text.split(","):
        name = parse_name(written, "member")
        if name not in known:
            raise ScaffoldError(f"--{option}: there is no member `{written}`{nearest(name, known)}")
        names.append(name)
    return tuple(dict.fromkeys(names))


def _check_names(resource: Resource) -> None:
    names = [member.name for member in resource.members]
    for name in names:
        if names.count(name) > 1:
            raise ScaffoldError(f"`{to_camel(name)}` is there twice.")
    if resource.key in names:
        raise ScaffoldError(f"`{to_camel(resource.key)}` is made by the server: leave it out.")
    for member in resource.references:
        if member.refers_to == resource.table and not member.optional:
            text = f"{member.alias}:{resource.path}"
            raise ScaffoldError(f"`{text}`: the first one has none to refer to; write '{text}?'.")
    keys = {key.name: name for name, t in referable_tables().items() for key in t.primary_key}
    for member in resource.members:
        other = keys.get(member.name, member.refers_to)
        if other != member.refers_to:
            raise ScaffoldError(
                f"`{member.alias}` is the id of {other} everywhere: write"
                f" `{member.alias}:{other}`, or choose another name."
            )
    model = resource.model
    classes = [f"{model}{step}" for step in ("", "Fields", "Update", "In", "Out", "Page", "Id")]
    classes += [resource.type_of(m) for m in resource.members if m.own_type]
    for name in classes:
        if name in vars(models) or name in IN_ROUTES or classes.count(name) > 1:
            raise ScaffoldError(f"The name {name} is taken already: choose another one.")


def _check_indexes(resource: Resource) -> None:
    for member in resource.named(resource.filters):
        if not member.filters:
            raise ScaffoldError(
                f"--filter: {member.alias} is {member.kind}, by which no list is filtered: have"
                ' it searched, as "Search in a text" in CONTRIBUTING.md shows.'
            )
    for name in resource.parameters:
        is_taken = to_snake(name) in IN_PAGES or (name == "sort" and not resource.sorts)
        if is_taken or resource.parameters.count(name) > 1:
            raise ScaffoldError(f"--filter: all lists take `{name}` for something else.")
    for names in resource.unique:
        members = resource.named(names)
        if all(member.is_narrow for member in members):
            raise ScaffoldError(
                f"--unique: with {' and '.join(m.alias for m in members)} alone there could be but"
                " a few rows; add a member."
            )
    for names in (*resource.unique, *resource.indexes):
        if sum(member.size for member in resource.named(names)) > MAX_INDEX:
            raise ScaffoldError(
                f"PostgreSQL cannot index {' and '.join(map(to_camel, names))} together, which may"
                f" be longer than {MAX_INDEX} bytes."
            )
    keys = [("fk", resource.table, m.name, m.refers_to) for m in resource.references]
    rows = [("ix", resource.table, *names) for names in (*resource.unique, *resource.indexes)]
    ruled = [m.name for m in resource.fields if m.bounds or m.kind == "money"]
    rules = [("ck", resource.table, name, "not_negative") for name in ruled]
    for name in map("_".join, (*keys, *rows, *rules)):
        if len(name) > MAX_IDENTIFIER:
            raise ScaffoldError(
                f"{name} would be a name of more than {MAX_IDENTIFIER} characters in the database:"
                " choose shorter ones."
            )
