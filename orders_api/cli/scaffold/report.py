"""What the command says of what it wrote."""

import json
from collections.abc import Iterator

from orders_api.cli.common import plural
from orders_api.cli.scaffold.addition import DESIGN, MODELS, OPENAPI, README, VERSIONS
from orders_api.cli.scaffold.checkout import CHANGELOG, Changes
from orders_api.cli.scaffold.members import MAX_INDEXED_TEXT
from orders_api.cli.scaffold.resource import Resource


def added(resource: Resource, changes: Changes) -> Iterator[str]:
    """Return a line for each file, and then what to do next."""
    what = {name: _what(resource, name, new or "") for name, (_, new) in changes.items()}
    width = max(map(len, what))
    for name, words in what.items():
        yield f"{name:{width}}  {words}"
    for member in resource.members:
        if member.is_shortened:
            limit = f"at most {MAX_INDEXED_TEXT} characters"
            yield f"{member.alias} has {limit}, so that an index can have it."
    body = {m.alias: f"<{m.alias}>" for m in resource.references if not m.optional}
    body |= {member.alias: member.example for member in resource.fields if not member.optional}
    yield ""
    yield "Read the migration. Then:"
    yield "  orders-api migrate"
    yield "  orders-api serve"
    yield f"  curl --json '{json.dumps(body)}' localhost:8000/{resource.path}"
    for member in resource.references:
        if not member.optional:
            demo = member.refers_to in {"coupons", "orders", "products", "stores"}
            how = "`orders-api demo` makes some" if demo else "a POST makes one"
            yield f"with the {member.alias} of one in localhost:8000{member.path} ({how})"


def _what(resource: Resource, name: str, text: str) -> str:
    match name:
        case _ if name == MODELS:
            return f"a section with the class {resource.model}, its table"
        case _ if name == README:
            return "2 rows in the table of endpoints"
        case _ if name == DESIGN:
            return "the table in the diagram"
        case _ if name == CHANGELOG:
            return "a line for what is new"
        case _ if name == OPENAPI:
            return "the OpenAPI document"
        case _ if name.startswith(VERSIONS):
            return f"a migration that creates the table {resource.table}"
        case _ if name.startswith("tests/"):
            return f"{plural(text.count('def test_'), 'test')} of what is special"
    return f"{plural(text.count('@router.'), 'endpoint')} at /{resource.path}"


def removed(changes: Changes) -> Iterator[str]:
    for name, (_, new) in changes.items():
        yield f"{name} is {'removed' if new is None else 'as before'}"
