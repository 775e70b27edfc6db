"""Migrations on SQLite in a file and on PostgreSQL, each test on a database of its own."""

import asyncio
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from textwrap import indent
from threading import Thread
from typing import Any
from uuid import uuid4

import psycopg
import pytest
import sqlalchemy as sa
import uvicorn
from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from fastapi import Request
from fastapi.testclient import TestClient
from sqlalchemy.sql import operators, visitors
from sqlalchemy.sql.elements import BinaryExpression
from sqlmodel import select
from typer.testing import CliRunner, Result

from orders_api.app import create_app
from orders_api.cli import commands, serving
from orders_api.models import Model, Todo, TodoOut
from orders_api.settings import Settings
from orders_api.storage.migrations import (
    MIGRATIONS,
    head_revision,
    migrate,
    migration_scripts,
)
from orders_api.web import Filter, Page, Read, Router
from tests.conftest import ROOT, Postgres, database_of, local_client
from tests.samples import STORE, create, new_coupon, new_order, new_product, problem

HEAD = head_revision()
TABLES = Model.metadata.tables.values()


# --- A database, a copy of the project ----------------------------------------------------


def new_database(kind: str, folder: Path) -> str:
    """Return the URL of a new, empty database."""
    if kind == "postgresql" and Postgres.server is None:
        pytest.skip("There is no embedded PostgreSQL to make a database on.")
    name = f"migrations_{uuid4().hex}"
    return f"sqlite:///{folder}/{name}.db" if kind == "sqlite" else Postgres.create(name)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    return new_database(request.param, tmp_path)


@pytest.fixture(params=["sqlite", "postgresql"])
def migrated(request: pytest.FixtureRequest, tmp_path: Path, migrated_file: Path) -> str:
    """The URL of a new database of this revision."""
    if request.param == "sqlite":
        return f"sqlite:///{shutil.copy(migrated_file, tmp_path)}"
    if Postgres.server is None:
        pytest.skip("There is no embedded PostgreSQL to make a database on.")
    return Postgres.create_migrated(f"migrations_{uuid4().hex}")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A copy of the project, to add models and migrations to."""
    copy = tmp_path / "project"
    for folder in ("orders_api", "migrations"):
        shutil.copytree(ROOT / folder, copy / folder)
    for file in ("alembic.ini", "pyproject.toml"):
        shutil.copy(ROOT / file, copy)
    return copy


def alembic(project: Path, *steps: tuple[str, str]) -> list[str]:
    """Run steps, each a database's URL and a command line of `alembic`; return what they print."""
    program = """if True:
        import os, shlex, sys
        from alembic.config import main
        for step in sys.argv[1:]:
            os.environ["DATABASE_URL"], line = step.split(maxsplit=1)
            main(shlex.split(line))
    """
    # -P: alembic.ini alone leads to the copy's models, not Python's habit to look where it is.
    arguments = [sys.executable, "-P", "-c", program, *map(" ".join, steps)]
    done = subprocess.run(
        arguments, cwd=project, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return [line for line in done.stdout.splitlines() if not line.startswith("INFO ")]


@contextmanager
def api(url: str) -> Iterator[TestClient]:
    """The API on this database, migrated."""
    settings = Settings(database_url=url)
    migrate(settings.url)
    with local_client(create_app(settings)) as client:
        yield client


@contextmanager
def connect(url: str) -> Iterator[sa.Connection]:
    sync_url = Settings(database_url=url).url
    sync_url = sync_url.set(drivername=sync_url.drivername.replace("+aiosqlite", ""))
    with sa.create_engine(sync_url, poolclass=sa.NullPool).begin() as connection:
        yield connection


def schema(url: str) -> dict[str, list[str]]:
    """Describe the columns, constraints and indexes of each table."""
    with connect(url) as connection:
        see = sa.inspect(connection)
        sql = "SELECT name FROM sqlite_master WHERE sql LIKE '%AUTOINCREMENT%'"
        counting = connection.scalars(sa.text(sql)).all() if see.dialect.name == "sqlite" else []
        return {
            table: sorted(
                repr(part)
                for part in (
                    # Defaults are left out: `fill_new_columns` in env.py adds some.
                    *({**column, "default": None} for column in see.get_columns(table)),
                    see.get_pk_constraint(table),
                    f"never reuses a number: {table in counting}",
                    *see.get_foreign_keys(table),
                    *see.get_unique_constraints(table),
                    *see.get_check_constraints(table),
                    *map(readable, see.get_indexes(table)),
                )
            )
            for table in tables(see)
        }


def tables(see: sa.Inspector) -> list[str]:
    """Name the tables but those of trigram indexes: see test_sqlite_trigrams.py."""
    return [name for name in see.get_table_names() if "_trgm" not in name]


def readable(index: Any) -> Any:
    """Write out the rows that an index is of, which come as an object."""
    options = index.get("dialect_options", {})
    return {**index, "dialect_options": {name: str(value) for name, value in options.items()}}


def rows(url: str) -> dict[str, list[str]]:
    with connect(url) as connection:
        return {
            table: sorted(map(repr, connection.execute(sa.text(f"SELECT * FROM {table}"))))
            for table in tables(sa.inspect(connection))
        }


def execute(url: str, sql: str) -> None:
    with connect(url) as connection:
        connection.execute(sa.text(sql))


# --- The command line of Alembic ----------------------------------------------------------


@pytest.mark.slow
def test_alembic_commands_need_only_database_url(project: Path, url: str) -> None:
    commands = (
        "upgrade head",
        "check",
        "current",
        "history --verbose",
        "revision --autogenerate -m 'Change nothing'",
        "downgrade base",
        "upgrade head --sql",
    )
    lines = alembic(project, *((url, command) for command in commands))
    assert lines[:3] == [
        "No new upgrade operations detected.",
        f"{HEAD} (head)",
        f"Rev: {HEAD} (head)",
    ]
    stamp = f"UPDATE alembic_version SET version_num='{HEAD}'"
    assert len([line for line in lines if line.startswith(stamp)]) == 1
    (script,) = project.glob("migrations/versions/*change_nothing.py")
    assert re.fullmatch(r"\d{4}_\d\d_\d\d_\d{4}-change_nothing.py", script.name)
    assert list(schema(url)) == ["alembic_version"]


MODEL = """

from enum import StrEnum


class Mood(StrEnum):
    HAPPY = "happy"
    SAD = "sad"


class LoanIn(In):
    product_id: UUID = Field(foreign_key="products.product_id", index=True)
    mood: Mood
    text: Text | None = None
    tip: Money = Decimal(0)
    published: bool = True
    seen_at: datetime | None = None


class LoanOut(LoanIn, Out):
    loan_id: Key


class Loan(LoanOut, table=True):
    __tablename__ = "loans"
    __table_args__ = (
        UniqueConstraint("product_id", "text"),
        Index(None, "mood", "loan_id"),
        CheckConstraint("tip BETWEEN 0 AND 999999 OR mood = 'sad'" + " OR published" * 5, name="x"),
    )
"""

CHANGES = {
    "class StoreIn(In):": """import enum


class Weather(enum.Enum):
    SUNNY = "sunny"


class StoreIn(In):
    weather: Weather = Weather.SUNNY
    motto: Text | None = None
    is_open: bool = True
    rank: int = 5
    fee: Money = Decimal("1.50")
    slogan: Text = "It's :open 100%"
""",
    'SAD = "sad"': 'MELANCHOLY = "melancholy"',
    'UniqueConstraint("product_id", "text")': """UniqueConstraint("product_id", "mood", "text"),
        CheckConstraint("tip < 100", name="tip_modest")""",
}


@pytest.mark.slow
@pytest.mark.parametrize("author", ["sqlite", "postgresql"])
def test_autogenerated_migrations_work_on_both_databases_with_rows_in_them(
    project: Path, tmp_path: Path, author: str
) -> None:
    kinds = [kind for kind in ("sqlite", "postgresql") if kind == author or Postgres.server]
    urls = {kind: new_database(kind, tmp_path) for kind in kinds}
    for url in urls.values():
        with api(url) as client:
            new_order(client, (new_product(client), 2))
    forth_and_back = [
        (url, command)
        for url in urls.values()
        for command in ("upgrade head", "downgrade -1", "upgrade head")
    ]
    models = project / "orders_api" / "models.py"

    models.write_text(models.read_text() + MODEL)
    shown = alembic(project, (urls[author], "revision --autogenerate -m 'Add loans'"))
    # No complaint of what formats and lints it.
    assert {line.split()[0] for line in shown} == {"Generating", "Running", "done"}
    alembic(project, *forth_and_back)
    for url in urls.values():
        execute(
            url,
            "INSERT INTO loans (loan_id, product_id, mood, tip, published)"
            " SELECT product_id, product_id, 'happy', 1, true FROM products",
        )

    for old, new in CHANGES.items():
        assert models.read_text().count(old) == 1
        models.write_text(models.read_text().replace(old, new))
    alembic(project, (urls[author], "revision --autogenerate -m 'Change both'"), *forth_and_back)
    alembic(project, *((url, "check") for url in urls.values()))

    for url in urls.values():
        with connect(url) as connection:
            query = sa.text("SELECT weather, motto, is_open, rank, fee, slogan FROM stores")
            filled = ("sunny", None, True, 5, 1.5, "It's :open 100%")
            assert connection.execute(query).all() == [filled]
        assert "ck_loans_tip_modest" in str(schema(url)["loans"])
        kept = rows(url)
        assert [len(kept[table]) for table in ("products", "order_items", "loans")] == [1, 1, 1]
    for check in (["check"], ["format", "--check"]):
        subprocess.run(
            [sys.executable, "-m", "ruff", *check, "migrations"], cwd=project, check=True
        )


RENAMES = {
    "    description: LongText | None": "    blurb: LongText | None",
    '    __tablename__ = "todos"': '    __tablename__ = "tasks"',
    "    phone:": "    motto: Text | None = None\n    phone:",
}
WARNINGS = [
    f"{what}: if this is a rename, see CONTRIBUTING.md."
    for what in (
        "Drops todos with all data and adds tasks",
        "Drops products.description with all data and adds products.blurb",
    )
]


@pytest.mark.slow
def test_autogenerated_migration_warns_of_what_may_be_a_rename(project: Path, url: str) -> None:
    models = project / "orders_api" / "models.py"
    for old, new in RENAMES.items():
        assert models.read_text().count(old) == 1
        models.write_text(models.read_text().replace(old, new))
    migrate(Settings(database_url=url).url)
    shown = alembic(project, (url, "revision --autogenerate -m 'Rename'"))
    assert [line for line in shown if "WARNING" in line] == [f"WARNING {w}" for w in WARNINGS]
    (script,) = project.glob("migrations/versions/*rename.py")
    upgrade, _, downgrade = script.read_text().partition("def downgrade")
    assert re.findall("# (Drops .+)", upgrade) == WARNINGS
    assert "# Drops" not in downgrade
    subprocess.run([sys.executable, "-m", "ruff", "check", script], cwd=project, check=True)


# --- What a migration may do to the rows --------------------------------------------------


def configuration(migrations: Path, url: str) -> Config:
    config = Config(attributes={"url": Settings(database_url=url).url})
    config.set_main_option("script_location", str(migrations))
    return config


def migrate_to_another(project: Path, url: str, upgrade: str, downgrade: str = "pass") -> Config:
    """Add a migration after the newest one, and run it."""
    (project / "migrations" / "versions" / "another.py").write_text(
        "import sqlalchemy as sa\n"
        "from alembic import op\n"
        f"revision, down_revision = 'another', {HEAD!r}\n"
        f"def upgrade():\n{indent(upgrade, '    ')}\n"
        f"def downgrade():\n{indent(downgrade, '    ')}\n"
    )
    config = configuration(project / "migrations", url)
    command.upgrade(config, "head")
    return config


# On SQLite each of these makes a new table, moves the rows and drops the old table.
WIDEN = """
for table in ("stores", "products", "order_items"):
    with op.batch_alter_table(table) as batch:
        batch.alter_column("name", type_=sa.String({length}), existing_type=sa.String())
with op.batch_alter_table("todos") as batch:
    batch.alter_column("task", type_=sa.String({length}), existing_type=sa.String())
with op.batch_alter_table("orders") as batch:
    batch.alter_column("date", nullable={nullable}, existing_type=sa.DateTime(timezone=True))
"""


@pytest.mark.slow  # quick: a migration that leaves references to nothing is rolled back
def test_replacing_the_tables_of_parents_keeps_their_children(project: Path, url: str) -> None:
    with api(url) as client:
        product = new_product(client)
        order = new_order(client, (product, 2))
        client.post("/todos", json={"task": "Call the bookbinder"})
    schema_before, rows_before = schema(url), rows(url)

    config = migrate_to_another(
        project,
        url,
        WIDEN.format(length=300, nullable=True),
        WIDEN.format(length=200, nullable=False),
    )
    assert schema(url) != schema_before
    assert rows(url) == rows_before | {"alembic_version": ["('another',)"]}
    command.downgrade(config, "-1")
    assert (schema(url), rows(url)) == (schema_before, rows_before)

    with api(url) as client:
        assert client.get(f"/orders/{order['orderId']}").json() == order
        problem(client.delete(f"/products/{product['productId']}"), 409, "in-use")
        problem(client.delete(f"/stores/{product['storeId']}"), 409, "in-use")


def test_rows_that_were_there_have_the_time_of_the_migration(migrated: str) -> None:
    with api(migrated) as client:
        new_order(client, (new_product(client), 1))
        new_coupon(client)
        create(client, "/todos", {"task": "Wait"})
    command.downgrade(configuration(MIGRATIONS, migrated), "c41d6f0b82e5")
    assert "updated_at" not in str(schema(migrated))
    before = datetime.now(UTC)
    with api(migrated) as client:
        for path in ("/stores", "/products", "/coupons", "/todos"):
            (one,) = client.get(path).json()
            assert one["createdAt"] == one["updatedAt"]
            assert before <= datetime.fromisoformat(one["createdAt"]) <= datetime.now(UTC)
            since = {"updatedSince": one["updatedAt"]}
            assert client.get(path, params=since).json() == [one]
            later = {"updatedSince": datetime.now(UTC).isoformat()}
            assert client.get(path, params=later).json() == []


AUTOCOMMIT_BLOCK = """
with op.get_context().autocommit_block():
    op.create_index("another", "todos", ["task"], postgresql_concurrently=True)
if op.get_context().dialect.name == "postgresql":
    own = "FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()"
    query = sa.text(f"SELECT current_setting('lock_timeout'), count(*) {own}")
    assert op.get_bind().execute(query).all() == [("1s", 1)]
"""


def test_migration_goes_on_under_its_locks_after_an_autocommit_block(
    project: Path, migrated: str
) -> None:
    migrate_to_another(project, migrated, AUTOCOMMIT_BLOCK)
    assert "another" in str(schema(migrated)["todos"])


@pytest.mark.slow  # of a migration that does not change any more
def test_order_items_get_what_their_orders_are_filtered_by(url: str) -> None:
    with api(url) as client:
        product = new_product(client)
        new_coupon(client, code="PIOTR")
        items = [{"productId": product["productId"], "quantity": 1}]
        for code in ("PIOTR", None):
            create(client, "/orders", {"items": items, "couponCode": code})
    schema_before, items_before = schema(url), rows(url)["order_items"]
    command.downgrade(configuration(MIGRATIONS, url), "5d0c8e1f7a34")
    assert "coupon_code" not in str(schema(url)["order_items"])
    migrate(Settings(database_url=url).url)
    assert (schema(url), rows(url)["order_items"]) == (schema_before, items_before)


def test_migration_that_leaves_references_to_nothing_is_rolled_back(
    project: Path, migrated: str
) -> None:
    with api(migrated) as client:
        new_order(client, (new_product(client), 2))
    before = schema(migrated), rows(migrated)
    upgrade = """
with op.batch_alter_table("stores") as batch:
    batch.add_column(sa.Column("motto", sa.String()))
op.execute("DELETE FROM stores")
"""
    with pytest.raises((CommandError, sa.exc.IntegrityError)) as refused:
        migrate_to_another(project, migrated, upgrade)
    if migrated.startswith("sqlite"):
        assert str(refused.value) == (
            "Migration another is rolled back, because it would leave rows that refer to"
            " nothing: from products to stores."
        )
    assert (schema(migrated), rows(migrated)) == before


def test_failing_migration_leaves_the_database_as_it_was(project: Path, migrated: str) -> None:
    with api(migrated) as client:
        new_order(client, (new_product(client), 2))
    before = schema(migrated), rows(migrated)
    upgrade = (
        WIDEN.format(length=300, nullable=True)
        + """
op.create_table("others", sa.Column("name", sa.String()))
op.execute("INSERT INTO others (name) VALUES ('a')")
op.execute("UPDATE stores SET name = 'changed'")
raise ZeroDivisionError
"""
    )
    with pytest.raises(ZeroDivisionError):
        migrate_to_another(project, migrated, upgrade)
    assert (schema(migrated), rows(migrated)) == before


def test_migration_on_postgresql_waits_for_another(tmp_path: Path) -> None:
    url = new_database("postgresql", tmp_path)
    (key,) = re.findall(r"^LOCK = ([\d_]+)", (MIGRATIONS / "env.py").read_text(), re.MULTILINE)
    waiting = """SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted
        AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"""
    thread = Thread(target=migrate, args=[Settings(database_url=url).url])
    with psycopg.connect(url) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", [int(key)])
        thread.start()
        while not other.execute(waiting).fetchall():
            assert thread.is_alive(), "it does not wait"
        assert rows(url) == {}
    thread.join()
    assert rows(url)["alembic_version"] == [f"('{HEAD}',)"]


ADD = 'op.add_column("stores", sa.Column("motto", sa.String()))'
WAITING = "SELECT FROM pg_locks WHERE relation = 'stores'::regclass AND NOT granted"


@pytest.mark.slow  # quick: a migration that cannot have a table is undone
def test_migration_that_waits_for_a_table_lets_others_use_it(project: Path, tmp_path: Path) -> None:
    url = new_database("postgresql", tmp_path)
    migrate(Settings(database_url=url).url)
    thread = Thread(target=migrate_to_another, args=[project, url, ADD])
    with psycopg.connect(url, autocommit=True) as other:
        other.execute("SET lock_timeout = '30s'")
        with psycopg.connect(url) as reader:
            reader.execute("SELECT FROM stores")
            thread.start()
            while not other.execute(WAITING).fetchall():
                assert thread.is_alive(), "it does not wait"
            other.execute("SELECT FROM stores")  # queues behind the migration
        thread.join()
        other.execute("SELECT motto FROM stores")


def test_migration_that_cannot_have_a_table_is_undone(project: Path, tmp_path: Path) -> None:
    env = project / "migrations" / "env.py"
    impatient = env.read_text().replace(
        "SECONDS = 1\nATTEMPTS = 30", "SECONDS = 0.02\nATTEMPTS = 2"
    )
    env.write_text(impatient)
    url = new_database("postgresql", tmp_path)
    migrate(Settings(database_url=url).url)
    before = schema(url)
    upgrade = f'op.create_table("others", sa.Column("name", sa.String()))\n{ADD}'
    with psycopg.connect(url) as reader:
        reader.execute("SELECT FROM stores")
        with pytest.raises(CommandError, match="Nothing was changed"):
            migrate_to_another(project, url, upgrade)
    assert schema(url) == before


@pytest.mark.slow
def test_several_migrations_at_once_make_the_schema_once(url: str) -> None:
    program = Path(sys.executable).with_name("orders-api")
    processes = [
        subprocess.Popen(
            [program, "migrate"],
            env=os.environ | {"DATABASE_URL": url},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for _ in range(4)
    ]
    for process in processes:
        output, _ = process.communicate()
        assert (process.returncode, output) == (0, f"The database is at revision {HEAD}.\n")
    assert rows(url) == {table.name: [] for table in TABLES} | {"alembic_version": [f"('{HEAD}',)"]}


# --- The server and the schema ------------------------------------------------------------

COUNT_ORDERS = "len(session.exec(select(Order)).all())"
ONE_PENDING = "1 migration pending: read it, then run `orders-api migrate`."


def migrate_to_an_older_revision(url: str, steps: int) -> None:
    revisions = [script.revision for script in migration_scripts().walk_revisions()]
    command.upgrade(configuration(MIGRATIONS, url), revisions[steps])


def orders_api(url: str, *arguments: str, text: str | None = None) -> Result:
    return CliRunner().invoke(commands.app, arguments, input=text, env={"DATABASE_URL": url})


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The applications that `orders-api serve` would have run."""
    served: list[str] = []
    monkeypatch.setattr(uvicorn, "run", lambda name, **_: served.append(name))
    monkeypatch.setattr(serving, "check_address", lambda *_: None)  # port 8000 may be taken
    return served


@pytest.mark.parametrize(
    ("steps", "advice"),
    [
        (1, ONE_PENDING),
        (2, "2 migrations pending: read them, then run `orders-api migrate`."),
    ],
)
def test_pending_migration_is_named_and_left_to_a_person(
    url: str, steps: int, advice: str, caplog: pytest.LogCaptureFixture, served: list[str]
) -> None:
    migrate_to_an_older_revision(url, steps)
    before = schema(url)
    assert orders_api(url, "serve", "--reload").exit_code == 0
    with local_client(create_app(Settings(database_url=url))) as client:
        warnings = [r for r in caplog.records if (r.name, r.levelname) == ("orders_api", "WARNING")]
        assert [warning.getMessage() for warning in warnings] == [advice]
        assert problem(client.get("/ready"), 503, "not-migrated")["detail"] == advice
        assert client.get("/orders").json() == []  # which no pending migration changes
        assert orders_api(url, "shell", text=f"print({COUNT_ORDERS})").stdout == "0\n"
        assert schema(url) == before

        assert orders_api(url, "migrate").stdout == f"The database is at revision {HEAD}.\n"
        assert client.get("/ready").status_code == 200
    assert served == ["orders_api.main:app"]


def test_statement_for_a_later_schema_is_answered_by_what_is_pending(url: str) -> None:
    command.upgrade(configuration(MIGRATIONS, url), "5d0c8e1f7a34")
    with local_client(create_app(Settings(database_url=url))) as client:
        # It names a column that the next migration adds.
        parameters = {"productId": str(uuid4()), "since": "2026-01-01T00:00:00Z"}
        answer = problem(client.get("/orders", params=parameters), 503, "not-migrated")
        assert answer["detail"] == client.get("/ready").json()["detail"]
        assert "pending: read" in answer["detail"]


@pytest.mark.parametrize("shortcuts", [True, False])
def test_read_meets_the_schema_just_before_it_is_migrated(
    url: str, shortcuts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = Settings(database_url=url, shortcuts=shortcuts)
    older = configuration(MIGRATIONS, url)
    command.upgrade(older, "c41d6f0b82e5")
    with local_client(create_app(settings)) as client:
        database = database_of(client)
        look = database.schema_advice

        async def migrate_and_look() -> str | None:
            await asyncio.to_thread(migrate, settings.url)
            return await look()

        async def look_and_migrate() -> str | None:
            advice = await look()
            await asyncio.to_thread(migrate, settings.url)
            return advice

        monkeypatch.setattr(database, "schema_advice", migrate_and_look)
        assert client.get("/todos").json() == []
        command.downgrade(older, "c41d6f0b82e5")
        monkeypatch.setattr(database, "schema_advice", look_and_migrate)
        problem(client.get("/todos"), 503, "not-migrated")
        assert client.get("/todos").json() == []


def test_statement_that_is_wrong_in_each_schema_is_a_fault_of_ours(migrated: str) -> None:
    calls = []
    router = Router(prefix="/colours")

    async def find_colours(request: Request, read: Read) -> list[TodoOut]:
        calls.append(request.method)
        todos = await read.exec(select(Todo).where(sa.text("colour = 1")))
        return list(todos)

    router.get("")(find_colours)
    router.post("")(find_colours)
    app = create_app(Settings(database_url=migrated))
    app.include_router(router)
    with local_client(app) as client:
        problem(client.get("/colours"), 500, "internal")
        problem(client.post("/colours"), 500, "internal")
    assert calls == ["GET", "GET", "POST"]


def test_command_advises_to_migrate_only_if_the_schema_is_not_that_of_the_code(url: str) -> None:
    wrong = "from sqlmodel import text; session.exec(text('SELECT colour FROM stores'))"
    migrate_to_an_older_revision(url, 1)
    result = orders_api(url, "shell", text=wrong)
    assert (result.exit_code, result.stderr) == (1, f"{ONE_PENDING}\n")
    migrate(Settings(database_url=url).url)
    assert isinstance(orders_api(url, "shell", text=wrong).exception, sa.exc.DBAPIError)


def test_serve_without_reload_migrates_sqlite(tmp_path: Path, served: list[str]) -> None:
    url = new_database("sqlite", tmp_path)
    migrate_to_an_older_revision(url, 1)
    assert orders_api(url, "serve").exit_code == 0
    assert rows(url)["alembic_version"] == [f"('{HEAD}',)"]
    assert served == ["orders_api.main:app"]


@pytest.mark.parametrize("arguments", [["serve", "--reload"], ["export", "stores"]])
def test_new_sqlite_database_is_migrated_by_whatever_opens_it(
    tmp_path: Path, arguments: list[str], served: list[str]
) -> None:
    url = new_database("sqlite", tmp_path)
    assert orders_api(url, *arguments).exit_code == 0
    assert rows(url)["alembic_version"] == [f"('{HEAD}',)"]
    assert len(served) == (arguments[0] == "serve")


def test_database_ahead_of_the_code_names_a_way_out(
    migrated: str, caplog: pytest.LogCaptureFixture
) -> None:
    execute(migrated, "UPDATE alembic_version SET version_num = 'later'")
    advice = (
        "The database is at revision later, which this code does not have: update the code,"
        f" or run `alembic downgrade {HEAD}` with the code that has it."
    )
    with local_client(create_app(Settings(database_url=migrated))) as client:
        assert advice in caplog.messages
        assert problem(client.get("/ready"), 503, "not-migrated")["detail"] == advice
    result = orders_api(migrated, "migrate")
    assert (result.exit_code, result.stderr) == (
        1,
        f"The database could not be migrated: {advice}\n",
    )


@pytest.mark.slow
def test_two_heads_name_a_way_out(project: Path, url: str) -> None:
    migrate(Settings(database_url=url).url)
    for name in ("one", "two"):
        (project / "migrations" / "versions" / f"{name}.py").write_text(
            f"revision, down_revision = {name!r}, {HEAD!r}\n"
            "def upgrade(): pass\n"
            "def downgrade(): pass\n"
        )
    environment = {"DATABASE_URL": url, "PYTHONPATH": str(project)}

    def run(program: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", program],
            cwd=project,
            env=os.environ | environment,
            capture_output=True,
            text=True,
        )

    advice = (
        "The code has 2 newest migrations, one and two: run `alembic merge heads`, then"
        " `orders-api migrate`."
    )
    done = run("from orders_api.cli.commands import app; app(['migrate'])")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"The database could not be migrated: {advice}\n"
    done = run(
        "from fastapi.testclient import TestClient\n"
        "from orders_api.main import app\n"
        "with TestClient(app) as client: print(client.get('/ready').json()['detail'])"
    )
    assert done.stdout == f"{advice}\n"
    assert advice in done.stderr

    alembic(project, (url, "merge heads -m 'Merge one and two'"), (url, "upgrade head"))
    done = run("from orders_api.cli.commands import app; app(['migrate'])")
    assert done.returncode == 0


def test_postgresql_is_not_migrated_by_the_server(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    url = new_database("postgresql", tmp_path)
    settings = Settings(database_url=url)
    advice = "The database has no tables yet: run `orders-api migrate`."
    with local_client(create_app(settings)) as client:
        assert advice in caplog.messages
        assert client.get("/health").status_code == 200
        for response in (
            client.get("/ready"),
            client.get("/stores"),
            client.post("/stores", json=STORE),
        ):
            assert problem(response, 503, "not-migrated")["detail"] == advice
            assert response.headers["retry-after"] == "10"
        assert schema(url) == {}

        migrate(settings.url)
        assert client.get("/ready").json() == {"status": "ok"}
        assert client.post("/stores", json=STORE).status_code == 201


def test_server_is_ready_at_the_revision_of_its_code_alone(migrated: str) -> None:
    with api(migrated) as client:
        for sql in (
            "UPDATE alembic_version SET version_num = 'unknown'",
            "DELETE FROM alembic_version",
        ):
            execute(migrated, sql)
            problem(client.get("/ready"), 503, "not-migrated")
        execute(migrated, f"INSERT INTO alembic_version VALUES ('{HEAD}')")
        assert client.get("/ready").status_code == 200


def test_server_starts_while_postgresql_cannot_be_reached(
    caplog: pytest.LogCaptureFixture,
) -> None:
    settings = Settings(database_url="postgresql://someone:s3cret@127.0.0.1:1/orders")
    with local_client(create_app(settings)) as client:
        assert "port 1 failed: Connection refused" in caplog.text
        assert client.get("/health").status_code == 200
        for path in ("/ready", "/stores"):
            response = client.get(path)
            problem(response, 503, "unavailable")
            assert response.headers["retry-after"] == "1"
    assert "s3cret" not in caplog.text


# --- What the migrations make -------------------------------------------------------------


def test_migrations_make_what_the_models_say(url: str, tmp_path: Path) -> None:
    migrate(Settings(database_url=url).url)
    migrated = schema(url)
    del migrated["alembic_version"]
    created = new_database("sqlite" if url.startswith("sqlite") else "postgresql", tmp_path)
    with connect(created) as connection:
        Model.metadata.create_all(connection)
    assert migrated == schema(created)


@pytest.mark.skipif(Postgres.server is None, reason="It makes a database on the embedded server.")
@pytest.mark.parametrize(("encoding", "status"), [("SQL_ASCII", 201), ("LATIN1", 422)])
def test_database_of_another_encoding_takes_the_texts_that_it_can_write(
    encoding: str, status: int
) -> None:
    template = f"template0 ENCODING {encoding} LOCALE_PROVIDER libc LOCALE 'C'"
    settings = Settings(database_url=Postgres.create(encoding, template))
    migrate(settings.url)
    with local_client(create_app(settings)) as client:
        for _ in range(2):
            assert create(client, "/stores", STORE | {"city": "Évora"})["city"] == "Évora"
        answer = client.post("/stores", json=STORE | {"city": "Łódź"})
        assert answer.status_code == status
        cities = [store["city"] for store in client.get("/stores").json()]
        assert cities == ["Évora", "Évora", *["Łódź"] * (status == 201)]


def test_every_constraint_and_index_is_named_by_the_convention() -> None:
    kinds = {
        sa.PrimaryKeyConstraint: "pk",
        sa.ForeignKeyConstraint: "fk",
        sa.UniqueConstraint: "uq",
        sa.CheckConstraint: "ck",
    }
    for table in TABLES:
        names = {str(part.name): kinds[type(part)] for part in table.constraints}
        names |= {str(index.name): "ix" for index in table.indexes}
        wrong = [n for n, kind in names.items() if not n.startswith(f"{kind}_{table.name}")]
        assert wrong == []


def indexed() -> set[str]:
    """Return what an index, be it a constraint's own, leads with: `stores.city`."""
    keys = [
        *(index.expressions for table in TABLES for index in table.indexes),
        *(
            list(constraint.columns)
            for table in TABLES
            for constraint in table.constraints
            if isinstance(constraint, sa.PrimaryKeyConstraint | sa.UniqueConstraint)
        ),
    ]
    return {str(expressions[0]) for expressions in keys}


def test_every_foreign_key_leads_an_index() -> None:
    columns = {
        f"{table.name}.{key.column_keys[0]}"
        for table in TABLES
        for key in table.foreign_key_constraints
    }
    assert columns - indexed() == set()


def pages(page: type[Page] = Page) -> Iterator[type[Page]]:
    yield page
    for subclass in page.__subclasses__():
        yield from pages(subclass)


def test_every_column_that_a_list_is_filtered_by_leads_an_index() -> None:
    compared = {operators.eq, operators.lt, operators.le, operators.gt, operators.ge}
    conditions = [
        mark.condition("any")
        for page in pages()
        if not page.__module__.startswith("tests.")  # on tables of a test's own
        for field in page.model_fields.values()
        for mark in field.metadata
        if isinstance(mark, Filter)
    ]
    columns = {
        str(part.left)
        for condition in conditions
        for part in visitors.iterate(condition)
        if isinstance(part, BinaryExpression) and part.operator in compared
    }
    # A part of a text, as in `q`, is found by no index of this kind.
    assert "stores.city" in columns
    assert columns - indexed() == set()
