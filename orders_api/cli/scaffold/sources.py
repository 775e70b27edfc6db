"""The Python of a new resource: its section in the models, and its routes.

Nothing here is broken into lines as it should be; ruff does that afterwards.
"""

import json
from collections.abc import Iterator
from typing import Any

from sqlalchemy import make_url

from orders_api.cli.scaffold.members import (
    DIGITS,
    KINDS,
    MAX_INDEXED_TEXT,
    Member,
    a,
    constant,
)
from orders_api.cli.scaffold.resource import Resource

# What a section of the models may use, and where it is.
MODEL_NAMES = {
    "Annotated": "typing",
    "BeforeValidator": "pydantic",
    "CheckConstraint": "sqlalchemy",
    "Decimal": "decimal",
    "Index": "sqlalchemy",
    "Numeric": "sqlalchemy",
    "StrEnum": "enum",
    "UUID": "uuid",
    "UniqueConstraint": "sqlalchemy",
    "decimal": "orders_api.field_types",
    **{
        kind.annotation: "orders_api.field_types"
        for kind in KINDS.values()
        if kind.annotation not in {"", "WholeNumber"}  # which the models make themselves
    },
}


# --- The section in the models ------------------------------------------------------------


def heading(resource: Resource) -> str:
    return f"# --- {resource.title} ".ljust(92, "-")


def models_section(resource: Resource) -> str:
    model, fields, references = resource.model, resource.fields, resource.references
    own = [(resource.type_of(member), member) for member in fields if member.own_type]
    aliases = [_alias(name, member) for name, member in own if not member.choices]
    parts = [heading(resource), *["\n".join(aliases)] * bool(aliases)]
    parts += [
        _class(name, "StrEnum", [f"{constant(c)} = {literal(c)}" for c in member.choices])
        for name, member in own
        if member.choices
    ]
    changed = f"{model}Fields" if references else f"{model}In"
    if fields:
        parts += [_class(changed, "In", [_field(resource, member) for member in fields])]
        parts += [_class(f"{model}Update", f"Partial, {changed}", [])]
    if references or not fields:
        base = changed if fields else "In"
        parts += [_class(f"{model}In", base, [_reference(resource, m) for m in references])]
    times = "Timestamps, " if fields else ""
    parts += [_class(f"{model}Out", f"{times}{model}In, Out", [f"{resource.key}: Key"])]
    bases = f"{model}Out, Versioned" if fields else f"{model}Out"
    rules = ", ".join(_table_rules(resource))
    table = [f'__tablename__ = "{resource.table}"']
    table += [f"__table_args__ = ({rules},)"] if rules else []
    parts += [_class(model, f"{bases}, table=True", table)]
    return "\n\n\n".join(parts) + "\n"


def _class(name: str, bases: str, lines: list[str]) -> str:
    return "\n    ".join([f"class {name}({bases}):", *(lines or ["pass"])])


def _alias(name: str, member: Member) -> str:
    if member.bounds:
        low, high = member.bounds
        limits = f"pydantic.Field(strict=True, ge={low}, le={high})"
        return f"{name} = Annotated[int, {limits}, BeforeValidator(whole)]"
    if member.places:
        return f"{name} = Annotated[Decimal, decimal({DIGITS}, {member.places})]"
    return f"{name} = Annotated[LongText, pydantic.Field(max_length={MAX_INDEXED_TEXT})]"


def _annotation(resource: Resource, member: Member) -> str:
    if member.table is not None:
        name = "WholeNumber" if member.is_number_key else "UUID"
    else:
        name = resource.type_of(member) if member.own_type else KINDS[member.kind].annotation
    return f"{name} | None" if member.optional else name


def _field(resource: Resource, member: Member) -> str:
    options = ["default=None"] * member.optional
    if member.optional and member.column == "numeric":
        # SQLModel does not see the places of what may be None.
        options += [f"sa_type=Numeric({DIGITS}, {member.places or 2})"]
    if (member.name,) in resource.unique:
        options += ['description="Unique."']
    options += [f'schema_extra={{"examples": [{literal(member.example)}]}}']
    return f"{member.name}: {_annotation(resource, member)} = Field({', '.join(options)})"


def _reference(resource: Resource, member: Member) -> str:
    options = ["default=None"] * member.optional
    options += [f'foreign_key="{member.refers_to}.{member.key.name}"']
    if (member.name, resource.key) not in resource.indexes:
        options += ["index=True"]
    options += [f'description="{a(member.noun).capitalize()}\'s id; fixed at creation."']
    options += ['schema_extra={"examples": [None]}'] * member.optional
    return f"{member.name}: {_annotation(resource, member)} = Field({', '.join(options)})"


def _table_rules(resource: Resource) -> Iterator[str]:
    for names in resource.unique:
        yield f"UniqueConstraint({', '.join(map(literal, names))})"
    for member in resource.fields:
        column = _quoted(member.name)
        if member.bounds:
            low, high = member.bounds
            rule = f"{column} BETWEEN {low} AND {high}"
            yield f'CheckConstraint({literal(rule)}, name="{member.name}_in_bounds")'
        if member.kind == "money":
            yield f'CheckConstraint({literal(f"{column} >= 0")}, name="{member.name}_not_negative")'
    for names in resource.indexes:
        yield f"Index(None, {', '.join(map(literal, names))})"


def _quoted(name: str) -> str:
    """Quote the name of a column where one of the databases has it as a word of its own."""
    dialects: list[Any] = [make_url(name).get_dialect() for name in ("postgresql://", "sqlite://")]
    quoted = {dialect().identifier_preparer.quote(name) for dialect in dialects} - {name}
    return quoted.pop() if quoted else name


def literal(value: Any) -> str:
    return repr(value) if isinstance(value, bool) else json.dumps(value, ensure_ascii=False)


# --- The routes ---------------------------------------------------------------------------


def routes(resource: Resource) -> str:
    model, noun, words, key = resource.model, resource.noun, resource.words, resource.key
    id_type, alias, table = f"{model}Id", resource.key_alias, resource.table
    page = f"{model}Page" if resource.parameters else "Page"
    fields = bool(resource.fields)
    names = [f"{model}{step}" for step in ("", "In", "Out", *["Update"] * fields)]
    web = ["Filter"] * bool(resource.filters) + ["Page", "Read", "Router"]
    web += ["UpdatedSince", "Write", "since"] if fields else ["Write"]
    others = {name for text in _filters(resource) for name in _imported_types(text)}
    others_named = [m.refers_to for m in resource.references if m.refers_to != table]
    of_others = f" of {others_named[0].replace('_', ' ')}" if others_named else ""
    parts = [
        f'''"""{resource.title}{of_others}."""

from typing import Annotated{", Literal" if resource.sorts else ""}
from uuid import UUID

from fastapi import Path, Query
{"from sqlmodel import col" if resource.parameters else ""}

from orders_api.models import {", ".join(sorted({*names, *others}))}
from orders_api.web import {", ".join(web)}

router = Router(prefix="/{resource.path}", tags=["{resource.path}"])

{id_type} = Annotated[UUID, Path(alias="{alias}", description="The {words}'s id.")]'''
    ]
    if resource.parameters:
        lines = list(_filters(resource))
        if fields:
            since = f"since(col({model}.updated_at))"
            lines += [f"updated_since: Annotated[UpdatedSince, {since}] = None"]
        sorts = [
            literal(s) for m in resource.named(resource.sorts) for s in (m.alias, f"-{m.alias}")
        ]
        lines += [f"sort: Literal[{', '.join(sorts)}] | None = None"] * bool(sorts)
        parts += [_class(page, "Page", lines)]
    how = "oldest first unless sorted" if resource.sorts else "oldest first"
    parts += [
        f'''@router.get("")
async def list_{table}(read: Read, page: Annotated[{page}, Query()]) -> list[{model}Out]:
    """List {resource.title.lower()}, {how}."""
    return await read.page({model}Out, page)''',
        f'''@router.post("", status_code=201)
async def create_{noun}(write: Write, body: {model}In) -> {model}Out:
    """Create {a(words)}."""
    return await write.create({model}.model_validate(body))''',
        f'''@router.get("/{{{alias}}}")
async def get_{noun}(read: Read, {key}: {id_type}) -> {model}Out:
    """Get {a(words)}."""
    return await read.get_or_404({model}Out, {key})''',
    ]
    if fields:
        parts += [
            f'''@router.patch("/{{{alias}}}")
async def update_{noun}(write: Write, {key}: {id_type}, body: {model}Update) -> {model}Out:
    """Change the members that are sent."""
    return (await write.get_for_update({model}, {key})).sqlmodel_update(body.changes())'''
        ]
    parts += [
        f'''@router.delete("/{{{alias}}}", status_code=204)
async def delete_{noun}(write: Write, {key}: {id_type}) -> None:
    """Delete {a(words)}."""
    await write.delete_or_404({model}, {key})'''
    ]
    return "\n\n\n".join(parts) + "\n"


def _filters(resource: Resource) -> Iterator[str]:
    """Return the query parameters that filter a list, as members of its page."""
    comparisons = {"": "==", "min": ">=", "max": "<="}
    for member in resource.named(resource.filters):
        limits = member.bounds or (0, 2**31 - 1)
        is_integer = member.column == "integer"
        # As a query has it, a number or a truth is text, which the strict types of bodies refuse.
        kind = {"integer": "int", "boolean": "bool"}.get(
            member.column, _annotation(resource, member).removesuffix(" | None")
        )
        marks = [f"{kind} | None"]
        for bound in member.filters:
            column = f"col({resource.model}.{member.name})"
            condition = [f"Filter(lambda value: {column} {comparisons[bound]} value)"]
            condition += [f"Query(ge={limits[0]}, le={limits[1]})"] * is_integer
            name = f"{bound}_{member.name}".strip("_")
            yield f"{name}: Annotated[{', '.join(marks + condition)}] = None"


def _imported_types(text: str) -> Iterator[str]:
    kind = text.partition("Annotated[")[2].partition(" ")[0]
    if kind not in {"UUID", "bool", "int"}:
        yield kind
