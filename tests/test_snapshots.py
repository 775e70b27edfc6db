"""`orders-api snapshot`, on both databases, beside a server as well."""

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZipFile

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from orders_api.cli import snapshot_files, snapshots
from orders_api.cli.commands import app
from orders_api.settings import Settings, parse_database_url
from orders_api.storage import postgresql_snapshots
from orders_api.storage.migrations import MIGRATIONS, head_revision
from tests.live import http, local_server
from tests.samples import STORE, without_times

Run = Callable[..., Result]


@pytest.fixture
def run(
    environment: dict[str, str],
    migrated_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    """Run the command in a folder of its own, on a migrated database of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    if not environment:
        (tmp_path / "orders.db").write_bytes(migrated_file.read_bytes())

    def run(*arguments: str, **others: str) -> Result:
        return CliRunner().invoke(app, arguments, env=environment | others)

    return run


def done(result: Result) -> str:
    assert (result.exit_code, result.stderr) == (0, ""), result.output
    return result.stdout


def refused(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (1, ""), result.output
    assert result.stderr.count("\n") == 1
    return result.stderr


def folder_of_snapshots(run: Run) -> Path:
    return Path(run("snapshot", "list").stderr.partition(" in ")[2].strip())


# --- Saved, and put back ------------------------------------------------------------------


def test_snapshot_is_put_back_beside_a_server(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    with local_server(tmp_path, **environment) as address:
        store = http.post(f"{address}/stores", json=STORE).json()
        todos = [http.post(f"{address}/todos", json={"task": "Wait"}).json() for _ in range(2)]
        assert done(run("snapshot", "save", "before-demo")) == "Saved before-demo.\n"
        done(run("demo", "--size", "20"))
        http.delete(f"{address}/todos/1")
        http.post(f"{address}/todos", json={"task": "Go"})
        others = [one for one in http.get(f"{address}/stores").json() if one != store]
        assert len(others) == 3
        other = {"q": others[0]["name"]}
        assert http.get(f"{address}/stores", params=other).json() == others[:1]
        assert done(run("snapshot", "restore", "before-demo")) == "Restored before-demo.\n"
        assert http.get(f"{address}/stores").json() == [store]
        assert http.get(f"{address}/stores?q=corner").json() == [store]
        assert http.get(f"{address}/stores", params=other).json() == []
        assert http.get(f"{address}/products").json() == []
        assert http.get(f"{address}/todos").json() == todos
        assert http.post(f"{address}/todos", json={"task": "Go"}).json()["todoId"] == 3
        assert http.get(f"{address}/ready").status_code == 200


@pytest.mark.slow  # quick: a snapshot is put back beside a server
def test_requests_go_on_while_snapshots_are_saved_and_put_back(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    """Each gets the rows of one moment, and what is written is there until the next restore."""
    answers: list[int] = []
    is_over = threading.Event()

    def ask(address: str) -> None:
        while not is_over.is_set():
            answers.append(http.get(f"{address}/products").status_code)
            answers.append(http.post(f"{address}/todos", json={"task": "Wait"}).status_code)

    with local_server(tmp_path, DATABASE_TIMEOUT="60", **environment) as address:
        done(run("demo", "--size", "20"))
        thread = threading.Thread(target=ask, args=[address])
        thread.start()
        try:
            done(run("snapshot", "save", "busy"))
            for _ in range(3):
                done(run("snapshot", "restore", "busy"))
                done(run("snapshot", "reset"))
            done(run("snapshot", "restore", "busy"))
        finally:
            is_over.set()
            thread.join()
        assert set(answers) <= {200, 201}
        assert len(http.get(f"{address}/products?limit=200").json()) == 20


def test_transaction_that_needs_another_table_goes_on_while_a_snapshot_is_put_back(
    run: Run, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not environment:
        pytest.skip("Those who read go on with what was there.")
    monkeypatch.setattr(postgresql_snapshots, "PATIENCE", 0.05)
    done(run("snapshot", "save", "a"))
    url = environment["DATABASE_URL"]
    with psycopg.connect(url) as connection, psycopg.connect(url, autocommit=True) as other:
        connection.execute("SELECT 1 FROM products")
        with ThreadPoolExecutor() as pool:
            restore = pool.submit(run, "snapshot", "restore", "a")
            waits = "SELECT 1 FROM pg_locks WHERE NOT granted AND relation = 'products'::regclass"
            while not (restore.done() or other.execute(waits).fetchone()):
                pass
            connection.execute("SELECT 1 FROM stores")  # which the snapshot's has already
            connection.commit()
            done(restore.result())


def test_reset_leaves_an_empty_database_or_the_demo_alone(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    with local_server(tmp_path, **environment) as address:
        for _ in range(2):
            http.post(f"{address}/todos", json={"task": "Wait"})
        assert done(run("snapshot", "reset")) == "The database has no rows any more.\n"
        assert http.get(f"{address}/todos").json() == []
        assert http.post(f"{address}/todos", json={"task": "Wait"}).json()["todoId"] == 1
        for _ in range(2):
            assert done(run("snapshot", "reset", "--demo")).endswith("the made-up data alone.\n")
            assert http.get(f"{address}/todos").json() == []
            assert len(http.get(f"{address}/stores").json()) == 5
        found = http.get(f"{address}/products", params={"q": "atlas"})
        assert found.status_code == 200


def test_reset_makes_a_database_that_has_no_tables(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    if environment:
        with psycopg.connect(environment["DATABASE_URL"], autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
    else:
        (tmp_path / "orders.db").unlink()
    done(run("snapshot", "reset", "--demo"))
    assert len(done(run("export", "products")).splitlines()) == 100


HOLDER = """
import sqlite3

connection = sqlite3.connect("orders.db")
connection.execute("PRAGMA journal_mode = WAL")
for n in range(200):
    connection.execute(f"CREATE TABLE table_{n} (a)")
connection.commit()
print("open", flush=True)
input()
"""


@pytest.mark.parametrize("arguments", [["migrate"], ["demo"], ["snapshot", "reset", "--demo"]])
def test_file_made_in_place_of_a_removed_one_that_is_still_open_is_whole(
    run: Run, environment: dict[str, str], tmp_path: Path, arguments: list[str]
) -> None:
    if environment:
        pytest.skip("It has no file that could be removed.")
    file = tmp_path / "orders.db"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == b"open\n"
        file.unlink()
        done(run(*arguments))
        with closing(sqlite3.connect(file)) as connection:
            assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        assert len(done(run("export", "products")).splitlines()) in {0, 100}
        holder.communicate(b"\n")
    done(run("snapshot", "save", "a"))


# --- The list -----------------------------------------------------------------------------


def test_snapshots_are_listed_oldest_first(run: Run) -> None:
    result = run("snapshot", "list")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.startswith("no snapshots in ")
    for name in ("b", "a"):
        done(run("snapshot", "save", name))
    result = run("snapshot", "list")
    assert [line.split()[-1] for line in result.stdout.splitlines()] == ["b", "a"]
    assert result.stderr.startswith("2 snapshots in ")


def test_what_is_no_file_is_no_snapshot(run: Run) -> None:
    done(run("snapshot", "save", "a"))
    (file,) = folder_of_snapshots(run).glob("[!.]*")
    file.with_stem("folder").mkdir()
    file.with_stem("link").symlink_to("nowhere")
    assert run("snapshot", "list").stdout.split()[-1] == "a"
    for name in ("folder", "link"):
        assert refused(run("snapshot", "restore", name)).startswith(f"There is no snapshot {name};")
    done(run("snapshot", "save", "link"))
    assert "could not be saved: " in refused(run("snapshot", "save", "folder"))


def test_snapshots_are_read_by_nobody_else(run: Run) -> None:
    done(run("snapshot", "save", "mine"))
    (file,) = folder_of_snapshots(run).glob("[!.]*")
    assert (file.parent.stat().st_mode & 0o77, file.stat().st_mode & 0o77) == (0, 0)


def test_names_are_checked(run: Run) -> None:
    done(run("snapshot", "save", "before-demo"))
    again = refused(run("snapshot", "save", "before-demo"))
    assert again.startswith("There is a snapshot before-demo already: choose another name, or ")
    near = refused(run("snapshot", "restore", "befor-demo"))
    assert near == "There is no snapshot befor-demo; did you mean `before-demo`?\n"
    other = refused(run("snapshot", "restore", "x"))
    assert other == "There is no snapshot x; see `orders-api snapshot list`.\n"
    for name in ("../x", ".x", "a/b", "", "ä", "x" * 65):
        assert "cannot be the name of a snapshot" in refused(run("snapshot", "save", name))
        assert "cannot be the name of a snapshot" in refused(run("snapshot", "restore", name))


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("postgresql:///orders", "local-5432-orders"),
        ("postgresql://localhost/orders", "localhost-5432-orders"),
        ("postgresql://u:p@192.0.2.1:6432/orders", "192.0.2.1-6432-orders"),
        ("postgresql:///orders?host=/tmp/a", "%2Ftmp%2Fa-5432-orders"),
        ("postgresql:///orders?host=/tmp/a&port=6432", "%2Ftmp%2Fa-6432-orders"),
        ("postgresql://u:p@a,b:6432/orders", "a%2Cb-%2C6432-orders"),
    ],
)
def test_each_server_has_a_folder_of_its_own(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("PGHOST", "PGHOSTADDR", "PGPORT", "PGSERVICE"):
        monkeypatch.delenv(variable, raising=False)
    settings = Settings(database_url=url)
    assert snapshot_files.folder_of(settings).name == name


def test_folder_is_that_of_the_server_that_variables_of_libpq_name(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "192.0.2.1")
    monkeypatch.setenv("PGPORT", "6432")
    settings = Settings(database_url="postgresql:///orders")
    assert snapshot_files.folder_of(settings).name == "192.0.2.1-6432-orders"


# --- Other revisions ----------------------------------------------------------------------


def migrate_to(revision: str, environment: dict[str, str], upgrade: bool = False) -> None:
    url = parse_database_url(environment.get("DATABASE_URL", "sqlite:///orders.db"))
    config = Config(attributes={"url": url})
    config.set_main_option("script_location", str(MIGRATIONS))
    (command.upgrade if upgrade else command.downgrade)(config, revision)


def test_snapshot_of_an_older_revision_is_migrated_or_refused(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    with local_server(tmp_path, **environment) as address:
        store = http.post(f"{address}/stores", json=STORE).json()
    migrate_to("-1", environment)
    done(run("snapshot", "save", "old"))
    migrate_to("head", environment, upgrade=True)
    if environment:
        sentence = refused(run("snapshot", "restore", "old"))
        assert f"and the database of {head_revision()}: take it there by `alembic" in sentence
        migrate_to("-1", environment)
    done(run("snapshot", "restore", "old"))
    done(run("migrate"))
    with local_server(tmp_path, **environment) as address:
        (found,) = http.get(f"{address}/stores?q=corner").json()
        assert without_times(found) == without_times(store)
        assert http.get(f"{address}/ready").status_code == 200


def test_snapshot_of_an_unknown_revision_changes_nothing(
    run: Run, environment: dict[str, str], tmp_path: Path
) -> None:
    def set_revision(revision: str | None) -> None:
        query = f"UPDATE alembic_version SET version_num = '{revision}'"
        if environment:
            with psycopg.connect(environment["DATABASE_URL"]) as postgresql:
                postgresql.execute(query.encode())
        else:
            with closing(sqlite3.connect("orders.db")) as sqlite, sqlite:
                sqlite.execute(query)

    set_revision("ffffffffffff")
    done(run("snapshot", "save", "new"))
    set_revision(head_revision())
    sentence = refused(run("snapshot", "restore", "new"))
    assert "ffffffffffff" in sentence
    with local_server(tmp_path, **environment) as address:
        assert http.get(f"{address}/ready").status_code == 200


def test_snapshot_without_tables_is_migrated_or_refused(
    run: Run, environment: dict[str, str]
) -> None:
    migrate_to("base", environment)
    done(run("snapshot", "save", "empty"))
    migrate_to("head", environment, upgrade=True)
    done(run("demo"))
    if environment:
        sentence = refused(run("snapshot", "restore", "empty"))
        assert "of a database without tables: `snapshot reset`" in sentence
    else:
        done(run("snapshot", "restore", "empty"))
    assert len(done(run("export", "stores")).splitlines()) == (5 if environment else 0)


# --- Commands that are killed, or under way -----------------------------------------------

KILLED_HALF_WAY = """
import os, signal, sys

from orders_api.cli.commands import app
from orders_api.storage import postgresql_snapshots, sqlite_snapshots

def kill(*_):
    os.kill(os.getpid(), signal.SIGKILL)

sqlite_snapshots.copy_database = postgresql_snapshots.ZipFile = kill
app(sys.argv[1:])
"""


@pytest.mark.parametrize("arguments", [["save", "a"], ["reset"]])
def test_what_a_killed_command_left_is_removed_by_the_next_one(
    run: Run, environment: dict[str, str], arguments: list[str]
) -> None:
    if environment and arguments == ["reset"]:
        pytest.skip("It makes no file.")
    killed = subprocess.run(
        [sys.executable, "-c", KILLED_HALF_WAY, "snapshot", *arguments],
        env={**os.environ, **environment},
    )
    assert killed.returncode == -signal.SIGKILL
    folder = folder_of_snapshots(run)
    assert len([*folder.glob(".new-*/*")]) == 1
    done(run("snapshot", "save", "a"))
    assert {file.stem for file in folder.iterdir()} == {".lock", "a"}


def test_command_waits_for_another_one_that_is_under_way(
    run: Run, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with snapshot_files.working_folder(snapshots.read_settings()) as folder:
        monkeypatch.setattr(snapshot_files, "SECONDS", 0)
        sentence = refused(run("snapshot", "save", "a"))
        assert sentence.startswith("Another snapshot command is under way: ")
        assert folder.is_dir()
    done(run("snapshot", "save", "a"))


def test_what_no_command_made_is_named_or_left_alone(run: Run) -> None:
    done(run("snapshot", "save", "a"))
    folder = folder_of_snapshots(run)
    others = {folder / ".new-file", folder / ".new-link"}
    (folder / ".new-file").touch()
    (folder / ".new-link").symlink_to("nowhere")
    done(run("snapshot", "save", "b"))
    assert {*folder.glob(".new-*")} == others
    lock = folder / ".lock.db"
    lock.write_bytes(b"nonsense" * 1000)
    sentence = f"{lock} cannot be locked: file is not a database. If it is there, remove it.\n"
    assert refused(run("snapshot", "save", "c")) == sentence
    lock.unlink()
    lock.mkdir()
    assert refused(run("snapshot", "save", "c")).startswith(f"{lock} cannot be locked: ")


# --- What cannot be -----------------------------------------------------------------------


def test_file_that_is_no_snapshot_changes_nothing(
    run: Run,
) -> None:
    done(run("snapshot", "save", "good"))
    done(run("demo"))
    (file,) = folder_of_snapshots(run).glob("[!.]*")
    file.with_stem("bad").write_bytes(b"nonsense" * 1000)
    assert "could not be restored: " in refused(run("snapshot", "restore", "bad"))
    assert len(done(run("export", "products")).splitlines()) == 100


def test_damaged_snapshot_changes_nothing(run: Run, environment: dict[str, str]) -> None:
    done(run("demo"))
    done(run("snapshot", "save", "good"))
    (file,) = folder_of_snapshots(run).glob("[!.]*")
    good, bad = file.read_bytes(), file.with_stem("bad")
    kinds = [b"", good[:-100], good[: len(good) // 2]]
    if environment:
        with ZipFile(bad, "w") as archive:
            archive.writestr("another.json", "{}")
        kinds += [bad.read_bytes()]
        with ZipFile(bad, "w") as archive:
            archive.writestr("snapshot.json", '{"revision": ')
        kinds += [bad.read_bytes()]
        middle = len(good) // 2
        kinds += [good[:middle] + bytes(100) + good[middle + 100 :]]
    for kind in kinds:
        bad.write_bytes(kind)
        assert "could not be restored: " in refused(run("snapshot", "restore", "bad"))
        assert len(done(run("export", "products")).splitlines()) == 100


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("sqlite://", "DATABASE_URL names no database of which there could be snapshots.\n"),
        ("sqlite:///nothing.db", "There is no database nothing.db to save.\n"),
        (
            "postgresql://127.0.0.1:1/orders",
            'The database does not answer: connection failed: connection to server at "127.0.0.1",'
            " port 1 failed: Connection refused.\n",
        ),
    ],
)
def test_database_that_is_not_there_is_said(
    url: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    result = CliRunner().invoke(app, ["snapshot", "save", "a"], env={"DATABASE_URL": url})
    assert refused(result).endswith(sentence)
    assert not [*tmp_path.glob("nothing.db*")]


def test_database_on_another_machine_is_left_alone_unless_it_is_named(
    run: Run, environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if not environment:
        pytest.skip("A file is on this machine.")
    done(run("snapshot", "save", "before"))
    done(run("demo"))
    monkeypatch.setattr(snapshots, "place_of", lambda _: "192.0.2.1")
    name = make_url(environment["DATABASE_URL"]).database
    assert name
    for arguments in (["reset"], ["restore", "before"], ["save", "after"]):
        for others in ([], ["--yes", "orders"]):
            sentence = refused(run("snapshot", *arguments, *others))
            assert f"The database {name} is on 192.0.2.1, not on this machine" in sentence
    assert len(done(run("export", "products")).splitlines()) == 100
    done(run("snapshot", "restore", "before", "--yes", name))
    assert done(run("export", "products")) == ""


@pytest.mark.parametrize(
    ("address", "place"),
    [
        ("", ""),
        ("127.0.0.1", ""),
        ("::1", ""),
        ("192.0.2.1", "192.0.2.1"),
        ("10.1.2.3", "10.1.2.3"),
    ],
)
def test_place_of_a_database_is_where_the_connection_leads(address: str, place: str) -> None:
    driver = SimpleNamespace(info=SimpleNamespace(hostaddr=address))
    connection: Any = SimpleNamespace(connection=SimpleNamespace(driver_connection=driver))
    assert snapshots.place_of(connection) == place
