"""`orders-api scaffold` refuses what cannot be, and writes what CONTRIBUTING.md shows.

What it writes is run in tests/test_contributing.py, in a copy of the project.
"""

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from orders_api.cli.commands import app
from orders_api.cli.scaffold import checkout
from orders_api.cli.scaffold.checkout import Copy, write_all
from orders_api.cli.scaffold.documents import add_to_changelog, without_line
from orders_api.cli.scaffold.members import ScaffoldError
from orders_api.cli.scaffold.resource import Resource, existing_paths, parse_resource, singular_of
from orders_api.cli.scaffold.sources import models_section, routes
from orders_api.cli.scaffold.special_tests import special_tests


def run(arguments: str) -> Result:
    return CliRunner().invoke(app, ["scaffold", *shlex.split(arguments)])


def parsed(name: str, *members: str, **options: Any) -> Resource:
    return parse_resource(name, members, existing_paths(), **options)


# --- What is refused ----------------------------------------------------------------------

REFUSED = {
    # Names
    "stores name:text": "There are stores already: choose another name.",
    "order_items name:text": "There are order_items already",
    "token name:text": "`token` does not look like a plural: name one of them too",
    "docs name:text": "`docs` is the path of something else",
    "mass name:text": "`mass` does not look like a plural",
    "pages name:text": "The name Page is taken already",
    "keys name:text": "The name Key is taken already",
    "classes class:text": "`class` is a word of Python",
    "zith\u0435rs name:text": "`zith\u0435rs` cannot be the name of a resource",  # a Cyrillic e
    "größen name:text": "`größen` cannot be the name of a resource",
    "../etc name:text": "cannot be the name of a resource",
    "1s name:text": "`1s` cannot be the name of a resource",
    f"{'a' * 50}s name:text": "is longer than 40 characters",
    "zithers": "What has one of the zithers? Name a member, such as `name:text`.",
    # Members
    "zithers näme:text": "`näme` cannot be the name of a member",
    "zithers ':text'": "`` cannot be the name of a member",
    "zithers name": "`name` has no type: write `name:text`",
    "zithers version:int": "`version` is taken by all resources",
    "zithers createdAt:datetime": "`createdAt` is taken by all resources",
    "zithers metadata:text": "`metadata` is taken by all resources",
    "zithers zitherId:int": "`zitherId` is made by the server",
    "zithers name:text name:int": "`name` is there twice",
    "zithers product_id:products productId:products": "`productId` is there twice",
    "zithers out:int:1..5": "The name ZitherOut is taken already",
    # Types and references
    "zithers name:txt": "`txt` is no type and no resource; did you mean `text`? There are text,",
    "zithers at:date": "`date` is no type and no resource; did you mean `datetime`?",
    "zithers productId:product": "`product` is no type and no resource; did you mean `products`?",
    "zithers xId:nothing": "`nothing` is no type and no resource.",
    "zithers tokenId:tokens": "`tokens` is no type and no resource",
    "zithers product:products": "its name ends in Id: `productId:products`",
    "zithers productId:text": "`productId` is the id of products everywhere",
    "zithers parentId:zithers": "the first one has none to refer to; write 'parentId:zithers?'",
    "zithers 'weight:decimal'": "a decimal has from 1 to 9 decimals",
    "zithers 'weight:decimal(10)'": "a decimal has from 1 to 9 decimals",
    "zithers 'status:new|new'": "choices are different words",
    "zithers 'status:new|New'": "choices are different words",
    "zithers 'status:|new'": "choices are different words",
    "zithers 'status:neu|größer'": "choices are different words",
    "zithers 'status:new|24h'": "choices are different words",
    f"zithers 'weight:decimal({'9' * 5000})'": "a decimal has from 1 to 9 decimals",
    "zithers xmin:int": "`xmin` is taken by all resources",
    # Bounds
    "zithers rating:int:5..1": "bounds are two whole numbers, the lower first",
    "zithers rating:int:1": "bounds are two whole numbers",
    "zithers rating:int:": "bounds are two whole numbers",
    "zithers rating:int:1..3000000000": "to 2147483647",
    "zithers rating:int:\u0661..\u0665": "bounds are two whole numbers",
    "zithers name:text:1..5": "only `int` has bounds",
    # Options
    "zithers name:text --unique nam": "--unique: there is no member `nam`; did you mean `name`?",
    "zithers name:text --filter x": "--filter: there is no member `x`.",
    "zithers name:text --sort name,": "`` cannot be the name of a member",
    **{
        f"zithers name:{kind} --filter name": f"--filter: name is {kind}, by which no list is"
        ' filtered: have it searched, as "Search in a text" in CONTRIBUTING.md shows.'
        for kind in ("longtext", "email", "url")
    },
    **{
        f"zithers {name}:text --filter {name}": f"--filter: all lists take `{name}` for something"
        for name in ("sort", "sortOrder", "conditions", "searches", "col", "since", "int")
    },
    "zithers limit:int --filter limit": "--filter: all lists take `limit` for something else.",
    "zithers open:bool --unique open": "--unique: with open alone there could be but a few rows",
    "zithers a:text b:text c:text d:text --unique a,b,c,d": "PostgreSQL cannot index a and b and c",
    f"{'a' * 15}s {'a' * 39}:money": "of more than 63 characters in the database",
    f"{'a' * 15}s {'a' * 39}:text --sort {'a' * 39}": "of more than 63 characters in the database",
    "--remove nothing": "No `orders-api scaffold` wrote nothing.",
    "--remove zithers name:text": "--remove takes no more than a name.",
}


@pytest.mark.parametrize("arguments", REFUSED)
def test_what_cannot_be_is_refused_in_a_sentence(arguments: str) -> None:
    result = run(f"{arguments} --dry-run")
    assert (result.exit_code, result.stdout) == (1, "")
    assert REFUSED[arguments] in result.stderr
    assert result.stderr.count("\n") == 1


def test_checkout_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    result = run("zithers name:text")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("`scaffold` writes source code: run it in a checkout of ")


def test_development_tools_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkout, "find_spec", lambda _: None)
    result = run("zithers name:text")
    assert result.stderr == "`scaffold` needs the development tools: run `uv sync`.\n"


# --- What is written ----------------------------------------------------------------------


def test_names_are_taken_in_any_case_and_singular() -> None:
    for name in ("grand-pianos", "grandPianos", "grand_pianos", "GrandPianos"):
        pianos = parsed(name, "shippedAt:datetime", "shipped_by:text")
        assert (pianos.table, pianos.path) == ("grand_pianos", "grand-pianos")
        assert pianos.model == "GrandPiano"
        assert [member.name for member in pianos.members] == ["shipped_at", "shipped_by"]
    singulars = {"categories": "category", "boxes": "box", "addresses": "address", "lutes": "lute"}
    for plural, singular in singulars.items():
        assert singular_of(plural) == singular
    assert parsed("oxen", "name:text", singular="ox").model == "Ox"


def test_resource_may_refer_to_its_own_kind() -> None:
    for kind in ("grand-pianos", "grand_pianos"):
        pianos = parsed("grandPianos", "name:text", f"nextId:{kind}?", unique=["name,nextId"])
        assert 'foreign_key="grand_pianos.grand_piano_id"' in models_section(pianos)
        assert special_tests(pianos) == ""


def test_long_text_in_an_index_is_shortened() -> None:
    lutes = parsed("lutes", "text:longtext", unique=["text"])
    assert "Annotated[LongText, pydantic.Field(max_length=500)]" in models_section(lutes)
    assert "text: LongText = " in models_section(parsed("lutes", "text:longtext"))


def test_words_of_sql_are_quoted() -> None:
    section = models_section(parsed("lutes", "order:int:1..5"))
    assert 'CheckConstraint("\\"order\\" BETWEEN 1 AND 5", name="order_in_bounds")' in section


def test_what_only_refers_to_others_is_never_changed() -> None:
    lyres = parsed("lyres", "productId:products", "userId:users", unique=["productId,userId"])
    assert "Update" not in models_section(lyres)
    assert "Versioned" not in models_section(lyres)
    assert "patch" not in routes(lyres)


def test_nothing_special_needs_no_tests() -> None:
    assert special_tests(parsed("lutes", "text:text")) == ""
    zithers = parsed("zithers", "orderId:orders", "productId:products", "rating:int:1..5")
    assert "def test_product_in_use_is_not_deleted" in special_tests(zithers)
    assert "def test_order_in_use" not in special_tests(zithers)  # it cannot be deleted anyway


CHANGELOGS = {
    "## [Unreleased]\n\nSoon.\n\n### Added\n\n- A.\n": (
        "## [Unreleased]\n\nSoon.\n\n### Added\n\n- Big lutes, at `/big-lutes`.\n- A.\n"
    ),
    "## Unreleased\n\n### Fixed\n\n- A.\n": (
        "## Unreleased\n\n### Added\n\n- Big lutes, at `/big-lutes`.\n\n### Fixed\n\n- A.\n"
    ),
    "## [Unreleased]\n\n## [1.0.0]\n\n### Added\n\n- A.\n": (
        "## [Unreleased]\n\n### Added\n\n- Big lutes, at `/big-lutes`.\n\n## [1.0.0]\n\n### Added"
        "\n\n- A.\n"
    ),
    "## [Unreleased]\n### Added\n- A.\n": (
        "## [Unreleased]\n### Added\n- Big lutes, at `/big-lutes`.\n- A.\n"
    ),
    "## 1.0.0\n\n### Added\n\n- Big lutes, at `/big-lutes`.\n": (
        "## 1.0.0\n\n### Added\n\n- Big lutes, at `/big-lutes`.\n"
    ),
}


@pytest.mark.parametrize("changelog", CHANGELOGS)
def test_changelog_says_what_is_not_released_yet(changelog: str) -> None:
    added = add_to_changelog(changelog, parsed("bigLutes", "name:text"))
    assert added == CHANGELOGS[changelog]
    assert without_line(added, "lutes") == added
    assert without_line(added, "big-lutes") == changelog


# --- All or nothing -----------------------------------------------------------------------


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of two files, and what writes to it."""
    monkeypatch.setattr(checkout, "ROOT", tmp_path)
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text("old\n")
    return tmp_path


CHANGES = {"a.py": ("old\n", "new\n"), "b.py": ("old\n", None), "c.py": (None, "new\n")}


def contents(folder: Path) -> dict[str, str]:
    return {file.name: file.read_text() for file in folder.iterdir()}


def test_all_files_are_written(project: Path) -> None:
    write_all(CHANGES)
    assert contents(project) == {"a.py": "new\n", "c.py": "new\n"}


def test_file_that_cannot_be_written_leaves_all_as_they_were(project: Path) -> None:
    with pytest.raises(ScaffoldError, match=r"Nothing is written, .*z\.py"):
        write_all(CHANGES | {"nowhere/z.py": (None, "new\n")})
    assert contents(project) == {"a.py": "old\n", "b.py": "old\n"}


def test_file_that_is_in_the_way_leaves_all_as_they_were(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = os.replace

    def fail_at_last(source: Path, target: Path) -> None:
        if target.name == "c.py":
            raise OSError(28, "No space left on device", str(target))
        replace(source, target)

    monkeypatch.setattr(os, "replace", fail_at_last)
    with pytest.raises(ScaffoldError, match="No space left on device"):
        write_all(CHANGES)
    assert contents(project) == {"a.py": "old\n", "b.py": "old\n"}


def test_file_that_changed_meanwhile_is_left_alone(project: Path) -> None:
    (project / "b.py").write_text("mine\n")
    with pytest.raises(ScaffoldError, match=r"b\.py was changed meanwhile"):
        write_all(CHANGES)
    assert contents(project) == {"a.py": "old\n", "b.py": "mine\n"}


def test_what_fails_in_the_copy_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ScaffoldError, match=r"^nothing_here failed: .*No module named"):
        Copy(tmp_path).run("nothing_here")
