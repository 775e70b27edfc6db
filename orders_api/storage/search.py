"""Rows that have a text in one of their texts, in any case.

What is found is what `lower` says, that of PostgreSQL or Python's on SQLite. SQLite's index of
trigrams (see `trigrams`) only says which rows may have it, so that not all must be compared. That
it leaves none out is what `trigrams_of` is careful about.
"""

import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Select,
    bindparam,
    column,
    func,
    literal_column,
    or_,
    select,
    table,
)

from orders_api.storage.driver import PooledConnection
from orders_api.storage.engines import Database
from orders_api.storage.trigrams import has_trigrams, indexed_columns

Texts = Sequence[Any]
"""Columns of one table, as `col` returns them."""

MAX_CANDIDATES = 2000
"""More are not looked up and sorted: a page is found sooner by reading rows in their order."""

MAX_TRIGRAMS = 50  # they leave few rows; FTS5 bounds the depth of an expression


def contains(texts: Texts, value: str) -> ColumnElement[bool]:
    """Select the rows that have a text, which is no pattern, in one of these columns."""
    return or_(*(text.icontains(value, autoescape=True) for text in texts))


async def candidates(
    database: Database, connection: PooledConnection, texts: Texts, value: str
) -> list[ColumnElement[bool]]:
    """Select by an index of SQLite's the rows that may contain a text, if that helps.

    It does not if the text is too short, if it is not kept, or if there are many such rows:

        products.product_id IN (SELECT key FROM products_trgm_keys JOIN products_trgm
            ON id = products_trgm.rowid WHERE products_trgm MATCH '"atl" AND "tla" AND "las"')
    """
    if not database.is_sqlite or not has_trigrams():
        return []
    match, own = trigrams_of(value), texts[0].table
    if match is None:
        return []
    indexed = await connection.values(database.statement(indexed_columns(own.name)), {})
    if not {text.key for text in texts} <= {name for (name,) in indexed}:
        return []
    values = {"match": match, "limit": MAX_CANDIDATES + 1}
    ((count,),) = await connection.values(database.statement(_count(own.name)), values)
    if count > MAX_CANDIDATES:
        return []
    (key,) = own.primary_key
    return [key.in_(_keys(own.name, match))]


def trigrams_of(value: str) -> str | None:
    """Return what FTS5 matches in each text that contains this one, or None if it cannot tell.

    FTS5 folds character by character, and knows Unicode 6.1 or later. So what changes in lower case
    is left out, unless it did in Unicode 3.2 already: a newer library may read what an older one
    has written. `İ` alone becomes two characters, of which the text may have just the first.
    """
    text = value.lower()
    if "\0" in text:  # where SQLite's LIKE takes a pattern to end
        return None
    parts = {}
    for run in _unreliable().split(text):
        for start in range(len(run) - 2):
            trigram = run[start : start + 3]
            parts[trigram] = _quoted(trigram)
    if text[-3:] in parts and text.endswith("i"):
        parts[text[-3:]] = f"({_quoted(text[-3:])} OR {_quoted(text[-3:-1] + 'İ')})"
    return " AND ".join(list(parts.values())[:MAX_TRIGRAMS]) or None


def _quoted(trigram: str) -> str:
    return '"' + trigram.replace('"', '""') + '"'


@cache
def _unreliable() -> re.Pattern[str]:
    def is_old(char: str) -> bool:
        return unicodedata.ucd_3_2_0.category(char) != "Cn"

    found: set[str] = set()
    for char in map(chr, range(0x20000)):  # beyond, no character has a case
        lower = char.lower()
        # FTS5 has always folded ẞ.
        if lower != char and char not in "İẞ" and not all(map(is_old, char + lower)):
            found |= {char, *lower}
    return re.compile(f"i?\u0307|[{re.escape(''.join(sorted(found)))}]")


# --- Statements ---------------------------------------------------------------------------


@cache
def _count(name: str) -> Select[int]:
    """Count the rows of a table that match, up to a limit."""
    index = table(f"{name}_trgm")
    found: Select[Any] = select(literal_column("1")).select_from(index).limit(bindparam("limit"))
    found = found.where(literal_column(index.name).op("MATCH")(bindparam("match")))
    return select(func.count()).select_from(found.subquery())


def _keys(name: str, match: str) -> Select[Any]:
    """Select the keys of the rows of a table that match."""
    index, keys = (
        table(f"{name}_trgm", column("rowid")),
        table(f"{name}_trgm_keys", column("id"), column("key")),
    )
    query = select(keys.c.key).select_from(keys.join(index, keys.c.id == index.c.rowid))
    return query.where(literal_column(index.name).op("MATCH")(match))
