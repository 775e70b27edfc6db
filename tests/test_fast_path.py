"""Which requests go past FastAPI's search."""

import re

from starlette.routing import Match

from orders_api.app import create_app
from orders_api.settings import Settings
from orders_api.web.route_table import RouteTable
from tests.resources import OPERATIONS, UNKNOWN

LEFT_TO_FASTAPI = {
    "GET /",  # answers with a page or with JSON
    "POST /products/import",  # reads lines
    "POST /token",  # reads a form
} | {
    name
    for name, operation in OPERATIONS.items()
    if "application/jsonl" in str(operation["responses"])
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
