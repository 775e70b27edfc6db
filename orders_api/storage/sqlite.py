"""What SQLite's connections need before they are used."""

from typing import Any

from sqlalchemy import Connection

PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",  # NORMAL may lose the last commits in a power cut
    "PRAGMA foreign_keys = ON",
)


def prepare_connection(connection: Any, _: Any) -> None:
    # SQLite's own lower() knows ASCII only; PostgreSQL's knows Unicode.
    connection.run_async(lambda raw: raw.create_function("lower", 1, _lower, deterministic=True))
    cursor = connection.cursor()
    for pragma in PRAGMAS:
        cursor.execute(pragma)
    cursor.close()


def _lower(text: object) -> object:
    return text.lower() if isinstance(text, str) else text


def begin_immediate(connection: Connection) -> None:
    # A transaction that starts as a reader and then writes can fail half-way, or lose an update.
    connection.exec_driver_sql("BEGIN IMMEDIATE")
