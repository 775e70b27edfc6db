"""Which error of a database means what."""

import re
import sqlite3

import sqlalchemy.exc
from sqlalchemy import Index, PrimaryKeyConstraint, UniqueConstraint
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import SQLModel

from orders_api.problems import ALREADY_EXISTS, IMPOSSIBLE, IN_USE, INVALID, Problem

UNIQUE = {"23505", "SQLITE_CONSTRAINT_UNIQUE", "SQLITE_CONSTRAINT_PRIMARYKEY"}
FOREIGN_KEY = {"23503", "SQLITE_CONSTRAINT_FOREIGNKEY", "SQLITE_CONSTRAINT_TRIGGER"}
READ_ONLY = "25006"  # read_only_sql_transaction
BAD_FILE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")
RETRIED = {"40001", "40P01"}  # serialization_failure, deadlock_detected
UNREPRESENTABLE = "The request has a value that the database cannot hold."


def from_database_error(error: Exception) -> Problem | None:
    """Tell by SQLSTATE (PostgreSQL) or result code (SQLite), never by a message's text."""
    if isinstance(getattr(error, "orig", None), OverflowError | ValueError):
        return Problem(INVALID, UNREPRESENTABLE)  # it did not even reach the database
    if isinstance(error, FileReplacedError):
        return Problem.unavailable(str(error))
    if not isinstance(error, sqlalchemy.exc.DBAPIError):
        # The pool has no connection to give, or the time for the request is over.
        unavailable = isinstance(error, _NO_ANSWER) or is_retried(error)
        return Problem.unavailable() if unavailable else None
    code = code_of(error.orig)
    statement = (error.statement or "").lstrip().upper()
    if isinstance(error, sqlalchemy.exc.IntegrityError):
        if code in UNIQUE:
            return Problem(ALREADY_EXISTS, _duplicate_sentence(error))
        if code in FOREIGN_KEY and statement.startswith("DELETE"):
            return Problem(IN_USE, "It is still in use: other objects refer to it.")
        if code in FOREIGN_KEY:
            return Problem(IMPOSSIBLE, "The request refers to an object that does not exist.")
        return Problem(INVALID, "The request breaks a rule of the database.")
    if names_what_is_missing(error):
        return Problem.not_migrated()
    if code.startswith("22") or isinstance(error, sqlalchemy.exc.DataError):
        return Problem(INVALID, UNREPRESENTABLE)
    if code == READ_ONLY:
        return Problem.unavailable()
    if code.startswith(BAD_FILE):
        return Problem.unavailable("The database's file is damaged, or is no database.")
    if isinstance(error, sqlalchemy.exc.OperationalError | sqlalchemy.exc.InterfaceError):
        return Problem.unavailable()
    # Without a statement it was the connection that failed, a wrong option in the URL included.
    no_answer = error.connection_invalidated or error.statement is None
    return Problem.unavailable() if no_answer else None


class StaleConnectionError(ConnectionError):
    """A connection was of no use any more, and nothing was done with it: it is safe to repeat."""


class FileReplacedError(OSError):
    """SQLite's file is not at its place any more."""


_NO_ANSWER = (sqlalchemy.exc.TimeoutError, TimeoutError, OSError)


def is_retried(error: Exception) -> bool:
    """Tell whether nothing was done by a transaction that may well succeed when repeated."""
    # A row has a newer version than the one read, or the connection did not even get to work.
    if isinstance(error, StaleDataError | StaleConnectionError):
        return True
    return isinstance(error, sqlalchemy.exc.DBAPIError) and (
        code_of(error.orig) in RETRIED
        # Another process opens or closes the file, for which SQLite does not always wait.
        or code_of(error.orig).startswith("SQLITE_BUSY")
    )


def names_what_is_missing(error: Exception) -> bool:
    """Tell whether a statement names a table or a column that the schema does not have."""
    # On SQLite "no such table" and "no such column" share a general code with syntax errors.
    missing = {"42P01", "42703", "SQLITE_ERROR"}
    return isinstance(error, sqlalchemy.exc.DBAPIError) and code_of(error.orig) in missing


def code_of(error: BaseException | None) -> str:
    """Return the SQLSTATE or the result code of a driver's error, or an empty text."""
    return getattr(error, "sqlstate", None) or getattr(error, "sqlite_errorname", None) or ""


def _duplicate_sentence(error: sqlalchemy.exc.IntegrityError) -> str:
    """Name the members that must be unique together, if that can be told."""
    names = ["username" if name == "login" else _camel(name) for name in _unique_columns(error)]
    return f"Another one with the same {' and '.join(names) or 'value'} exists already."


def _unique_columns(error: sqlalchemy.exc.IntegrityError) -> list[str]:
    constraint = getattr(getattr(error.orig, "diag", None), "constraint_name", None) or ""
    if isinstance(error.orig, sqlite3.Error):
        # "…: products.store_id, products.name", or "…: index 'uq_products_name'" of an expression
        _, _, subject = str(error.orig).partition(": ")
        if not subject.startswith("index "):
            return re.findall(r"\w+\.(\w+)", subject)
        constraint = subject.removeprefix("index ").strip("'")
    else:  # Citus passes on a node's message without the name, and the shard's has its number
        quoted = re.search(r'"(\w+)"', str(error.orig))
        constraint = re.sub(r"_\d{6,}$", "", constraint or (quoted[1] if quoted else ""))
    return [
        column.name
        for table in SQLModel.metadata.tables.values()
        for rule in (*table.constraints, *table.indexes)
        if isinstance(rule, UniqueConstraint | PrimaryKeyConstraint | Index)
        if rule.name == constraint
        for column in rule.columns
    ]


def _camel(name: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)
