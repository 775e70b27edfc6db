"""What the README and the pages in docs/ show is run, and what they list is compared."""

import os
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from sqlalchemy import Column, make_url
from sqlmodel import SQLModel

from orders_api.settings import Settings
from tests.conftest import ROOT, Postgres
from tests.live import create_user, http, local_server, running_server, served_by
from tests.resources import DOCUMENT
from tests.samples import STORE
from tests.sessions import blocks, check_session, steps

README = (ROOT / "README.md").read_text("utf-8")
DOCS = {file.name: file.read_text("utf-8") for file in sorted((ROOT / "docs").glob("*.md"))}
PAGES = {"README.md": README} | {f"docs/{name}": text for name, text in DOCS.items()}
POSTGRESQL = make_url("postgresql+psycopg://").get_dialect()()

needs_embedded = pytest.mark.skipif(Postgres.server is None, reason="needs the embedded PostgreSQL")


def section(heading: str, text: str = README) -> str:
    """Return what stands below a heading."""
    return text.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table(text: str) -> list[list[str]]:
    """Return the rows of the table in a text, without the code marks."""
    lines = re.findall(r"^\|(.*)\|$", text, re.MULTILINE)[2:]
    return [[cell.strip().replace("`", "") for cell in line.split("|")] for line in lines]


# --- The pages -----------------------------------------------------------------------------


def test_readme_is_short() -> None:
    assert len(README.splitlines()) <= 200


def test_every_page_is_linked_from_the_readme() -> None:
    assert PAGES.keys() - {"README.md"} <= set(links(section("Where to go on")))


@pytest.mark.parametrize("name", [*PAGES, "CONTRIBUTING.md", "CHANGELOG.md"])
def test_every_link_leads_somewhere(name: str) -> None:
    for link in links((ROOT / name).read_text("utf-8")):
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target.read_text("utf-8")), link


def prose(text: str) -> str:
    """Return a text without its blocks."""
    return re.sub(r"(?ms)^```.*?^```$", "", text)


def links(text: str) -> list[str]:
    """Return the links to other files, and to headings."""
    return [link for link in re.findall(r"\]\(([^)]+)\)", prose(text)) if "://" not in link]


def anchors(text: str) -> set[str]:
    """Return the names that GitHub gives to the headings."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).lower().replace(" ", "-") for heading in headings}


def test_every_block_that_is_no_session_has_a_test() -> None:
    others = {
        name: re.findall(r"^```(?!console$)(\w+)$", text, re.MULTILINE)
        for name, text in PAGES.items()
    }
    assert {name: languages for name, languages in others.items() if languages} == {
        "README.md": ["sh", "sh", "text"],
        "docs/deploy.md": ["nginx"],  # in test_proxy.py
        "docs/design.md": ["mermaid"],
        "docs/frontend.md": ["sh", "js", "sh"],  # in test_docs_page.py and test_faults.py
        # json in test_logs.py, python in test_instrumentation.py
        "docs/operations.md": ["json", "sh", "python", "sh", "sh"],
        "docs/out-classes.md": ["python", "python"],  # in test_examples.py
        # the indexes in test_trigrams.py, ini in test_pgbouncer.py
        "docs/postgresql.md": ["sh", "sql", "sql", "ini"],
        "docs/rolling-changes.md": ["sh", "sh"],  # in drills/test_rolling_change.py
        "docs/sign-in.md": ["sh"],
    }


# --- The sessions --------------------------------------------------------------------------


SESSIONS = [name for name, text in DOCS.items() if blocks("console", text)]
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@needs_curl
def test_first_session_prints_what_the_readme_shows(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with local_server(tmp_path, **environment) as address:
        check_session(README, address, tmp_path, environment)


@pytest.mark.slow
@needs_curl
@pytest.mark.parametrize("name", SESSIONS)
def test_sessions_print_what_the_page_shows(
    name: str, environment: dict[str, str], tmp_path: Path
) -> None:
    """A page goes on where the README's session ends, unless it serves with other settings."""
    settings = dict(re.findall(r"^(\w+)=(\S+) orders-api serve$", DOCS[name], re.MULTILINE))
    text = DOCS[name] if settings else README + DOCS[name]
    with running_server(tmp_path, **environment, **settings) as address:
        check_session(text, address, tmp_path, environment)


@pytest.mark.parametrize("name", PAGES)
def test_every_command_of_the_sessions_is_run(name: str) -> None:
    found = steps(PAGES[name])
    assert len(found) == PAGES[name].count("\n$ ")
    first_words = {re.split(r"[ =]", command)[0] for command, _ in found}
    assert first_words <= {"TOKEN", "curl", "echo", "export", "http", "orders-api", "printf"}


def test_first_commands_to_copy_are_serve_and_test() -> None:
    assert blocks("sh", README) == [
        "pip install uv && uv run orders-api serve\n",
        "uv run pytest\n",
    ]


# --- Other commands ------------------------------------------------------------------------


def run(command: str, folder: Path, **environment: str) -> None:
    subprocess.run(
        ["bash", "-o", "errexit", "-c", command],
        cwd=folder,
        env=os.environ | environment,
        stdout=subprocess.DEVNULL,
        check=True,
    )


@pytest.mark.slow
@needs_embedded
def test_database_that_is_made_and_migrated_as_shown_is_ready(tmp_path: Path) -> None:
    create, _ = blocks("sql", DOCS["postgresql.md"])
    name = f"orders_{uuid4().hex}"
    with psycopg.connect(Postgres.server.get_uri(), autocommit=True) as connection:
        connection.execute(create.replace(" orders ", f" {name} ").encode())
    url = Postgres.server.get_uri(database=name)

    (block,) = blocks("sh", DOCS["postgresql.md"])
    export, migrate, serve = block.splitlines()
    assert (export.split("=")[0], serve) == ("export DATABASE_URL", "orders-api serve")
    run(migrate, tmp_path, DATABASE_URL=url)
    with local_server(tmp_path, DATABASE_URL=url) as address:
        assert http.get(f"{address}/ready").status_code == 200


@pytest.mark.slow  # it runs the commands of a page beside a server
def test_backup_has_what_was_written_while_the_server_runs(
    environment: dict[str, str], tmp_path: Path
) -> None:
    sqlite, postgresql = blocks("sh", section("Backups", DOCS["operations.md"]))
    if not environment and shutil.which("sqlite3") is None:
        pytest.skip("needs sqlite3")
    with local_server(tmp_path, **environment) as address:
        store = http.post(f"{address}/stores", json=STORE).json()
        if environment:
            copy = Postgres.create("copy")
            path = f"{Postgres.server.bin_path}:{os.environ['PATH']}"
            back_up, restore = postgresql.splitlines()
            run(back_up, tmp_path, PATH=path, **environment)
            run(restore, tmp_path, PATH=path, DATABASE_URL=copy)
        else:
            copy = f"sqlite:///{tmp_path}/copy.db"
            run(sqlite, tmp_path)
    with local_server(tmp_path, DATABASE_URL=copy) as address:
        assert http.get(f"{address}/stores").json() == [store]


def test_what_is_installed_for_traces_is_an_extra_of_the_package() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    named = set(re.findall(r"uv run --extra (\w+)", DOCS["operations.md"]))
    assert named == set(project["optional-dependencies"])


# --- The tables ----------------------------------------------------------------------------


def test_every_endpoint_is_listed_with_its_methods_and_parameters() -> None:
    listed = {
        path: (set(methods.split(", ")), set(parameters.split(", ")) - {""})
        for path, methods, parameters in table(section("Endpoints"))
    }
    assert listed == {
        path: (
            {method.upper() for method in operations},
            {
                parameter["name"]
                for operation in operations.values()
                for parameter in operation.get("parameters", ())
                if parameter["in"] == "query"
            }
            - {"limit", "after"},
        )
        for path, operations in DOCUMENT["paths"].items()
    }


def defaults() -> dict[str, str]:
    """Return the default of each setting, as one writes it in the environment."""
    return {
        name.upper(): "" if field.default is None else str(field.default).replace("True", "true")
        for name, field in Settings.model_fields.items()
    }


def test_every_setting_is_listed_with_its_default() -> None:
    assert {name: default for name, default, _ in table(DOCS["configuration.md"])} == defaults()


def test_example_file_has_every_setting_commented_out_with_its_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    example = (ROOT / ".env.example").read_text("utf-8")
    assignment = re.compile(r"^# ([A-Z_]+)=(.*)$", re.MULTILINE)
    assert dict(assignment.findall(example)) == defaults()
    assert [line for line in example.splitlines() if line and not line.startswith("# ")] == []

    file = tmp_path / "copy.env"
    file.write_text(assignment.sub(r"\1=\2", example))
    monkeypatch.setenv("ENV_FILE", str(file))
    from_example = Settings()
    monkeypatch.setenv("ENV_FILE", os.devnull)
    assert from_example == Settings()


def test_environment_counts_more_than_the_file_and_the_file_more_than_the_default(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "other.env"
    file.write_text("LOG_LEVEL=DEBUG\nDATABASE_POOL_SIZE=3\n")
    monkeypatch.setenv("ENV_FILE", str(file))
    monkeypatch.setenv("LOG_LEVEL", "ERROR")
    settings = Settings()
    assert (settings.log_level, settings.database_pool_size) == ("ERROR", 3)
    assert str(settings.url) == "sqlite+aiosqlite:///orders.db"


# --- Deploying -----------------------------------------------------------------------------


@contextmanager
def reverse_proxy(server: str, **added: str) -> Iterator[str]:
    """Run a proxy whose requests look like its own, but for the headers `added`."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            del self.headers["Host"]  # instead of it httpx2 sends 127.0.0.1 and the server's port
            headers = dict(self.headers) | added
            answer = http.get(server + self.path, headers=headers)
            self.send_response_only(answer.status_code)
            for name, value in answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(answer.content)

    with served_by(Handler) as address:
        yield address


def test_server_that_trusts_nobody_asks_all_who_come_through_a_proxy_for_a_token(
    environment: dict[str, str], tmp_path: Path
) -> None:
    create_user(tmp_path, environment)
    with (
        local_server(tmp_path, TRUST_LOCAL="false", **environment) as server,
        reverse_proxy(server) as proxy,
    ):
        form = {"username": "ada", "password": "correct horse"}
        token = http.post(f"{server}/token", data=form).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        assert http.get(f"{proxy}/todos").status_code == 401
        assert http.get(f"{proxy}/todos", headers=headers).status_code == 200


def test_server_that_trusts_its_machine_knows_a_proxy_by_its_headers_alone(
    tmp_path: Path,
) -> None:
    with (
        local_server(tmp_path) as server,
        reverse_proxy(server) as silent,
        reverse_proxy(server, **{"X-Forwarded-For": "192.0.2.1"}) as usual,
        reverse_proxy(server, Forwarded="for=192.0.2.1") as standard,
    ):
        assert http.get(f"{usual}/todos").status_code == 401
        assert http.get(f"{standard}/todos").status_code == 401
        # Which is why behind a proxy it must be told to trust nobody.
        assert http.get(f"{silent}/todos").status_code == 200


def test_next_page_is_where_the_proxy_says_that_the_server_is(tmp_path: Path) -> None:
    proxied = {"Host": "api.example", "X-Forwarded-Proto": "https"}
    with local_server(tmp_path) as server, reverse_proxy(server, **proxied) as proxy:
        for _ in range(2):
            assert http.post(f"{server}/stores", json=STORE).status_code == 201
        link = http.get(f"{proxy}/stores?limit=1").links["next"]
        assert link["url"].startswith("https://api.example/stores?limit=1&after=")


# --- The diagram and the layout ------------------------------------------------------------


def test_diagram_has_every_column_with_its_type_in_postgresql_and_its_keys() -> None:
    (diagram,) = blocks("mermaid", DOCS["design.md"])
    drawn = {
        name: set(re.findall(r"\S.*", columns))
        for name, columns in re.findall(r"(?ms)^    (\w+) \{\n(.*?)^    \}", diagram)
    }
    assert drawn == {
        sql_table.name: {drawn_column(column) for column in sql_table.columns}
        for sql_table in SQLModel.metadata.sorted_tables
    }


def drawn_column(column: Column[Any]) -> str:
    kind = column.type.compile(POSTGRESQL).split()[0].split("(")[0].lower()
    keys = ["PK"] * column.primary_key + ["FK"] * bool(column.foreign_keys)
    words = [kind, column.name, ", ".join(keys), '"optional"' if column.nullable else ""]
    return " ".join(filter(None, words))


def test_diagram_has_every_relationship() -> None:
    (diagram,) = blocks("mermaid", DOCS["design.md"])
    drawn = re.findall(r"^    (\w+) (\|\||\|o)--(?:o|\|)\{ (\w+) : ", diagram, re.MULTILINE)
    assert sorted(drawn) == sorted(
        (key.column.table.name, "|o" if key.parent.nullable else "||", sql_table.name)
        for sql_table in SQLModel.metadata.sorted_tables
        for key in sql_table.foreign_keys
    )


def test_layout_names_every_room() -> None:
    (layout,) = blocks("text", README)
    named = re.findall(r"^ *([\w./]+)", layout, re.MULTILINE)
    package = ROOT / "orders_api"
    modules = {file.name for file in package.glob("*.py")} - {"__init__.py"}
    rooms = {f"{file.parent.name}/" for file in package.glob("*/__init__.py")}
    assert sorted(named) == sorted(modules | rooms | {"orders_api/", "migrations/", "tests/"})
