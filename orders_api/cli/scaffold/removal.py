"""Takes a resource out of a copy of the checkout, if nothing but the scaffold wrote what goes.

To tell, it is written anew where it is missing, and must become what is there.
"""

import re
import shlex
from pathlib import Path

from alembic.runtime.migration import MigrationContext
from sqlalchemy import NullPool, create_engine
from sqlalchemy.exc import DBAPIError

from orders_api.cli.common import nearest, reason_of
from orders_api.cli.scaffold.addition import DESIGN, MADE_BY, MODELS, OPENAPI, README, VERSIONS
from orders_api.cli.scaffold.checkout import CHANGELOG, Changes, Copy, text_of
from orders_api.cli.scaffold.documents import without_line
from orders_api.cli.scaffold.members import ScaffoldError, parse_name
from orders_api.settings import Settings, without_event_loop

# What differs in each migration.
IDS = re.compile(r'^(Revision ID|Created): .*$|^revision: str = ".*"$', re.MULTILINE)


def remove_resource(copy: Copy, name: str) -> Changes:
    """Take out a resource, and return the changes; ScaffoldError if something else would go too."""
    table = parse_name(name, "resource")
    migration, arguments = _made(copy, table, name)
    _check_that_it_is_last(copy, migration, name)
    removed = [f"orders_api/routes/{table}.py", f"tests/test_{table}.py"]
    changed = [MODELS, README, DESIGN, CHANGELOG]
    before = {file: text for file in (*changed, *removed) if (text := text_of(file)) is not None}
    before |= {"migration": copy.read(migration)}
    for file in (*removed, migration):
        copy.write(file, None)
    copy.write(MODELS, _without_section(before[MODELS], table))
    copy.tidy(MODELS)
    path = table.replace("_", "-")
    copy.write(README, re.sub(rf"(?m)^\| `/{path}(/\{{\w+\}})?` \|.*\n", "", before[README]))
    design = re.sub(rf"(?m)^    \w+ \S+--o\{{ {table} : have\n", "", before[DESIGN])
    design = re.sub(rf"(?ms)^    {table} \{{\n.*?^    \}}\n", "", design)
    copy.write(DESIGN, design)
    if CHANGELOG in before:
        copy.write(CHANGELOG, without_line(before[CHANGELOG], path))
    copy.watch(OPENAPI)
    try:
        copy.run("orders_api.cli.scaffold.generated")
    except ScaffoldError as error:
        raise ScaffoldError(
            f"Something else needs {name}, so nothing is removed: {error}"
        ) from error
    changes = copy.changes()
    copy.run("orders_api.cli.commands", "scaffold", *arguments)
    after = {file: copy.read(file) for file in before if file != "migration"}
    after |= {"migration": copy.read(_made(copy, table, name)[0])}
    for file, text in before.items():
        if _comparable(text) != _comparable(after[file]):
            place = migration if file == "migration" else file
            raise ScaffoldError(
                f"{place} was changed since it was written, so nothing is removed: undo that, or"
                " remove the resource by hand."
            )
    return changes


def _made(copy: Copy, table: str, name: str) -> tuple[str, list[str]]:
    """Return the migration that a scaffold of this name made, and the arguments it had."""
    found: dict[str, tuple[str, list[str]]] = {}
    for file in (copy.folder / VERSIONS).glob("*.py"):
        for line in re.findall(rf"(?m)^{MADE_BY}(.*)$", file.read_text("utf-8")):
            arguments = shlex.split(line)
            found[parse_name(arguments[0], "resource")] = f"{VERSIONS}/{file.name}", arguments
    if table not in found:
        raise ScaffoldError(f"No `orders-api scaffold` wrote {name}{nearest(table, found)}")
    return found[table]


def _without_section(models: str, table: str) -> str:
    title = table.replace("_", " ").capitalize()
    section = re.search(rf"(?ms)^# --- {title} -+\n.*?(?=^# --- |\Z)", models)
    if section is None:
        raise ScaffoldError(f"{MODELS} has no section {title} any more, so nothing is removed.")
    parts = models[: section.start()].rstrip(), models[section.end() :]
    return "\n\n\n".join(filter(None, parts)) + "\n" * (not parts[1])


def _check_that_it_is_last(copy: Copy, migration: str, name: str) -> None:
    """Refuse to take out a migration that another one follows, or that a database has."""
    (revision,) = re.findall(r'(?m)^revision: str = "(\w+)"$', copy.read(migration))
    for file in (copy.folder / VERSIONS).glob("*.py"):
        if re.search(rf'(?m)^down_revision: .*"{revision}"', file.read_text("utf-8")):
            raise ScaffoldError(
                f"The migration {VERSIONS}/{file.name} follows that of {name}: take it back first."
            )
    settings = Settings()
    url = without_event_loop(settings.url)
    if settings.is_sqlite and not Path(url.database or "").is_file():
        return
    try:
        with create_engine(url, poolclass=NullPool).connect() as connection:
            current = MigrationContext.configure(connection).get_current_heads()
    except DBAPIError as error:
        raise ScaffoldError(
            f"The database cannot tell whether it has {name}: {reason_of(error)}."
        ) from error
    if revision in current:
        raise ScaffoldError(
            f"The database {url.render_as_string()} has {name}: run `alembic downgrade -1` first,"
            " which deletes all of them."
        )


def _comparable(text: str) -> list[str]:
    """Return the lines of a file in an order of their own: another section may have come since."""
    return sorted(IDS.sub("", text).splitlines())
