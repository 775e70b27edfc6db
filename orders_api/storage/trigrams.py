"""The index of trigrams in which SQLite finds parts of texts, by FTS5.

For the texts of `products` there are:

- `products_trgm`, an FTS5 table that has no copy of the texts, and for each trigram the numbers of
  the rows that have it. A trigram is three characters, folded by FTS5's own table, so that it does
  not depend on what the connection that writes calls `lower`.
- `products_trgm_keys`, which has the key of each number. The rowid of `products` would not do:
  `VACUUM`, a dump and Alembic's batch mode may give other ones.
- Three triggers, which keep both right whatever program writes to `products`.

The index is used where its triggers are. Without FTS5 and its trigram tokenizer (SQLite 3.34) there
are none, and every row is read.
"""

import sqlite3
from functools import cache

from sqlalchemy import Connection, Select, column, func, select, table

INSERT = """
    DELETE FROM {table}_trgm_keys WHERE key = new.{key};
    INSERT INTO {table}_trgm_keys (key) VALUES (new.{key});
    INSERT INTO {table}_trgm (rowid, {columns})
        SELECT id, {new} FROM {table}_trgm_keys WHERE key = new.{key};"""
DELETE = """
    INSERT INTO {table}_trgm ({table}_trgm, rowid, {columns})
        SELECT 'delete', id, {old} FROM {table}_trgm_keys WHERE key = old.{key};
    DELETE FROM {table}_trgm_keys WHERE key = old.{key};"""
TRIGGERS = {
    "insert": f"INSERT ON {{table}} BEGIN {INSERT} END",
    "update": f"UPDATE OF {{key}}, {{columns}} ON {{table}} BEGIN {DELETE} {INSERT} END",
    "delete": f"DELETE ON {{table}} BEGIN {DELETE} END",
}
FILL = (
    "DELETE FROM {table}_trgm_keys",
    "INSERT INTO {table}_trgm ({table}_trgm) VALUES ('delete-all')",
    "INSERT INTO {table}_trgm_keys (key) SELECT {key} FROM {table} ORDER BY {key}",
    "INSERT INTO {table}_trgm (rowid, {columns})"
    " SELECT id, {columns} FROM {table}_trgm_keys JOIN {table} ON key = {key}",
)


@cache
def has_trigrams() -> bool:
    """Tell whether this SQLite library has FTS5 with the trigram tokenizer, by using it."""
    connection = sqlite3.connect(":memory:")
    try:
        connection.execute("CREATE VIRTUAL TABLE i USING fts5(text, tokenize='trigram')")
    except sqlite3.OperationalError:
        return False
    finally:
        connection.close()
    return True


def create_trigram_index(connection: Connection, table: str, *columns: str) -> None:
    """Index the texts in these columns of a table with one key; for a migration."""
    if not has_trigrams():
        return
    drop_trigram_index(connection, table)
    for sql in (
        f"CREATE TABLE {table}_trgm_keys (id INTEGER PRIMARY KEY, key NOT NULL UNIQUE)",
        f"CREATE VIRTUAL TABLE {table}_trgm USING fts5({', '.join(columns)}, content='',"
        " columnsize=0, detail=none, tokenize='trigram')",
    ):
        connection.exec_driver_sql(sql)
    restore_trigram_indexes(connection)


def drop_trigram_index(connection: Connection, table: str) -> None:
    _drop_triggers(connection, table)
    if has_trigrams():  # or SQLite cannot drop it
        for suffix in ("trgm", "trgm_keys"):
            connection.exec_driver_sql(f"DROP TABLE IF EXISTS {table}_{suffix}")


def restore_trigram_indexes(connection: Connection) -> None:
    """Fill the indexes that have lost their triggers, and have all triggers that work.

    They are lost with the table that Alembic's batch mode replaces. Where the library has no FTS5
    they would make each write to the table fail.
    """
    found = connection.exec_driver_sql(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name LIKE '%\\_trgm' ESCAPE '\\'"
    )
    for index in found.scalars().all():
        name = index.removesuffix("_trgm")
        if not has_trigrams():
            _drop_triggers(connection, name)
        elif connection.execute(indexed_columns(name)).first() is None:
            _fill(connection, name)


@cache
def indexed_columns(name: str) -> Select[str]:
    """Select the columns of the index of a table; there are none unless its triggers keep it."""
    index = func.pragma_table_info(f"{name}_trgm").table_valued("name")
    master = table("sqlite_master", column("type"), column("name"))
    triggers = select(func.count()).select_from(master)
    triggers = triggers.where(master.c.type == "trigger", master.c.name.like(f"{name}_trgm_%"))
    return select(index.c.name).where(triggers.scalar_subquery() == len(TRIGGERS))


def _fill(connection: Connection, table: str) -> None:
    """Write an index anew, and have triggers keep it from now on."""
    columns = _columns(connection, f"{table}_trgm", "true")
    (key,) = _columns(connection, table, "pk")
    names = {
        "table": table,
        "key": key,
        "columns": ", ".join(columns),
        "old": ", ".join(f"old.{column}" for column in columns),
        "new": ", ".join(f"new.{column}" for column in columns),
    }
    triggers = (f"CREATE TRIGGER {{table}}_trgm_{n} AFTER {sql}" for n, sql in TRIGGERS.items())
    for sql in (*FILL, *triggers):
        connection.exec_driver_sql(sql.format(**names))


def _columns(connection: Connection, table: str, condition: str) -> list[str]:
    query = f"SELECT name FROM pragma_table_info(?) WHERE {condition}"  # noqa: S608 - our own
    return list(connection.exec_driver_sql(query, (table,)).scalars())


def _drop_triggers(connection: Connection, table: str) -> None:
    for name in TRIGGERS:
        connection.exec_driver_sql(f"DROP TRIGGER IF EXISTS {table}_trgm_{name}")
