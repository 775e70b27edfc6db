"""Which requests go past FastAPI's search, and that nobody can tell from their answers."""

import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.testclient import TestClient
from starlette.routing import Match

from orders_api.app import create_app
from orders_api.settings import Settings
from orders_api.web.route_table import RouteTable
from tests.resources import OPERATIONS, UNKNOWN, Resource, each_resource
from tests.samples import Json
from tests.sessions import DATES, MADE_BY_SERVER

LEFT_TO_FASTAPI = {
    "GET /",  # answers with a page or with JSON
    "POST /products/import",  # reads lines
    "GET /orders/export",  # writes them
    "POST /token",  # reads a form
}


def test_all_but_a_few_operations_take_the_fast_path() -> None:
    app = create_app(Settings(database_url="sqlite://"))
    table = RouteTable(app)
    left = set()
    for operation in OPERATIONS:
        method, path = operation.split()
        path = re.sub(r"\{\w+\}", UNKNOWN, path)
        if table.matches({"type": "http", "method": method, "path": path})[0] is Match.NONE:
            left.add(operation)
    assert left == LEFT_TO_FASTAPI


# --- The same answers ---------------------------------------------------------------------

JSON = {"content-type": "application/json"}
Sent = tuple[str, str, dict[str, Any]]


def requests(client: TestClient, resource: Resource) -> Iterator[Sent]:
    """Yield requests for a resource, right ones and wrong ones; nothing is kept of a change."""
    created = resource.new(client), resource.new(client)
    collection, item = resource.collection, resource.path(created[0])
    for path in (collection, f"{collection}/", f"{collection}?limit=1", item, f"{item}/"):
        yield "GET", path, {}
        yield "HEAD", path, {}
        yield "GET", path, {"headers": {"if-none-match": "*"}}
        yield "GET", path, {"headers": {"host": "api.example"}}
        yield "OPTIONS", path, {}
    for path in (f"{collection}?x=1", f"{collection}?limit=0&limit=1", f"{item}?limit=1"):
        yield "GET", path, {}
    wrong = [item.replace(item.rpartition("/")[2], key) for key in (UNKNOWN, "nonsense", "%00")]
    bodies = {"POST": resource.body(client)}
    bodies |= {"PATCH": resource.change()} if "PATCH" in resource.methods else {}
    bodies |= {"PUT": resource.example(client, "PUT")} if "PUT" in resource.methods else {}
    for method in ("GET", "PUT", "PATCH", "DELETE"):
        for path in wrong:
            yield method, path, {"json": bodies.get(method)}
    for method, body in bodies.items():
        path = collection if method == "POST" else item
        for prefer in ("tx=rollback", "tx=rollback, return=minimal"):
            yield method, path, {"json": body, "headers": {"prefer": prefer}}
        yield method, path, {"json": body, "headers": {"if-match": '"x"', "prefer": "tx=rollback"}}
        yield method, path, {"json": body, "headers": {"origin": "https://evil.example"}}
        yield method, f"{path}?x=1", {"json": body}
        yield method, path, {"json": body | {"x": 1}}
        yield method, path, {"json": dict.fromkeys(body)}
        for content in (b"", b"{", b"[]", b"null", b'{"x": "\xff"}'):
            yield method, path, {"content": content, "headers": JSON}
        yield method, path, {"content": b"{}", "headers": {"content-type": "text/plain"}}
    for path in (item, *wrong):
        yield "DELETE", path, {"headers": {"prefer": "tx=rollback"}}


@each_resource()
def test_fast_path_answers_as_fastapi_does(client: TestClient, resource: Resource) -> None:
    assert isinstance(client.app, FastAPI)
    for method, path, options in requests(client, resource):
        fast = answer(client, method, path, options)
        client.app.dependency_overrides[answer] = answer  # with any, all goes FastAPI's way
        try:
            assert answer(client, method, path, options) == fast
        finally:
            client.app.dependency_overrides.clear()


def answer(client: TestClient, method: str, path: str, options: Json) -> tuple[int, str, str]:
    response = client.request(method, path, **options)
    if method == "POST" and response.content:  # numbers have more digits one day
        assert int(response.headers.pop("content-length")) == len(response.content)
    return response.status_code, neutral(repr(response.headers)), neutral(response.text)


def neutral(text: str) -> str:
    """Write the same for what is made anew for each request."""
    text = re.sub(r'(?<="todoId":)\d+|(?<=/todos/)\d+', "1", DATES.sub("…", text))
    made: dict[str, str] = {}
    return MADE_BY_SERVER.sub(lambda found: made.setdefault(found[0], f"#{len(made)}"), text)
