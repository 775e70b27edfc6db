"""Snapshots of a PostgreSQL database: the rows of its tables, as COPY writes and reads them.

It needs no program beside this one, no right but to the tables, and no second database. The schema
is known by its revision, which must be the same when the rows are put back. They are saved as they
were at one moment, and nobody waits for that. They are put back in one transaction, for which all
others wait.
"""

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

from alembic.runtime.migration import MigrationContext
from psycopg import Cursor, sql
from psycopg.errors import DeadlockDetected, LockNotAvailable
from sqlalchemy import Connection, inspect

CONTENTS = "snapshot.json"
VERSION = "alembic_version"
SECONDS = 60  # to wait for those who use the tables
PATIENCE = 0.5  # seconds to wait for one of them before all may go on


def save_rows(connection: Connection, file: Path) -> None:
    """Save the rows of all tables; the connection must be of one snapshot (REPEATABLE READ)."""
    tables = _tables(connection)
    revision = MigrationContext.configure(connection).get_current_revision()
    file.touch(mode=0o600)  # it has what the database has, hashes of passwords included
    with ZipFile(file, "w", ZIP_DEFLATED) as archive, _cursor(connection) as cursor:
        contents = {"revision": revision, "tables": tables, "sequences": _sequences(cursor, tables)}
        archive.writestr(CONTENTS, json.dumps(contents))
        for name, columns in tables.items():
            with (
                archive.open(name, "w", force_zip64=True) as member,
                cursor.copy(_copy(name, columns, "TO STDOUT")) as rows,
            ):
                for data in rows:
                    member.write(data)


def restore_rows(connection: Connection, file: Path) -> None:
    """Put back the rows of all tables, in place of those that are there."""
    delete_rows(connection)
    with ZipFile(file) as archive, _cursor(connection) as cursor:
        contents = json.loads(archive.read(CONTENTS))
        for name, columns in contents["tables"].items():
            with (
                archive.open(name) as member,
                cursor.copy(_copy(name, columns, "FROM STDIN")) as rows,
            ):
                while data := member.read(64 * 1024):
                    rows.write(data)
        for name, state in contents["sequences"].items():
            cursor.execute("SELECT setval(%s::regclass, %s, %s)", (name, *state))


def delete_rows(connection: Connection) -> None:
    """Empty all tables, and let numbers begin anew; nobody sees that before it is committed."""
    names = sql.SQL(", ").join(map(sql.Identifier, _tables(connection)))
    with _cursor(connection) as cursor:
        _lock(cursor, names)
        cursor.execute(sql.SQL("TRUNCATE {} RESTART IDENTITY").format(names))


def _lock(cursor: Cursor[Any], names: sql.Composed) -> None:
    """Wait for all that others do with these tables; nobody does anything with them afterwards.

    Tables are locked one by one. A transaction that has one and waits for another could go on in no
    other way than by an error: so all are let go soon, before PostgreSQL looks for deadlocks.
    """
    end = time.monotonic() + SECONDS
    while True:
        try:
            with cursor.connection.transaction():  # a savepoint
                cursor.execute(f"SET LOCAL lock_timeout = '{PATIENCE}s'")
                cursor.execute(sql.SQL("LOCK TABLE {}").format(names))
        except (LockNotAvailable, DeadlockDetected):
            if time.monotonic() > end:
                raise
            time.sleep(PATIENCE)
        else:
            return


def revision_of(file: Path) -> str | None:
    """Return the revision of the schema whose rows a file has."""
    with ZipFile(file) as archive:
        revision: str | None = json.loads(archive.read(CONTENTS))["revision"]
    return revision


def _tables(connection: Connection) -> dict[str, list[str]]:
    """Return the tables with their columns, those first that others refer to."""
    inspector = inspect(connection)
    names = [name for name, _ in inspector.get_sorted_table_and_fkc_names() if name]
    return {
        name: [c["name"] for c in inspector.get_columns(name) if "computed" not in c]
        for name in names
        if name != VERSION
    }


def _sequences(cursor: Cursor[Any], tables: Mapping[str, list[str]]) -> dict[str, Any]:
    """Return the sequences that number rows, each with what it needs to go on."""
    found = {}
    for table, columns in tables.items():
        for column in columns:
            quoted = sql.Identifier(table).as_string(cursor)
            cursor.execute("SELECT pg_get_serial_sequence(%s, %s)", (quoted, column))
            for (name,) in cursor.fetchall():
                if name:
                    query = sql.SQL("SELECT last_value, is_called FROM {}").format(sql.SQL(name))
                    found[name] = cursor.execute(query).fetchone()
    return found


def _cursor(connection: Connection) -> Cursor[Any]:
    driver: Any = connection.connection.driver_connection
    cursor: Cursor[Any] = driver.cursor()
    return cursor


def _copy(table: str, columns: list[str], direction: str) -> sql.Composed:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    form = sql.SQL(direction)
    return sql.SQL("COPY {} ({}) {}").format(sql.Identifier(table), names, form)
