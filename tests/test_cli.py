import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi.testclient import TestClient
from sqlalchemy import make_url
from typer.testing import CliRunner, Result

from orders_api.app import create_app
from orders_api.cli import serving
from orders_api.cli.commands import app
from orders_api.settings import Settings
from orders_api.storage.migrations import head_revision
from tests.conftest import ROOT
from tests.live import running_server
from tests.samples import STORE

ORDERS_API = str(Path(sys.executable).with_name("orders-api"))
UNREACHABLE = "postgresql://someone:s3cret@127.0.0.1:1/orders"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="orders-api", env=environment)


def unstyle(text: str) -> str:
    """Take out the colours that some continuous integrations force."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


@pytest.fixture(autouse=True)
def free_address(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    """Serve on port 8000 even where something else does, since nothing is served for real."""
    if "taken" not in request.function.__name__:
        monkeypatch.setattr(serving, "check_address", lambda *_: None)


# --- Usage --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["serve", "migrate", "environment", ".env"]),
        (["serve"], ["--host", "--port", "--reload", "--workers", "[default: 8000]"]),
        (["migrate"], ["Usage: orders-api migrate"]),
        (["demo"], ["--size", "--seed", "[default: 100]"]),
        (["import"], ["stores|products|coupons", "--format", "csv|json|jsonl", "--skip-bad"]),
        (["export"], ["stores|products|coupons", "oldest first", "csv|jsonl", "[default: -]"]),
    ],
)
def test_help_names_commands_and_options(arguments: list[str], words: list[str]) -> None:
    result = run(*arguments, "--help")
    assert (result.exit_code, result.stderr) == (0, "")
    assert [word for word in words if word not in unstyle(result.stdout)] == []


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["serve", "--port", "65536"], "'--port'"),
        (["serve", "--workers", "0"], "'--workers'"),
        (["serve", "--prot", "8000"], "No such option: --prot"),
        (["migrat"], "Did you mean 'migrate'?"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in unstyle(result.stderr)


def test_help_and_completion_import_nothing_that_takes_long() -> None:
    program = "import sys, orders_api.cli.commands; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    slow = {"alembic", "fastapi", "pydantic", "sqlalchemy", "sqlmodel", "uvicorn"}
    assert slow & set(modules.stdout.split()) == set()
    assert "orders_api.cli.commands" in modules.stdout.split()


COMPLETIONS = [
    ("exp", "export"),
    ("import p", "products"),
    ("import products FILE --format ", "csv json jsonl"),
    ("demo --s", "--size --seed"),
]


@pytest.mark.parametrize(("words", "completions"), COMPLETIONS)
def test_words_are_completed(words: str, completions: str) -> None:
    """Where a shell asks for it, as below."""
    result = run(
        _ORDERS_API_COMPLETE="complete_bash",
        COMP_WORDS=f"orders-api {words}",
        COMP_CWORD=str(len(words.split(" "))),
    )
    assert (result.stdout.split(), result.exit_code) == (completions.split(), 0)


@pytest.mark.slow
@pytest.mark.parametrize(("words", "completions"), COMPLETIONS)
def test_shell_completes_words(words: str, completions: str) -> None:
    """What a press of the tab key does in bash, which has read what --show-completion prints."""
    script = f"""
        eval "$(orders-api --show-completion bash)"
        COMP_WORDS=(orders-api {words}) COMP_CWORD={len(words.split(" "))}
        _orders_api_completion orders-api
        echo "${{COMPREPLY[@]}}"
    """
    path = f"{Path(ORDERS_API).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", script], env=os.environ | {"PATH": path}, capture_output=True, text=True
    )
    assert (done.stdout.split(), done.stderr) == (completions.split(), "")


# --- migrate ------------------------------------------------------------------------------


def test_migrate_says_what_it_has_reached(tmp_path: Path) -> None:
    for _ in range(2):
        result = run("migrate", DATABASE_URL=f"sqlite:///{tmp_path}/orders.db")
        assert (result.exit_code, result.stderr) == (0, "")
        assert result.stdout == f"The database is at revision {head_revision()}.\n"


@pytest.mark.parametrize(
    ("url", "reason"),
    [
        (
            UNREACHABLE,
            'connection failed: connection to server at "127.0.0.1", port 1 failed:'
            " Connection refused",
        ),
        (f"{UNREACHABLE}?colour=red", 'invalid connection option "colour"'),
        (f"sqlite:///{__file__}", "file is not a database"),
    ],
)
def test_unusable_database_is_explained_in_one_sentence(url: str, reason: str) -> None:
    result = run("migrate", DATABASE_URL=url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"The database could not be migrated: {reason}.\n"


@pytest.mark.parametrize("command", ["migrate", "serve", "demo", "snapshot reset"])
def test_file_that_cannot_be_written_is_named_with_the_way_out(command: str) -> None:
    result = run(*command.split(), DATABASE_URL="sqlite:////nowhere/orders.db")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "The database file /nowhere/orders.db cannot be written: make its folder, or allow to write"
        " there, or let DATABASE_URL name another file.\n"
    )


@pytest.mark.usefixtures("served")
@pytest.mark.parametrize("command", ["migrate", "serve", "demo", "snapshot reset"])
def test_file_that_may_only_be_read_is_named_with_the_way_out(
    command: str, tmp_path: Path, migrated_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = Path(shutil.copy(migrated_file, tmp_path / "orders.db"))
    monkeypatch.setattr(os, "access", lambda path, _: path != file)  # root may write everywhere
    result = run(*command.split(), DATABASE_URL=f"sqlite:///{file}")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"The database file {file} cannot be written: ")


# --- serve --------------------------------------------------------------------------------


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options with which `orders-api serve` would have run uvicorn."""
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: served.append(options))
    return served


def test_serve_says_where_the_documentation_is(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: served.append(options))
    options = ("--host", "::1", "--port", "9000", "--workers", "3")
    result = run("serve", *options, DATABASE_URL=UNREACHABLE, API_PREFIX="/v1/", LOG_LEVEL="error")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "Orders API on http://[::1]:9000/v1"
        " (interactive documentation: http://[::1]:9000/v1/docs)\n"
        "The database is orders on 127.0.0.1:1.\n"
    )
    assert [(o["host"], o["port"], o["workers"], o["log_level"]) for o in served] == [
        ("::1", 9000, 3, "error")
    ]


def test_serve_says_how_much_there_is(served: list[dict[str, Any]], environment: Any) -> None:
    with TemporaryDirectory() as folder:
        url = environment.get("DATABASE_URL", f"sqlite:///{folder}/orders.db")
        named = make_url(url)
        where = named.database if named.host is None else f"{named.database} on {named.host}"
        for size, counts in (
            (0, "0 stores, 0 products and 0 orders"),
            (5, "3 stores, 5 products and 1 order"),
        ):
            if size:
                assert run("demo", "--size", str(size), DATABASE_URL=url).exit_code == 0
            said = run("serve", DATABASE_URL=url).stdout.splitlines()[1]
            assert said.startswith(f"The database is {where}")
            assert said.endswith(f", with {counts}.")
        assert "s3cret" not in said
    assert len(served) == 2


def test_many_rows_are_not_counted_one_by_one(
    served: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(serving, "MANY", 4)
    url = f"sqlite:///{tmp_path}/orders.db"
    run("demo", "--size", "5", DATABASE_URL=url)
    said = run("serve", DATABASE_URL=url).stdout
    assert "with 3 stores, more than 4 products and 1 order." in said
    assert len(served) == 1


def test_taken_port_ends_serve_with_one_line(served: list[dict[str, Any]], tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orders.db"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        result = run("serve", "--port", port, DATABASE_URL=url)
        sentence = f"Port {port} is taken: end what listens there, or take another --port.\n"
        assert (result.exit_code, result.stdout, result.stderr) == (1, "", sentence)
    assert (served, list(tmp_path.iterdir())) == ([], [])
    assert run("serve", "--port", port, DATABASE_URL=url).exit_code == 0


@pytest.mark.parametrize(
    ("host", "sentence"),
    [
        ("192.0.2.1", "192.0.2.1 is no address of this machine: take another --host.\n"),
        (
            "no host",
            "There is no host no host: leave out --host, or take an address of this machine.\n",
        ),
    ],
)
def test_address_that_is_none_or_taken_ends_serve_with_one_line(
    served: list[dict[str, Any]], host: str, sentence: str
) -> None:
    result = run("serve", "--host", host, DATABASE_URL=UNREACHABLE)
    assert (result.exit_code, result.stdout, result.stderr, served) == (1, "", sentence, [])


def test_reload_notices_code_pages_and_settings_wherever_they_are(
    served: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ENV_FILE", str(ROOT / ".env.example"))
    for options in (["--reload"], []):
        assert run("serve", *options, DATABASE_URL=UNREACHABLE).exit_code == 0
    reloading, other = served
    folders = {ROOT / "orders_api", ROOT / "migrations", ROOT, tmp_path}
    assert set(map(Path, reloading["reload_dirs"])) == folders
    assert reloading["reload_includes"] == ["*.py", "*.html", ".env.example"]
    assert "reload_dirs" not in other


@pytest.mark.slow
def test_server_reloads_when_a_setting_changes_and_opens_its_page(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("API_PREFIX=\n")
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" >>"{opened}"\n')
    browser.chmod(0o755)
    environment = {"ENV_FILE": "", "BROWSER": str(browser)}
    with running_server(tmp_path, "--reload", "--open", **environment) as address:
        deadline = time.monotonic() + 60
        while not (opened.exists() and opened.read_text()):
            assert time.monotonic() < deadline, "nothing was opened"
            time.sleep(0.05)
        assert opened.read_text() == f"{address}/\n"
        (tmp_path / ".env").write_text("API_PREFIX=/v2\n")
        while True:
            with suppress(httpx2.TransportError):
                if httpx2.get(f"{address}/v2/health", trust_env=False).status_code == 200:
                    break
            assert time.monotonic() < deadline, "the setting was not noticed"
            time.sleep(0.05)
    assert opened.read_text() == f"{address}/\n"


class Server:
    """A program that serves on a free port of 127.0.0.1, and everything that it writes."""

    def __init__(self, log: Path, port: int, *arguments: str, **environment: str) -> None:
        self.log = log
        self.address = f"http://127.0.0.1:{port}"
        with log.open("w") as output:
            self.process = subprocess.Popen(
                [*arguments, "--port", str(port)],
                cwd=ROOT,
                env=os.environ | environment,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def get(self, path: str) -> httpx2.Response:
        return httpx2.get(self.address + path, trust_env=False)

    def wait_until_ready(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and self.process.poll() is None:
            with suppress(httpx2.TransportError):
                if self.get("/ready").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError(self.log.read_text())

    def stop(self) -> None:
        """Ask it to end, and see that it did so in good order."""
        self.process.terminate()
        assert self.process.wait(timeout=30) in {0, -signal.SIGTERM}
        with pytest.raises(httpx2.ConnectError):
            self.get("/health")
        log = self.log.read_text()
        assert "Traceback" not in log
        assert "ERROR" not in log

    def close(self) -> None:
        """Leave no process behind."""
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


# --- openapi and shell --------------------------------------------------------------------


def test_openapi_prints_what_the_server_serves_without_any_database() -> None:
    result = run("openapi", DATABASE_URL=UNREACHABLE, API_PREFIX="/v1")
    assert (result.exit_code, result.stderr) == (0, "")
    with TestClient(create_app(Settings(database_url="sqlite://", api_prefix="/v1"))) as client:
        assert json.loads(result.stdout) == client.get("/v1/openapi.json").json()


def shell(text: str, folder: Path) -> Result:
    url = f"sqlite:///{folder}/orders.db"
    return CliRunner().invoke(app, ["shell"], input=text, env={"DATABASE_URL": url})


def test_shell_runs_what_is_piped_into_it(tmp_path: Path) -> None:
    program = """
for task in ("Buy stamps", "Call the printer"):
    session.add(Todo(task=task))

session.commit()
session.add(Todo(task="Never to be seen"))
"""
    done = shell(program, tmp_path)
    assert (done.exit_code, done.output) == (0, "")
    done = shell("print([todo.task for todo in session.exec(select(Todo))])", tmp_path)
    assert (done.exit_code, done.output) == (0, "['Buy stamps', 'Call the printer']\n")


def test_shell_lets_others_write_while_it_reads(tmp_path: Path) -> None:
    program = """
import sqlite3
print(session.exec(select(Todo)).all())
other = sqlite3.connect(session.bind.url.database, timeout=0)
with other:
    other.execute("INSERT INTO todos (version, task, complete) VALUES (1, 'x', 0)")

other.close()
session.rollback()
print(len(session.exec(select(Todo)).all()))
"""
    done = shell(program, tmp_path)
    assert (done.exit_code, done.output) == (0, "[]\n1\n")


def test_shell_fails_as_python_does(tmp_path: Path) -> None:
    done = shell("1 / 0", tmp_path)
    assert (done.exit_code, type(done.exception)) == (1, ZeroDivisionError)


@pytest.mark.slow
def test_shell_prompts_on_a_terminal(tmp_path: Path) -> None:
    terminal, end = pty.openpty()
    environment = os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/orders.db", "TERM": "dumb"}
    with subprocess.Popen(
        [ORDERS_API, "shell"], env=environment, stdin=end, stdout=end, stderr=end
    ) as process:
        os.write(terminal, b"print(len(session.exec(select(Store)).all()) + 41)\nexit()\n")
        assert process.wait(60) == 0
    os.close(end)
    with open(terminal, "rb", buffering=0) as shown:
        text = shown.read(100_000).decode()
    assert "The tables are Store, Product, Coupon," in text
    assert "\n41\r\n" in text


def free_ports(count: int) -> list[int]:
    with ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)
        ]
        return [taken.getsockname()[1] for taken in sockets]


@pytest.mark.slow
def test_every_way_to_start_makes_the_sqlite_database_even_all_at_once(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/orders.db"
    uvicorn_main = [sys.executable, "-m", "uvicorn", "orders_api.main:app"]
    ways = [
        [ORDERS_API, "serve"],
        uvicorn_main,
        [*uvicorn_main, "--workers", "2"],
        [sys.executable, "-m", "fastapi", "run", "--host", "127.0.0.1"],
        [sys.executable, "-m", "fastapi", "dev"],
    ]
    with ExitStack() as stack:
        servers = []
        for way, port in zip(ways, free_ports(len(ways)), strict=True):
            server = Server(tmp_path / f"{port}.log", port, *way, DATABASE_URL=url)
            servers.append(stack.enter_context(closing(server)))
        for server in servers:
            server.wait_until_ready()
        created = httpx2.post(f"{servers[0].address}/stores", json=STORE, trust_env=False).json()
        for server in servers:
            assert server.get("/stores").json() == [created]
        for server in servers:
            server.stop()
    address = servers[0].address
    assert (
        servers[0]
        .log.read_text()
        .startswith(f"Orders API on {address} (interactive documentation: {address}/docs)\n")
    )
