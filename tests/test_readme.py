"""What the README shows is run, and what it lists is compared with the program."""

import os
import re
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, make_url
from sqlmodel import SQLModel

from orders_api.app import create_app
from orders_api.settings import Settings
from tests.conftest import ROOT
from tests.live import create_user, http, local_server, running_server
from tests.samples import STORE
from tests.sessions import blocks, check_session, steps

README = (ROOT / "README.md").read_text("utf-8")
POSTGRESQL = make_url("postgresql+psycopg://").get_dialect()()


def section(heading: str) -> str:
    """Give what stands below a heading."""
    return README.split(f"\n## {heading}\n")[1].split("\n## ")[0]


def table(heading: str) -> list[list[str]]:
    """Give the rows of the table below a heading, without the code marks."""
    lines = re.findall(r"^\|(.*)\|$", section(heading), re.MULTILINE)[2:]
    return [[cell.strip().replace("`", "") for cell in line.split("|")] for line in lines]


# --- The sessions --------------------------------------------------------------------------


SIGNING_IN = section("Signing in")
needs_curl = pytest.mark.skipif(shutil.which("curl") is None, reason="needs curl")


@needs_curl
def test_first_session_prints_what_the_readme_shows(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with local_server(tmp_path, **environment) as address:
        check_session(section("A first session with curl"), address, tmp_path, environment)


@pytest.mark.slow
@needs_curl
def test_sessions_print_what_the_readme_shows(environment: dict[str, str], tmp_path: Path) -> None:
    with running_server(tmp_path, **environment) as address:
        check_session(README.replace(SIGNING_IN, ""), address, tmp_path, environment)


@pytest.mark.slow
@needs_curl
def test_session_of_a_user_prints_what_the_readme_shows(
    environment: dict[str, str], tmp_path: Path
) -> None:
    (command,) = blocks("sh", SIGNING_IN)
    start = re.fullmatch(r"(\w+)=(\w+) orders-api serve\n", command)
    assert start
    with running_server(tmp_path, **environment, **{start[1]: start[2]}) as address:
        check_session(SIGNING_IN, address, tmp_path, environment)


def test_every_command_of_the_sessions_is_run() -> None:
    assert len(steps(README)) == README.count("\n$ ")
    first_words = {re.split(r"[ =]", command)[0] for command, _ in steps(README)}
    assert first_words == {"TOKEN", "curl", "echo", "export", "http", "orders-api", "printf"}


def test_first_commands_to_copy_are_serve_and_test() -> None:
    assert blocks("sh", README)[:2] == [
        "pip install uv && uv run orders-api serve\n",
        "uv run pytest\n",
    ]


# --- The tables ----------------------------------------------------------------------------


def test_every_endpoint_is_listed_with_its_methods_and_parameters() -> None:
    listed = {
        path: (set(methods.split(", ")), set(parameters.split(", ")) - {""})
        for path, methods, parameters in table("Endpoints")
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
        for path, operations in create_app(Settings()).openapi()["paths"].items()
    }


def defaults() -> dict[str, str]:
    """Give the default of each setting, as one writes it in the environment."""
    return {
        name.upper(): "" if field.default is None else str(field.default).replace("True", "true")
        for name, field in Settings.model_fields.items()
    }


def test_every_setting_is_listed_with_its_default() -> None:
    assert {name: default for name, default, _ in table("Configuration")} == defaults()


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

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as proxy:
        thread = threading.Thread(target=proxy.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{proxy.server_port}"
        finally:
            proxy.shutdown()
            thread.join()


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
    (diagram,) = blocks("mermaid", README)
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
    (diagram,) = blocks("mermaid", README)
    drawn = re.findall(r"^    (\w+) (\|\||\|o)--(?:o|\|)\{ (\w+) : ", diagram, re.MULTILINE)
    assert sorted(drawn) == sorted(
        (key.column.table.name, "|o" if key.parent.nullable else "||", sql_table.name)
        for sql_table in SQLModel.metadata.sorted_tables
        for key in sql_table.foreign_keys
    )


def test_layout_names_every_module() -> None:
    (layout,) = blocks("text", README)
    named = set(re.findall(r"^ *([\w./]+)", layout, re.MULTILINE))
    package = ROOT / "orders_api"
    modules = {file.name for file in package.glob("*.py")} - {"__init__.py"}
    assert named == modules | {"orders_api/", "routes/", "migrations/", "tests/"}
