import json
import os
import pty
import re
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from typing import Any

import httpx2
import pytest
import uvicorn
from fastapi.testclient import TestClient
from typer.testing import CliRunner, Result

from orders_api.app import create_app
from orders_api.cli.commands import app
from orders_api.settings import Settings
from orders_api.storage.migrations import head_revision
from tests.conftest import ROOT
from tests.samples import STORE

ORDERS_API = str(Path(sys.executable).with_name("orders-api"))
UNREACHABLE = "postgresql://someone:s3cret@127.0.0.1:1/orders"


def run(*arguments: str, **environment: str) -> Result:
    return CliRunner().invoke(app, arguments, prog_name="orders-api", env=environment)


def unstyle(text: str) -> str:
    """Take out the colours that some continuous integrations force."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)


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
        ("sqlite:////nowhere/orders.db", "unable to open database file"),
        (f"sqlite:///{__file__}", "file is not a database"),
    ],
)
def test_unusable_database_is_explained_in_one_sentence(url: str, reason: str) -> None:
    result = run("migrate", DATABASE_URL=url)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"The database could not be migrated: {reason}.\n"


# --- serve --------------------------------------------------------------------------------


def test_serve_says_where_the_documentation_is(monkeypatch: pytest.MonkeyPatch) -> None:
    served: list[dict[str, Any]] = []
    monkeypatch.setattr(uvicorn, "run", lambda _, **options: served.append(options))
    options = ("--host", "::1", "--port", "9000", "--workers", "3")
    result = run("serve", *options, DATABASE_URL=UNREACHABLE, API_PREFIX="/v1/", LOG_LEVEL="error")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == (
        "Orders API on http://[::1]:9000/v1"
        " (interactive documentation: http://[::1]:9000/v1/docs)\n"
    )
    assert [(o["host"], o["port"], o["workers"], o["log_level"]) for o in served] == [
        ("::1", 9000, 3, "error")
    ]


def test_serve_does_not_start_on_a_sqlite_file_that_it_cannot_use() -> None:
    result = run("serve", DATABASE_URL="sqlite:////nowhere/orders.db")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "The database could not be migrated: unable to open database file.\n"


@pytest.mark.slow
def test_port_in_use_ends_the_server(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        done = subprocess.run(
            [ORDERS_API, "serve", "--port", str(taken.getsockname()[1])],
            env=os.environ | {"DATABASE_URL": f"sqlite:///{tmp_path}/orders.db"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode != 0
    assert "address already in use" in done.stderr
    assert "Traceback" not in done.stderr


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
with sqlite3.connect(session.bind.url.database, timeout=0) as other:
    other.execute("INSERT INTO todos (version, task, complete) VALUES (1, 'x', 0)")

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
