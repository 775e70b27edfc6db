"""What documents have of a new resource: rows of a table, a part of a diagram, a line of news."""

import re

from orders_api.cli.scaffold.members import ScaffoldError
from orders_api.cli.scaffold.resource import Resource

UNRELEASED = r"## \[?Unreleased\b"
WITHIN = r"(?:(?!\n## ).)*?"  # to be followed by something before the next version
ADDED = "### Added\n\n"


def readme_rows(resource: Resource) -> list[str]:
    parameters = ", ".join(f"`{name}`" for name in resource.parameters)
    methods = "GET, PATCH, DELETE" if resource.fields else "GET, DELETE"
    return [
        f"| `/{resource.path}` | GET, POST | {parameters} |".replace("|  |", "| |"),
        f"| `/{resource.path}/{{{resource.key_alias}}}` | {methods} | |",
    ]


def diagram_links(resource: Resource) -> list[str]:
    return [
        f"    {m.refers_to} {'|o' if m.optional else '||'}--o{{ {resource.table} : have"
        for m in resource.references
    ]


def diagram_table(resource: Resource) -> list[str]:
    lines = [f"uuid {resource.key} PK"]
    for member in (*resource.references, *resource.fields):
        key = " FK" if member.table is not None else ""
        optional = ' "optional"' if member.optional else ""
        lines += [f"{member.column} {member.name}{key}{optional}"]
    times = ["timestamp created_at", "timestamp updated_at"]
    lines += [*times, "integer version"] if resource.fields else []
    return [f"    {resource.table} {{", *(f"        {line}" for line in lines), "    }"]


def add_rows(readme: str, resource: Resource) -> str:
    """Add the endpoints to the table of the README."""
    table = re.search(r"(?m)^\| Path \| Methods .*\n(?:\|.*\n)+", readme)
    if table is None:
        raise ScaffoldError("README.md has no table of endpoints to add to.")
    rows = "".join(f"{row}\n" for row in readme_rows(resource))
    return readme[: table.end()] + rows + readme[table.end() :]


def add_to_diagram(design: str, resource: Resource) -> str:
    """Add the table and what it refers to, to the diagram of docs/design.md."""
    diagram = re.search(
        r"(?ms)^```mermaid\nerDiagram\n(?P<links>(?:    \w.*?--.*?\n)*)(?P<tables>.*?)^```$", design
    )
    if diagram is None:
        raise ScaffoldError("docs/design.md has no diagram to add to.")
    links = "".join(f"{line}\n" for line in diagram_links(resource))
    table = "".join(f"{line}\n" for line in diagram_table(resource))
    between, end = diagram.end("links"), diagram.end("tables")
    return design[:between] + links + design[between:end] + table + design[end:]


def add_to_changelog(changelog: str, resource: Resource) -> str:
    """Add a line to what is not released yet, if the changelog has a heading for that."""
    heading = re.search(rf"(?m)^{UNRELEASED}.*\n", changelog)
    if heading is None:
        return changelog
    added = re.compile(rf"(?s){WITHIN}\n{ADDED}?").match(changelog, heading.end() - 1)
    end = added.end() if added else heading.end()
    line = f"- {resource.title}, at `/{resource.path}`.\n"
    return changelog[:end] + ("" if added else f"\n{ADDED}") + line + changelog[end:]


def without_line(changelog: str, path: str) -> str:
    """Take out the line of a resource, and its heading if nothing else is below that."""
    line = rf"(?ms)(^{UNRELEASED}{WITHIN})^- [^\n]+, at `/{path}`\.\n"
    return re.sub(rf"\n{ADDED}(?=\n|\Z)", "", re.sub(line, r"\1", changelog))
