"""The tests stand on this: empty tables, databases of their own, and failures that say why."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import select
from sqlmodel import SQLModel

from orders_api.storage.engines import Database
from tests import conftest
from tests.conftest import LEFT_OUT, ROOT, Postgres, Statements, database_of, delete_all_rows
from tests.samples import create, new_coupon, new_order, new_product, new_user, sign_in

needs_embedded = pytest.mark.skipif(Postgres.server is None, reason="needs the embedded PostgreSQL")


# --- Databases ----------------------------------------------------------------------------


async def filled_tables(database: Database) -> set[str]:
    async with database.writer.begin() as connection:
        return {
            table.name
            for table in SQLModel.metadata.sorted_tables
            if (await connection.execute(select(table))).first()
        }


def test_rows_of_all_tables_are_deleted(client: TestClient) -> None:
    new_coupon(client)
    new_order(client, (new_product(client), 1))
    new_user(client, "ada")
    sign_in(client, "ada")
    client.post("/token", data={"username": "ada", "password": "wrong horse"})
    todo = {"task": "Wait"}
    assert client.post("/todos", json=todo, headers={"idempotency-key": "a"}).is_success
    database = database_of(client)
    assert client.portal is not None
    assert len(client.portal.call(filled_tables, database)) >= 11
    client.portal.call(delete_all_rows, database)
    assert client.portal.call(filled_tables, database) == set()


def test_empty_tables_are_left_alone(client: TestClient, statements: Statements) -> None:
    def commands() -> list[str]:
        """Empty the tables, and return the commands that it took, but for those of Citus."""
        assert client.portal is not None
        statements.texts.clear()
        client.portal.call(delete_all_rows, database_of(client))
        return [text.split()[0] for text in statements.texts if not text.startswith("SET ")]

    create(client, "/todos", {"task": "Wait"})
    assert commands() == ["SELECT", "DELETE"]
    assert commands() == ["SELECT"]


def test_connections_that_the_application_keeps_do_not_lack_the_tests(client: TestClient) -> None:
    database = database_of(client)
    assert client.portal is not None
    for kept in (database.to_write, database.to_read):
        links = [client.portal.call(kept.acquire) for _ in range(1 if database.is_sqlite else 10)]
        for link in links:
            client.portal.call(kept.release, link)
    client.portal.call(delete_all_rows, database)


# --- Workers ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "options", "are_divided"),
    [
        (["tests"], {}, True),
        (["tests/test_todos.py", "tests/drills"], {}, True),
        (["tests/test_todos.py"], {}, False),
        (["tests/test_todos.py::test_to_do"], {}, False),
        (["tests"], {"capture": "no"}, False),
        (["tests"], {"collectonly": True}, False),
        (["tests"], {"markexpr": "drill"}, False),
        (["tests"], {"markexpr": "slow"}, True),
    ],
)
def test_folders_are_divided_among_workers(
    monkeypatch: pytest.MonkeyPatch,
    arguments: list[str],
    options: dict[str, Any],
    are_divided: bool,
) -> None:
    monkeypatch.chdir(ROOT)
    monkeypatch.setattr(Postgres, "can_be_shared", lambda: True)
    option = SimpleNamespace(**{"capture": "fd", "collectonly": False, "markexpr": ""} | options)
    config: Any = SimpleNamespace(args=arguments, option=option)
    assert (conftest.pytest_xdist_auto_num_workers(config) > 0) is are_divided


def run_pytest(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "pytest", *arguments],
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def given() -> str:
    """A database on a server that is not the tests' own."""
    return Postgres.create("given")


def databases(url: str) -> list[tuple[str]]:
    with psycopg.connect(url) as connection:
        query = "SELECT datname FROM pg_database WHERE datname ~ '[0-9a-f]{32}_gw'"
        return connection.execute(query).fetchall()


@pytest.mark.slow
@needs_embedded
def test_databases_of_workers_stand_beside_the_given_one_until_the_end(given: str) -> None:
    result = run_pytest("-n2", "tests/test_todos.py", TEST_DATABASE_URL=given)
    assert result.returncode == 0, result.stdout
    assert "2 workers" in result.stdout
    assert databases(given) == []


@pytest.mark.slow
@needs_embedded
def test_role_that_may_not_create_databases_has_one_process(given: str) -> None:
    with psycopg.connect(given, autocommit=True) as connection:
        connection.execute("CREATE ROLE modest LOGIN")
        connection.execute("GRANT ALL ON SCHEMA public TO modest")
    try:
        url = given.replace("postgres:@", "modest:@")
        result = run_pytest("tests", "-k", "test_todos", TEST_DATABASE_URL=url)
        assert result.returncode == 0, result.stdout
        assert "workers" not in result.stdout
        assert conftest.ALONE in result.stdout
    finally:
        with psycopg.connect(given, autocommit=True) as connection:
            connection.execute("DROP OWNED BY modest CASCADE")
            connection.execute("DROP ROLE modest")


def test_bytecode_is_kept_for_the_next_process() -> None:
    assert not sys.dont_write_bytecode
    assert "PYTHONDONTWRITEBYTECODE" not in os.environ


# --- What is said -------------------------------------------------------------------------

FAILING = """
def test_price(client):
    client.get("/stores")
    assert client.post("/todos", json={"task": ""}).status_code == 201
"""


@pytest.mark.slow
@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_failure_shows_requests_answers_and_statements(tmp_path: Path, workers: str) -> None:
    file = tmp_path / "test_failing.py"
    file.write_text(FAILING)
    result = run_pytest(workers, "-p", "tests.conftest", "-c", "pyproject.toml", str(file))
    shown = result.stdout
    assert result.returncode == 1
    assert 'POST http://localhost/todos\n{"task":""}\n422 {' in shown
    assert '"pointer":"/task"' in shown
    assert "FROM stores ORDER BY stores.store_id ASC LIMIT" in shown
    assert "[100%]" in shown
    assert LEFT_OUT in "\n".join(shown.splitlines()[-5:])
