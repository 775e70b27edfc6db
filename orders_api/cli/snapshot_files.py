"""Where the snapshots of a database are."""

import os
import re
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import typer

from orders_api.cli.common import fail, reason_of

if TYPE_CHECKING:
    from sqlalchemy import URL

    from orders_api.settings import Settings

SECONDS = 60  # to wait for another command


def sqlite_file(settings: "Settings") -> Path:
    return Path(settings.url.database or "")


def folder_of(settings: "Settings") -> Path:
    """Return where the snapshots of a database are: beside a file, or among the user's data."""
    url = settings.url
    if settings.is_sqlite:
        return Path(f"{url.database}.snapshots")
    data = Path(typer.get_app_dir("orders-api"))
    if sys.platform.startswith("linux"):  # where that is a place for settings
        share = os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share"
        data = Path(share, "orders-api")
    return data / "snapshots" / place_of(url)


def place_of(url: "URL") -> str:
    """Name a PostgreSQL database and its server: `localhost-5432-orders`.

    What its URL leaves out may stand in variables such as PGHOST.
    """
    from psycopg.pq import Conninfo

    found = {one.keyword.decode(): one.val.decode() for one in Conninfo.get_defaults() if one.val}
    dialect: Any = url.get_dialect()
    found |= dialect().create_connect_args(url)[1]
    host = found.get("hostaddr") or found.get("host") or "local"
    return quote(f"{host}-{found['port']}-{found['dbname']}", safe="")


def file_of(settings: "Settings", name: str) -> Path:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        fail(f"`{name}` cannot be the name of a snapshot: write letters, digits, `.`, `_` and `-`.")
    return folder_of(settings) / f"{name}{ending_of(settings)}"


def files_of(settings: "Settings") -> list[Path]:
    found = folder_of(settings).glob(f"[!.]*{ending_of(settings)}")
    return [file for file in found if file.is_file()]  # and no link to nowhere


def ending_of(settings: "Settings") -> str:
    return ".db" if settings.is_sqlite else ".zip"


@contextmanager
def working_folder(settings: "Settings") -> Iterator[Path]:
    """Make a folder for what is not complete, and remove those of commands that were killed.

    Commands take turns, so that none removes what another one still needs.
    """
    import sqlite3

    folder = folder_of(settings)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    # SQLite's locks are let go with their process, whatever the system.
    with ExitStack() as stack:
        file = folder / ".lock.db"
        try:
            lock = stack.enter_context(closing(sqlite3.connect(file, timeout=SECONDS)))
            lock.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if error.sqlite_errorname == "SQLITE_BUSY":
                fail("Another snapshot command is under way: try again when it has ended.")
            fail(f"{file} cannot be locked: {reason_of(error)}. If it is there, remove it.")
        for left in folder.glob(".new-*"):
            if left.is_dir() and not left.is_symlink():  # nothing else is of a command
                shutil.rmtree(left)
        with TemporaryDirectory(prefix=".new-", dir=folder) as name:
            yield Path(name)
