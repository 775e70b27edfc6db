"""Adds a resource to a copy of the checkout: everything that CONTRIBUTING.md shows."""

import ast
import re
import shlex
from pathlib import Path

from orders_api.cli.scaffold.checkout import CHANGELOG, Changes, Copy, text_of
from orders_api.cli.scaffold.documents import add_rows, add_to_changelog, add_to_diagram
from orders_api.cli.scaffold.members import ScaffoldError
from orders_api.cli.scaffold.resource import Resource
from orders_api.cli.scaffold.sources import MODEL_NAMES, models_section, routes
from orders_api.cli.scaffold.special_tests import special_tests

MODELS = "orders_api/models.py"
README, DESIGN, OPENAPI = "README.md", "docs/design.md", "tests/openapi.json"
VERSIONS = "migrations/versions"
MADE_BY = "Made by: orders-api scaffold "


def add(copy: Copy, resource: Resource, arguments: list[str]) -> Changes:
    """Add a resource; `arguments` are those of the command, which the migration remembers."""
    section = models_section(resource)
    models = _with_imports(copy.read(MODELS), section)
    copy.write(MODELS, f"{models.rstrip()}\n\n\n{section}")
    sources = {f"orders_api/routes/{resource.table}.py": routes(resource)}
    if special := special_tests(resource):
        sources[f"tests/test_{resource.table}.py"] = special
    for name, text in sources.items():
        if text_of(name) is not None:
            raise ScaffoldError(f"There is a file {name} already: choose another name.")
        copy.write(name, text)
    copy.tidy(MODELS, *sources)
    before = set((copy.folder / VERSIONS).glob("*.py"))
    copy.watch(OPENAPI)
    copy.run("orders_api.cli.scaffold.generated", f"add {resource.table.replace('_', ' ')}")
    (migration,) = set((copy.folder / VERSIONS).glob("*.py")) - before
    _complete(copy, migration, resource, arguments)
    copy.write(README, add_rows(copy.read(README), resource))
    copy.write(DESIGN, add_to_diagram(copy.read(DESIGN), resource))
    if (changelog := text_of(CHANGELOG)) is not None:
        copy.write(CHANGELOG, add_to_changelog(changelog, resource))
    return copy.changes()


def _with_imports(models: str, section: str) -> str:
    """Import what a section needs and the models do not have yet; ruff sorts it in."""
    tree = ast.parse(models)
    imports = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    had = {alias.asname or alias.name for node in imports for alias in node.names}
    needed = [name for name in MODEL_NAMES if re.search(rf"(?<![\w.\"]){name}\b", section)]
    lines = [f"from {MODEL_NAMES[n]} import {n}" for n in needed if n not in had]
    text = models.splitlines()
    end = imports[-1].end_lineno or 0
    return "\n".join([*text[:end], *lines, *text[end:]])


def _complete(copy: Copy, migration: Path, resource: Resource, arguments: list[str]) -> None:
    """Let a migration say what made it, unless it changes other tables as well."""
    text = migration.read_text("utf-8")
    tables = set(re.findall(r'op\.\w*table\(\s*"(\w+)"', text)) - {resource.table}
    if tables:
        raise ScaffoldError(
            f"The models have changes of {', '.join(sorted(tables))} without a migration: make it"
            " first, by `alembic revision --autogenerate`."
        )
    begin, end = text.split('\n"""\n', 1)
    made_by = f"{MADE_BY}{shlex.join(arguments)}"
    copy.write(f"{VERSIONS}/{migration.name}", f'{begin}\n{made_by}\n"""\n{end}')
