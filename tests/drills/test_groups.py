"""Processes that are killed while they commit groups of transactions to SQLite."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from shutil import copyfile

import pytest

from tests.conftest import ROOT, needs_shortcuts

pytestmark = [pytest.mark.drill, needs_shortcuts]

TIMES = 100

# One process forks all that are killed: to start each anew takes most of a second.
CHILDREN = """
import asyncio, os, sys
from sqlalchemy.exc import IntegrityError
from orders_api.models import Todo
from orders_api.settings import Settings
from orders_api.storage.engines import Database
from orders_api.storage.unit_of_work import UnitOfWork

async def insert(database, writer, numbers):
    for number in numbers:
        todo = Todo(todo_id=number, task=f"{os.getpid()} {writer}")
        try:
            async with UnitOfWork(database) as write:
                await write.insert(todo)
        except IntegrityError:
            os.write(1, f"refused {todo.task} {number}\\n".encode())
        else:
            os.write(1, f"kept {todo.task} {number}\\n".encode())

async def main(url, first):
    database = Database(Settings(database_url=url))
    # Each number is inserted by two, of which one is refused.
    await asyncio.gather(*(
        insert(database, writer, range(first + writer // 2, first + 10_000, 8))
        for writer in range(16)
    ))

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        asyncio.run(main(sys.argv[1], int(line)))
        os._exit(0)
    os.write(1, f"started {child}\\n".encode())
    os.waitpid(child, 0)
    os.write(1, b"ended\\n")
"""


def test_process_that_is_killed_within_a_group_loses_nothing_and_keeps_nothing_refused(
    migrated_file: Path, tmp_path: Path
) -> None:
    file = copyfile(migrated_file, tmp_path / "orders.db")
    kept: set[tuple[int, str]] = set()
    refused: set[tuple[int, str]] = set()
    in_flight = 0
    with subprocess.Popen(
        [sys.executable, "-c", CHILDREN, f"sqlite:///{file}"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    ) as process:
        assert process.stdin
        assert process.stdout
        for time in range(TIMES):
            process.stdin.write(f"{1 + time * 10_000}\n")
            process.stdin.flush()
            child, answers, enough = 0, 0, random.randrange(1, 60)
            for line in process.stdout:
                word, *values = line.split()
                if word == "ended":
                    break
                if word == "started":
                    child = int(values[0])
                else:
                    answers += 1
                    {"kept": kept, "refused": refused}[word].add(
                        (int(values[2]), f"{values[0]} {values[1]}")
                    )
                if child and answers == enough:
                    os.kill(child, signal.SIGKILL)
            in_flight += 16
    with closing(sqlite3.connect(file)) as connection:
        found = set(connection.execute("SELECT todo_id, task FROM todos"))
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    assert len(kept) > TIMES
    assert refused
    assert kept <= found, "acknowledged rows are lost"
    assert not refused & found, "refused rows are there"
    assert len(found - kept) <= in_flight, "only what was in flight may be there, too"
