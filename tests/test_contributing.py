"""CONTRIBUTING.md is followed to the letter in a copy of the project, on both databases.

There the new resource must pass the tests that are there for all resources.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.conftest import ROOT, Postgres
from tests.fuzz.run import COMMAND_LINE
from tests.live import running_server
from tests.resources import DOCUMENT
from tests.samples import STORE
from tests.sessions import blocks, check_session

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
BLOCK = re.compile(r"(?ms)(.*?)^```(\w+)\n(.*?)^```$")
IGNORED = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]

NEW = ("orders_api/models.py", "orders_api/routes/reviews.py", "tests/test_reviews.py")

# Those of the other tests that a new resource could break.
NAMES = ("authorization", "migrations", "openapi", "readme", "service")
FILES = [f"tests/test_{name}.py" for name in NAMES]
CONCERNED = "every_operation or leads_an_index or openapi or endpoint or diagram or root_says"

pytestmark = pytest.mark.skipif(
    "/reviews" in DOCUMENT["paths"], reason="CONTRIBUTING.md has been followed here already"
)


def section(heading: str) -> str:
    """Return what stands below a heading, which may be numbered."""
    return re.split(rf"(?m)^### (?:\d\. )?{heading}$", CONTRIBUTING)[1].split("\n### ")[0]


@dataclass
class Copy:
    """A copy of the project, in which all commands run the copy's code."""

    folder: Path
    environment: dict[str, str]

    def run(self, command: str) -> str:
        done = subprocess.run(
            ["bash", "-o", "errexit", "-c", command],
            cwd=self.folder,
            env=os.environ | self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    def follow(self, heading: str, runs: bool = True) -> None:
        """Write and run what the blocks of a section show, in the file that is named last."""
        file = self.folder
        for prose, language, block in BLOCK.findall(section(heading)):
            for name in re.findall(r"`([\w/]+\.\w+)`", prose):
                file = self.folder / name
            if language == "sh":
                if runs:
                    self.run(block)
            elif language == "diff":
                insert(file, block)
            elif file.exists():
                file.write_text(f"{file.read_text('utf-8')}\n\n{block}", "utf-8")
            else:
                file.write_text(block, "utf-8")


def insert(file: Path, diff: str) -> None:
    """Do what a diff shows: the lines with a plus are new, between others that are there."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    text = file.read_text("utf-8")
    assert text.count(before) == 1, f"{file.name} does not have these lines once:\n{before}"
    file.write_text(text.replace(before, "".join(line[1:] for line in lines)), "utf-8")


def test_blocks_to_write_fit_into_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", *IGNORED))
    copy = Copy(folder, {})
    for heading in ("The model", "The routes", "The tests", "The documentation"):
        copy.follow(heading, runs=False)
    for name in NEW:
        compile((folder / name).read_text("utf-8"), name, "exec")


@pytest.fixture
def copy(tmp_path: Path) -> Copy:
    folder = tmp_path / "project"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", *IGNORED))
    copy = Copy(
        folder,
        {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            # It comes before the virtual environment, in which the project itself is installed.
            "PYTHONPATH": str(folder),
            "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache"),
        },
    )
    package = copy.run("python -c 'import orders_api; print(orders_api.__file__)'")
    assert package.strip() == str(folder / "orders_api" / "__init__.py")
    return copy


@pytest.mark.slow
def test_new_resource_passes_the_tests_of_all_resources(copy: Copy, tmp_path: Path) -> None:
    for heading in ("The model", "The routes", "The migration"):
        copy.follow(heading)
    for url in ["sqlite:///orders.db"] + ([Postgres.create("walk")] if Postgres.server else []):
        copy.environment["DATABASE_URL"] = url
        copy.run("orders-api migrate")
        with running_server(copy.folder, **copy.environment) as address:
            check_session(section("Try it"), address, tmp_path, copy.environment)
    copy.run("alembic check")
    for heading in ("The tests", "The documentation"):
        copy.follow(heading)
    with running_server(copy.folder, **copy.environment, TRUST_LOCAL="false") as address:
        options = "--phases=examples,coverage --include-path-regex=^/reviews"
        command = f"{' '.join(COMMAND_LINE)} {options} {address}/openapi.json"
        copy.run(f"ADDRESS={address} TRUST_LOCAL=false {command}")

    alone = "TEST_DATABASE_URL=postgresql://127.0.0.1:1/none"  # on SQLite
    copy.run(f"{alone} pytest -q {' '.join(FILES)} -k '{CONCERNED}'")
    if Postgres.server:
        copy.environment["TEST_DATABASE_URL"] = Postgres.create("tests_of_the_copy")
    *checks, quick_test = blocks("sh", section("Check it"))[0].splitlines()
    copy.run(quick_test)
    # Of the new files alone: what is wrong elsewhere is for others to say.
    assert checks == ["ruff check", "ruff format", "mypy"]
    copy.run(f"ruff check {' '.join(NEW)}")
    copy.run(f"ruff format --check {' '.join(NEW)}")
    types = copy.run(f"mypy {' '.join(NEW)} || true")
    assert "source files" in types
    assert [line for line in types.splitlines() if line.startswith(NEW)] == []


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_schema_is_changed_as_shown(copy: Copy, kind: str) -> None:
    if kind == "postgresql":
        if Postgres.server is None:
            pytest.skip("There is no embedded PostgreSQL to make a database on.")
        copy.environment["DATABASE_URL"] = Postgres.create("changed_schema")
    versions = copy.folder / "migrations" / "versions"
    store = STORE | {"phone": "+351 213 460 000"}
    copy.run("orders-api migrate")
    copy.run(f"echo '{json.dumps(store)}' | orders-api import stores -")

    models = copy.folder / "orders_api" / "models.py"
    text = models.read_text("utf-8")
    assert text.count("    phone:") == 1
    models.write_text(text.replace("    phone:", "    telephone:"), "utf-8")
    begin, end = blocks("sh", section("Rename a column"))
    (body,) = blocks("python", section("Rename a column"))
    copy.run(begin)
    (script,) = versions.glob("*rename_phone*.py")
    script.write_text(script.read_text("utf-8").partition("def upgrade")[0] + body, "utf-8")
    copy.run(end)
    copy.run(f"ruff check {script} && ruff format --check {script}")

    (back,) = blocks("sh", section("Go back"))
    copy.run(back)
    assert "1 migration pending" in copy.run("orders-api export stores || true")
    copy.run("orders-api migrate")
    assert '"telephone":"+351 213 460 000"' in copy.run("orders-api export stores")

    revision = copy.run("alembic heads").split()[0]
    for name in ("one", "two"):
        copy.run(f"alembic revision -m {name} --head {revision} --splice")
    assert "2 newest migrations" in copy.run("orders-api migrate || true")
    (join,) = blocks("sh", section("Join two heads"))
    copy.run(join)
    assert "(head)" in copy.run("alembic current")
