"""Members of a new resource, as one writes them: `rating:int:1..5`, `text:longtext?`."""

import keyword
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any
from uuid import UUID

from pydantic.alias_generators import to_camel, to_snake
from sqlalchemy import Table

from orders_api.cli.common import nearest
from orders_api.models import In, Partial, Timestamps, Versioned

MAX_NAME = 40  # characters, so that lines and names of constraints stay short enough
MAX_INDEX = 2600  # bytes; a page of PostgreSQL's indexes has room for three entries of 2704
MIN_INTEGER, MAX_INTEGER = -(2**31), 2**31 - 1  # an INTEGER of PostgreSQL
MAX_INDEXED_TEXT = 500  # characters of a longtext
DIGITS = 12  # of a decimal, which survive a double
BASES = (In, Partial, Timestamps, Versioned)
# Columns that each table has already on PostgreSQL.
SYSTEM_COLUMNS = {"cmax", "cmin", "ctid", "tableoid", "xmax", "xmin"}
RESERVED = {name for base in BASES for name in (*dir(base), *base.model_fields)} | SYSTEM_COLUMNS


class ScaffoldError(Exception):
    """Says in a sentence why nothing is written."""


@dataclass(frozen=True)
class Kind:
    """A type that a member may have."""

    annotation: str
    """In the models; empty if the resource has a type of its own for it."""
    column: str
    """The type of its column, as the diagram of the tables shows it."""
    example: Any
    filters: tuple[str, ...] = ()
    """The query parameters that compare it: itself, or `min` and `max`."""
    size: int = 8
    """Bytes at most, in an index."""


ITSELF, BOUNDS = ("",), ("min", "max")

KINDS = {
    "text": Kind("Text", "varchar", "", ITSELF, 800),
    "longtext": Kind("LongText", "varchar", "", (), 20000),
    "email": Kind("EmailAddress", "varchar", "ada@books.example", (), 254),
    "url": Kind("WebAddress", "varchar", "https://books.example", (), 2000),
    "currency": Kind("CurrencyCode", "varchar", "EUR", ITSELF, 12),
    "int": Kind("WholeNumber", "integer", 1, ITSELF),
    "money": Kind("Money", "numeric", 19.99, BOUNDS, 16),
    "decimal": Kind("", "numeric", "", BOUNDS, 16),
    "bool": Kind("StrictBool", "boolean", False, ITSELF),
    "datetime": Kind("UtcDatetime", "timestamp", "2026-11-20T22:04:45Z", BOUNDS),
    "choice": Kind("", "varchar", "", ITSELF, 160),
}
BEYOND: dict[str, tuple[Any, Any]] = {
    "money": (0.5, 999),
    "decimal": ("0.5", "999"),
    "datetime": ("2026-11-20T00:00:00Z", "2026-11-21T00:00:00Z"),
}
WRITTEN = ", ".join([*(n for n in KINDS if n not in {"decimal", "choice"}), "decimal(2)"])


@dataclass(frozen=True)
class Member:
    name: str
    """In snake_case, as Python and the database have it."""
    kind: str
    """One of KINDS, or empty for a reference."""
    optional: bool = False
    bounds: tuple[int, int] | None = None
    places: int = 0
    choices: tuple[str, ...] = ()
    table: Table | None = None
    """What a reference refers to."""
    is_deletable: bool = False
    """Whether what a reference refers to can be deleted."""
    is_shortened: bool = False
    """Whether a longtext is short enough for an index."""

    @property
    def alias(self) -> str:
        """The name in JSON, in camelCase."""
        return to_camel(self.name)

    @property
    def words(self) -> str:
        return self.name.replace("_", " ")

    @property
    def refers_to(self) -> str:
        return self.table.name if self.table is not None else ""

    @property
    def noun(self) -> str:
        """What one of the objects is called that a reference refers to."""
        return str(self.key.name).removesuffix("_id").replace("_", " ")

    @property
    def path(self) -> str:
        """The collection of what a reference refers to."""
        return f"/{self.refers_to.replace('_', '-')}"

    @property
    def object_path(self) -> str:
        return f"{self.path}/{{{to_camel(self.key.name)}}}" if self.table is not None else ""

    @property
    def is_number_key(self) -> bool:
        """Whether it refers to objects with numbers in place of UUIDs."""
        return self.table is not None and self.key.type.python_type is not UUID

    @property
    def key(self) -> Any:
        """The primary key that a reference refers to."""
        return next(iter(self.table.primary_key)) if self.table is not None else None

    @property
    def own_type(self) -> bool:
        return bool(self.bounds or self.places or self.choices or self.is_shortened)

    @property
    def column(self) -> str:
        if self.table is not None:
            return "integer" if self.is_number_key else "uuid"
        return KINDS[self.kind].column

    @property
    def beyond(self) -> tuple[Any, Any]:
        """Two values, one that is less than all examples and one that is more."""
        return BEYOND[self.kind]

    @property
    def is_narrow(self) -> bool:
        """Whether there are but a few values."""
        few = self.kind in {"bool", "choice", "currency", "money"}
        return few or bool(self.bounds and self.bounds[1] - self.bounds[0] < 1000)

    @property
    def size(self) -> int:
        if self.table is not None:
            return 16
        return MAX_INDEXED_TEXT * 4 if self.is_shortened else KINDS[self.kind].size

    @property
    def filters(self) -> tuple[str, ...]:
        return ITSELF if self.table is not None else KINDS[self.kind].filters

    @property
    def example(self) -> Any:
        match self:
            case Member(bounds=(low, high)):
                return high if high - low < 10 else low
            case Member(places=places) if places:
                return "1." + "5".ljust(places, "0")
            case Member(choices=[first, *_]):
                return first
        example = KINDS[self.kind].example
        return a(self.words).capitalize() if example == "" else example

    def indexable(self) -> "Member":
        return replace(self, is_shortened=True) if self.kind == "longtext" else self


def parse_member(text: str, tables: Mapping[str, Table]) -> Member:
    """Read what one writes of a member; `tables` are those that may be referred to."""
    written, _, rest = text.partition(":")
    name = parse_name(written, "member")
    optional = rest.endswith("?")
    kind, _, bounds = rest.removesuffix("?").partition(":")
    if name in RESERVED or keyword.iskeyword(name):
        why = "a word of Python" if keyword.iskeyword(name) else "taken by all resources"
        raise ScaffoldError(f"`{written}` is {why}: choose another name for the member.")
    if not kind:
        raise ScaffoldError(f"`{text}` has no type: write `{written}:text`, or one of {WRITTEN}.")
    if bounds and kind != "int":
        raise ScaffoldError(f"`{text}`: only `int` has bounds, such as `{written}:int:1..5`.")
    member = Member(name, kind, optional)
    if kind == "int" and rest.removesuffix("?") != "int":
        return replace(member, bounds=parse_bounds(text, bounds))
    if "|" in kind:
        return replace(member, kind="choice", choices=parse_choices(text, kind.split("|")))
    if places := re.fullmatch(r"decimal(?:\(([0-9]+)\))?", kind):
        if not re.fullmatch("[1-9]", places[1] or ""):
            hint = f"from 1 to 9 decimals, such as `{written}:decimal(2)`"
            raise ScaffoldError(f"`{text}`: a decimal has {hint}.")
        return replace(member, kind="decimal", places=int(places[1]))
    if kind in KINDS and kind != "choice":
        return member
    if to_snake(kind) not in tables:
        known = [*KINDS, *tables]
        raise ScaffoldError(
            f"`{kind}` is no type and no resource{nearest(kind, known)} There are {WRITTEN},"
            f" choices such as 'new|published' (in quotes), and {', '.join(tables)}."
        )
    if not name.endswith("_id"):
        raise ScaffoldError(
            f"`{written}` refers to {kind}, so its name ends in Id: `{to_camel(name)}Id:{kind}`."
        )
    return replace(member, kind="", table=tables[to_snake(kind)])


def parse_name(text: str, what: str) -> str:
    """Return a name in snake_case that is written in any case."""
    name = to_snake(text)
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name) or to_snake(to_camel(name)) != name:
        raise ScaffoldError(
            f"`{text}` cannot be the name of a {what}: write it with letters from a to z, such as"
            f" {'`shippedAt`' if what == 'member' else '`gift-cards`'}."
        )
    if len(name) > MAX_NAME:
        raise ScaffoldError(f"`{text}` is longer than {MAX_NAME} characters.")
    return name


def parse_bounds(text: str, bounds: str) -> tuple[int, int]:
    found = re.fullmatch(r"(-?[0-9]{1,10})\.\.(-?[0-9]{1,10})", bounds, re.ASCII)
    low, high = (int(found[1]), int(found[2])) if found else (0, 0)
    if not MIN_INTEGER <= low < high <= MAX_INTEGER:
        raise ScaffoldError(
            f"`{text}`: bounds are two whole numbers, the lower first, such as `1..5`, from"
            f" {MIN_INTEGER} to {MAX_INTEGER}."
        )
    return low, high


def parse_choices(text: str, choices: list[str]) -> tuple[str, ...]:
    words = [choice for choice in choices if re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]{0,39}", choice)]
    names = {constant(word) for word in words}
    if len(names) < len(choices) or any(name.startswith("_") for name in names):
        raise ScaffoldError(
            f"`{text}`: choices are different words of letters from a to z, digits, _ and -,"
            " such as 'new|published'."
        )
    return tuple(choices)


def constant(choice: str) -> str:
    """Return the name of a choice in Python: `in-progress` is `IN_PROGRESS`."""
    return choice.replace("-", "_").upper()


def a(noun: str) -> str:
    """Put the article before a noun."""
    is_vowel = noun[0] in "aeiou" and not noun.startswith(("eu", "one", "uni", "use"))
    return f"{'an' if is_vowel else 'a'} {noun}"
