"""CONTRIBUTING.md is followed to the letter in a copy of the project, on both databases.

There the new resource must pass the tests that are there for all resources.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orders_api.cli.scaffold.resource import existing_paths, parse_resource
from orders_api.cli.scaffold.sources import models_section, routes
from orders_api.cli.scaffold.special_tests import special_tests
from tests.conftest import ROOT, Postgres
from tests.fuzz.run import COMMAND_LINE
from tests.live import running_server
from tests.resources import DOCUMENT
from tests.samples import STORE
from tests.sessions import blocks, check_session

CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text("utf-8")
BLOCK = re.compile(r"(?ms)(.*?)^```(\w+)\n(.*?)^```$")
IGNORED = [line.rstrip("/") for line in (ROOT / ".gitignore").read_text("utf-8").splitlines()]

NEW = (
    "orders_api/models.py",
    "orders_api/routes/products.py",
    "orders_api/routes/reviews.py",
    "orders_api/routes/sales.py",
    "orders_api/routes/stores.py",
    "orders_api/routes/tags.py",
    "tests/test_indexes.py",
    "tests/test_reviews.py",
    "tests/test_tags.py",
)

# Those of the other tests that a new resource could break.
NAMES = ("authorization", "indexes", "migrations", "model", "openapi", "orders", "products")
FILES = [f"tests/test_{name}.py" for name in (*NAMES, "readme", "service", "statements")]
CONCERNED = (
    "every_operation or leads_an_index or openapi or endpoint or diagram or root_says"
    " or every_filter or tag or model or orders or products or first_session or reviewed"
)
OTHERS = ("A query of your own", "Open to everybody", "A stream")

pytestmark = pytest.mark.skipif(
    {"/reviews", "/tags"} & DOCUMENT["paths"].keys() != set(),
    reason="CONTRIBUTING.md has been followed here already",
)


def section(heading: str) -> str:
    """Return what stands below a heading, which may be numbered."""
    below = re.split(rf"(?m)^###? (?:\d\. )?{heading}$", CONTRIBUTING)[1]
    return re.split(r"(?m)^###? ", below)[0]


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

    def use_database(self, kind: str, name: str) -> None:
        """Have all commands use a new database: the copy's own file, or one on PostgreSQL."""
        if kind == "postgresql":
            if Postgres.server is None:
                pytest.skip("There is no embedded PostgreSQL to make a database on.")
            self.environment["DATABASE_URL"] = Postgres.create(name)

    def blocks(self, heading: str) -> Iterator[tuple[Path, str, str]]:
        """Return the blocks of a section with their languages, and the file that was named last."""
        file = self.folder
        for prose, language, block in BLOCK.findall(section(heading)):
            for name in re.findall(r"`([\w/]+\.(?:py|md))`", prose):
                file = self.folder / name
            yield file, language, block

    def compare(self, heading: str) -> None:
        """Check that the blocks of a section are there, in the file that is named last."""
        for file, language, block in self.blocks(heading):
            if language != "sh":
                expected = after(block) if language == "diff" else block
                assert expected in file.read_text("utf-8"), file

    def follow(self, heading: str, runs: bool = True) -> None:
        """Write and run what the blocks of a section show, in the file that is named last."""
        for file, language, block in self.blocks(heading):
            if language == "sh":
                if runs:
                    self.run(block)
            elif language == "diff":
                file.write_text(edited(file.read_text("utf-8"), block), "utf-8")
            elif file.exists():
                file.write_text(f"{file.read_text('utf-8')}\n\n{block}", "utf-8")
            else:
                file.write_text(block, "utf-8")


def edited(text: str, diff: str) -> str:
    """Do what a diff shows: lines with a plus come, those with a minus go, others are there."""
    lines = diff.splitlines(keepends=True)
    before = "".join(line[1:] for line in lines if not line.startswith("+"))
    assert text.count(before) == 1, f"These lines are not there once:\n{before}"
    return text.replace(before, after(diff))


def after(diff: str) -> str:
    """Return what a diff makes of its lines."""
    lines = diff.splitlines(keepends=True)
    return "".join(line[1:] for line in lines if not line.startswith("-"))


def test_blocks_to_write_fit_into_their_files(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", *IGNORED))
    copy = Copy(folder, {})
    for heading in (
        *("The model", "The routes", "The tests", "The documentation"),
        *("The link table", "The tags of a product", "Tests of the tags", "What shows products"),
        *OTHERS,
    ):
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
def test_new_resources_pass_the_tests_of_all_resources(copy: Copy, tmp_path: Path) -> None:
    urls = ["sqlite:///orders.db"] + ([Postgres.create("walk")] if Postgres.server else [])

    def try_on_each(session: str) -> None:
        for url in urls:
            copy.environment["DATABASE_URL"] = url
            copy.run("orders-api migrate")
            with running_server(copy.folder, **copy.environment) as address:
                check_session(section(session), address, tmp_path, copy.environment)
        copy.run("alembic check")

    (command,) = blocks("sh", section("Add an endpoint"))
    copy.run(command)
    for heading in ("The model", "The routes", "The tests", "The documentation"):
        copy.compare(heading)
    copy.follow("The migration")
    try_on_each("Try it")
    for heading in ("The link table", "The tags of a product", "The tables of tags"):
        copy.follow(heading)
    try_on_each("Try the tags")
    for heading in ("Tests of the tags", *OTHERS, "What shows products"):
        copy.follow(heading)
    with running_server(copy.folder, **copy.environment, TRUST_LOCAL="false") as address:
        options = "--phases=examples,coverage --include-path-regex='^/(reviews|tags)'"
        command = f"{' '.join(COMMAND_LINE)} {options} {address}/openapi.json"
        copy.run(f"ADDRESS={address} TRUST_LOCAL=false {command}")

    alone = "TEST_DATABASE_URL=postgresql://127.0.0.1:1/none"  # on SQLite
    copy.run(f"{alone} pytest -q {' '.join(FILES)} -k '{CONCERNED}'")
    if Postgres.server:
        copy.environment["TEST_DATABASE_URL"] = Postgres.create("tests_of_the_copy")
    *checks, quick_test = blocks("sh", section("Check it"))[0].splitlines()
    copy.run(f"{quick_test} && pytest -q tests/test_tags.py")
    # Of the new files alone: what is wrong elsewhere is for others to say.
    assert checks == ["ruff check", "ruff format", "mypy"]
    copy.run(f"ruff check {' '.join(NEW)}")
    copy.run(f"ruff format --check {' '.join(NEW)}")
    types = copy.run(f"mypy {' '.join(NEW)} || true")
    assert "source files" in types
    assert [line for line in types.splitlines() if line.startswith(NEW)] == []


# --- The scaffold --------------------------------------------------------------------------


def test_what_is_shown_is_what_is_written() -> None:
    arguments = blocks("sh", section("Add an endpoint"))[0].split()
    assert [*arguments[:2], *arguments[-2:]] == ["orders-api", "scaffold", "--filter", "productId"]
    name, *members = arguments[2:-2]
    resource = parse_resource(name, members, existing_paths(), filters=["productId"])
    sources = [models_section(resource), routes(resource), special_tests(resource)]
    for heading, source in zip(("The model", "The routes", "The tests"), sources, strict=True):
        command = [sys.executable, "-m", "ruff", "format", "-"]
        done = subprocess.run(command, input=source, capture_output=True, text=True)
        assert blocks("python", section(heading)) == [done.stdout]


SCAFFOLDS = (
    "reviews productId:products rating:int:1..5 'text:longtext?' 'status:new|published'"
    " 'shippedAt:datetime?' 'weight:decimal(3)' --unique product_id,text"
    " --filter productId,status,shippedAt --sort rating,shippedAt",
    # All kinds of member, and of reference: to what cannot be deleted, by another name, to numbers.
    "shipments orderId:orders 'reviewId:reviews?' buyerId:users todoId:todos 'couponId:coupons?'"
    " 'state:packed|in-transit|done?' sent:bool 'insured:bool?' count:int 'ratio:decimal(2)?'"
    " 'notes:longtext?' 'position:int:-10..10?' order:int:0..5000 cost:money code:text"
    " expires_at:datetime currency:currency 'email:email?' 'homePage:url?'"
    " --unique orderId,state --unique order --filter state,todoId,position,ratio,cost,insured"
    " --filter couponId,currency --sort position,notes,order,code",
    # Nothing is required, and it refers to itself.
    "people 'name:text?' 'parentId:people?' --singular person --filter parentId",
    # It is never changed, and listed before what it refers to.
    "badges reviewId:reviews userId:users --unique reviewId,userId",
)


@pytest.mark.slow
def test_scaffolded_resources_pass_all_tests(copy: Copy) -> None:
    """It is what runs tests without shortcuts, too: CI does so nowhere else."""
    for arguments in SCAFFOLDS:
        copy.run(f"orders-api scaffold {arguments}")
    copy.run("ruff check && ruff format --check && mypy")
    copy.run("orders-api migrate && alembic check")
    # Hostile requests are for the shortcuts, of which migrations and snapshots know none.
    without = "not hostile and not edge and not test_migrations.py and not test_snapshots.py"
    copy.run(f"SHORTCUTS=false pytest -q -k '{without}'")


@pytest.mark.slow
def test_scaffold_is_taken_back_unless_something_was_changed(copy: Copy) -> None:
    command = f"orders-api scaffold {SCAFFOLDS[0]}"
    before = contents(copy.folder)

    diff = copy.run(f"{command} --dry-run")
    assert contents(copy.folder) == before
    lines = copy.run(command).splitlines()
    written = contents(copy.folder)
    changed = {name for name in written if before.get(name) != written[name]}
    assert {line.split()[0] for line in lines[: lines.index("")]} >= changed
    shown = set(re.findall(r"(?m)^\+\+\+ b/(.+)$", diff))
    # But for the minute in the name of the migration.
    assert {name for name in shown ^ changed if "versions" not in name} == set()

    routes = copy.folder / "orders_api" / "routes" / "reviews.py"
    text = routes.read_text("utf-8")
    routes.write_text(text.replace("oldest first", "newest first"), "utf-8")
    answer = copy.run("orders-api scaffold --remove reviews || true")
    assert "orders_api/routes/reviews.py was changed since it was written" in answer
    assert contents(copy.folder) == written | {"orders_api/routes/reviews.py": routes.read_text()}
    routes.write_text(text, "utf-8")

    copy.run("orders-api migrate")
    answer = copy.run("orders-api scaffold --remove reviews || true")
    assert "has reviews: run `alembic downgrade -1` first" in answer
    copy.run("alembic downgrade -1")

    copy.run("alembic revision -m later")
    answer = copy.run("orders-api scaffold --remove reviews || true")
    assert "later.py follows that of reviews: take it back first" in answer
    copy.run("rm migrations/versions/*later.py")
    answer = copy.run("orders-api scaffold --remove review || true")
    assert answer == "No `orders-api scaffold` wrote review; did you mean `reviews`?\n"
    copy.run("orders-api scaffold --remove reviews")
    assert contents(copy.folder) == before


def contents(folder: Path) -> dict[str, str]:
    """Return the files of a project, but for databases and what Python keeps."""
    return {
        str(file.relative_to(folder)): file.read_text("utf-8", "replace")
        for file in folder.rglob("*")
        if file.is_file() and file.suffix not in {".db", ".pyc"} and ".ruff_cache" not in str(file)
    }


@pytest.mark.slow
def test_models_that_wait_for_a_migration_are_not_scaffolded(copy: Copy) -> None:
    models = copy.folder / "orders_api" / "models.py"
    text = models.read_text("utf-8")
    models.write_text(text.replace("    phone:", "    telephone:"), "utf-8")
    before = contents(copy.folder)
    answer = copy.run("orders-api scaffold notes text:text || true")
    assert "The models have changes of stores without a migration" in answer
    assert contents(copy.folder) == before


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_schema_is_changed_as_shown(copy: Copy, kind: str) -> None:
    copy.use_database(kind, "changed_schema")
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


TAGS = """

class TagOut(Out):
    tag_id: Key


class Tag(TagOut, table=True):
    __tablename__ = "tags"
"""


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sqlite", "postgresql"])
def test_rows_that_are_there_get_a_value_as_shown(copy: Copy, kind: str) -> None:
    copy.use_database(kind, "filled_columns")
    models = copy.folder / "orders_api" / "models.py"
    models.write_text(models.read_text("utf-8") + TAGS, "utf-8")
    copy.run("orders-api migrate && alembic revision --autogenerate -m tags && orders-api migrate")
    add = "session.add(Tag()); session.commit()"
    copy.run(f"echo '{add}' | orders-api shell")

    models.write_text(models.read_text("utf-8").replace("TagOut(Out)", "TagOut(Timestamps, Out)"))
    shown = copy.run("alembic revision --autogenerate -m times 2>&1")
    (script,) = (copy.folder / "migrations" / "versions").glob("*times.py")
    text = script.read_text("utf-8")
    for name in ("created_at", "updated_at"):
        warning = f"Rows that are there have no value for tags.{name}: see CONTRIBUTING.md."
        assert f"WARNING {warning}" in shown
        assert f"# {warning}" in text
    assert "could not be migrated" in copy.run("orders-api migrate || true")

    (body,) = blocks("python", section("Add a column that must not be null"))
    imports, _, upgrade = body.partition("def upgrade")
    text = re.sub("upgrade.*?(?=def downgrade)", f"upgrade{upgrade}\n\n", text, flags=re.DOTALL)
    script.write_text(text.replace("import sqlalchemy", f"{imports.strip()}\n\nimport sqlalchemy"))
    copy.run(f"ruff check {script} && ruff format --check {script}")
    copy.run("orders-api migrate && alembic check && alembic downgrade -1 && orders-api migrate")
    query = "print(session.exec(select(Tag)).one().created_at.year > 2000)"
    assert "True" in copy.run(f"echo '{query}' | orders-api shell")
