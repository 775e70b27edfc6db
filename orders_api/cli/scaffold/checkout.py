"""The checkout that is written to: first in a copy, then all files, or none if one cannot be."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import unified_diff
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory

from orders_api.cli.scaffold.members import ScaffoldError
from orders_api.settings import Settings

ROOT = Path(__file__).parents[3]
# What takes part: the code, and the documents that tests compare with it.
FOLDERS = ("orders_api", "migrations")
FILES = (
    *("alembic.ini", "pyproject.toml", "README.md", "docs/design.md"),
    *("tests/__init__.py", "tests/openapi.json"),
)
CHANGELOG = "CHANGELOG.md"  # which a project may do without
# In which one reads what was written; the long one comes last.
ORDER = ("orders_api", "migrations", "README.md", "docs", CHANGELOG, "tests")

Changes = Mapping[str, tuple[str | None, str | None]]
"""What each file is, and what it becomes; None where there is none."""


class Copy:
    """A copy of the checkout, in which everything is tried before it is written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._before: dict[str, str | None] = {}

    def read(self, name: str) -> str:
        return (self.folder / name).read_text("utf-8")

    def write(self, name: str, text: str | None) -> None:
        """Write a file; None deletes it."""
        self.watch(name)
        file = self.folder / name
        if text is None:
            file.unlink(missing_ok=True)
        else:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, "utf-8")

    def watch(self, name: str) -> None:
        """Count a file among the changes."""
        self._before.setdefault(name, text_of(name))

    def changes(self) -> Changes:
        found = {name: (old, _text(self.folder / name)) for name, old in self._before.items()}
        changed = {name: both for name, both in found.items() if both[0] != both[1]}
        return dict(sorted(changed.items(), key=lambda item: ORDER.index(item[0].split("/")[0])))

    def run(self, *module: str) -> str:
        """Run a module of Python on the code of the copy, and return what it prints."""
        environment = {
            n: v for n, v in os.environ.items() if n.lower() not in Settings.model_fields
        }
        environment |= {"ENV_FILE": os.devnull, "PYTHONPATH": str(self.folder)}
        environment |= {"DATABASE_URL": f"sqlite:///{self.folder}/new.db"}
        done = subprocess.run(  # noqa: S603 - this Python
            [sys.executable, "-m", *module],
            cwd=self.folder,
            env=environment,
            capture_output=True,
            text=True,
        )
        if done.returncode:
            lines = (done.stderr.strip() or done.stdout.strip()).splitlines() or ["no reason given"]
            raise ScaffoldError(f"{module[0]} failed: {lines[-1]}")
        return done.stdout

    def tidy(self, *names: str) -> None:
        """Sort imports, leave out those that are not used, format and lint."""
        self.run("ruff", "check", "--no-cache", "--fix-only", *names)
        self.run("ruff", "format", "--no-cache", *names)
        self.run("ruff", "check", "--quiet", "--no-cache", "--output-format=concise", *names)


def check_checkout() -> None:
    """Raise ScaffoldError if this code is from no checkout, or one without what is needed."""
    if not all((ROOT / name).exists() for name in (*FOLDERS, *FILES)):
        raise ScaffoldError(
            "`scaffold` writes source code: run it in a checkout of the repository."
        )
    if find_spec("ruff") is None:
        raise ScaffoldError("`scaffold` needs the development tools: run `uv sync`.")


@contextmanager
def copy_of_checkout() -> Iterator[Copy]:
    with TemporaryDirectory(prefix="orders-api-") as name:
        folder = Path(name)
        for part in FOLDERS:
            shutil.copytree(ROOT / part, folder / part)
        for part in FILES:
            (folder / part).parent.mkdir(exist_ok=True)
            shutil.copy2(ROOT / part, folder / part)
        if (ROOT / CHANGELOG).exists():
            shutil.copy2(ROOT / CHANGELOG, folder)
        yield Copy(folder)


def text_of(name: str) -> str | None:
    """Return a file of the checkout, if it is there."""
    return _text(ROOT / name)


def _text(file: Path) -> str | None:
    return file.read_text("utf-8") if file.exists() else None


def diff(changes: Changes) -> str:
    """Return the changes as `git apply` takes them."""
    lines: list[str] = []
    for name, (old, new) in changes.items():
        before = "/dev/null" if old is None else f"a/{name}"
        after = "/dev/null" if new is None else f"b/{name}"
        texts = [(text or "").splitlines(keepends=True) for text in (old, new)]
        lines += unified_diff(texts[0], texts[1], before, after)
    return "".join(lines)


def write_all(changes: Changes) -> None:
    """Write all files to the checkout; if one of them cannot be, all are as before."""
    for name, (old, _) in changes.items():
        if text_of(name) != old:
            raise ScaffoldError(f"{name} was changed meanwhile: try again.")
    written: list[str] = []
    try:
        for name, (_, new) in changes.items():
            if new is not None:  # all of them take their room before the first one is replaced
                _beside(name).write_text(new, "utf-8")
        for name, (_, new) in changes.items():
            written.append(name)
            if new is None:
                (ROOT / name).unlink()
            else:
                os.replace(_beside(name), ROOT / name)
    except BaseException as error:
        for name in written:
            old = changes[name][0]
            if old is None:
                (ROOT / name).unlink(missing_ok=True)
            else:
                (ROOT / name).write_text(old, "utf-8")
        if isinstance(error, OSError):
            why = f"{error.filename}: {error.strerror}"
            raise ScaffoldError(f"Nothing is written, because a file cannot be: {why}.") from error
        raise
    finally:
        for name in changes:
            _beside(name).unlink(missing_ok=True)


def _beside(name: str) -> Path:
    return (ROOT / name).with_name(f".{Path(name).name}.new")
