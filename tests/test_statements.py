"""The SQL of each kind of request is what stands in `tests/sql`: a review sees what a change does.

`WRITE_SQL=1 uv run pytest tests/test_statements.py tests/test_schemas.py` writes it anew.
"""

import os
import re

import pytest
from fastapi.testclient import TestClient

from tests.conftest import ROOT, Statements, needs_shortcuts
from tests.samples import Json, new_coupon, new_order, new_product

# Each makes another form of statement: by how an object is shown, or by how it is looked for.
REQUESTS = {
    "a plain object": "GET /todos/{todoId}",
    "an object with another in it": "GET /products/{productId}",
    "an object with lists, and others in their items": "GET /orders/{orderId}",
    "a page": "GET /stores",
    "a page of objects with others in them": "GET /products",
    "a page, filtered": "GET /stores?city=Lisbon&q=book",
    "a page of objects with others in them, filtered": "GET /products?storeId={storeId}&minPrice=1",
    "a page, filtered by what is in a list": "GET /orders?productId={productId}",
    "a page, sorted": "GET /products?sort=-price",
    "a page, from a cursor on": "GET /products?sort=-price&after={cursor}",
    "inserted": 'POST /coupons {"code": "NEW", "initCount": 1}',
    "inserted, with a number that the database makes": 'POST /todos {"task": "Wait"}',
    "inserted, with the key of another": (
        'POST /products {"storeId": "{storeId}", "name": "New", "price": 1}'
    ),
    "inserted with lists, after others are read by their keys": (
        'POST /orders {"items": [{"productId": "{productId}", "quantity": 1}], "couponCode": "OLD"}'
    ),
    "changed": 'PATCH /products/{productId} {"price": 2}',
    "deleted": "DELETE /todos/{todoId}",
}
CLAUSES = re.compile(r" (?=(?:FROM|WHERE|ORDER BY|LIMIT|VALUES|RETURNING|UNION ALL) )")


@pytest.fixture
def made(client: TestClient) -> dict[str, str]:
    """Make objects, and return their ids, and a cursor."""
    product = new_product(client)
    new_product(client, product["store"], name="Atlas")
    new_coupon(client, code="OLD")
    todo: Json = client.post("/todos", json={"task": "Wait"}).json()
    link = client.get("/products?sort=-price&limit=1").links["next"]["url"]
    made: Json = product | todo | new_order(client, (product, 1))
    return made | {"cursor": link.partition("after=")[2]}


@needs_shortcuts  # or parameters look otherwise on PostgreSQL
def test_statements_are_those_that_were_reviewed(
    client: TestClient, database_url: str, made: dict[str, str], statements: Statements
) -> None:
    sections = []
    for title, request in REQUESTS.items():
        filled = re.sub(r"\{(\w+)\}", lambda name: str(made[name[1]]), request)
        method, path, *body = filled.split(maxsplit=2)
        statements.texts.clear()
        headers = {"content-type": "application/json"} if body else {}
        response = client.request(method, path, content="".join(body), headers=headers)
        assert response.is_success, response.text
        sections.append(f"-- {title}: {request}\n{''.join(map(laid_out, statements.texts))}")
    check_sql("", database_url, sections)


def check_sql(kind: str, database_url: str, sections: list[str]) -> None:
    """Compare statements with those in a file, or write the file."""
    name = "sqlite" if database_url == "sqlite://" else "postgresql"
    file = ROOT / "tests" / "sql" / f"{kind}{'_' if kind else ''}{name}.sql"
    if os.environ.get("WRITE_SQL"):
        file.write_text("\n".join(sections), "utf-8")
    hint = (
        "If that is meant: WRITE_SQL=1 uv run pytest tests/test_statements.py tests/test_schemas.py"
    )
    assert sections == re.split(r"\n(?=-- )", file.read_text("utf-8")), hint


def laid_out(statement: str) -> str:
    """Write a statement with a line for each clause."""
    return CLAUSES.sub("\n", " ".join(statement.split())) + ";\n"
