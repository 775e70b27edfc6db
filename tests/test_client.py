"""A client that openapi-python-client makes from the OpenAPI document works."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.live import COMMAND, create_user, running_server

PROGRAM = """
import sys

from orders_client import AuthenticatedClient, Client
from orders_client.api.orders import create_order, get_order, list_orders
from orders_client.api.products import create_product
from orders_client.api.sign_in import create_token
from orders_client.api.stores import create_store
from orders_client.models import OrderIn, OrderItemIn, Problem, ProductIn, SignIn, StoreIn

address = sys.argv[1]
form = SignIn(username="ada", password="correct horse")
with Client(address) as anybody:
    token = create_token.sync(client=anybody, body=form).access_token

with AuthenticatedClient(address, token) as client:
    body = StoreIn("Corner Books", "Lisbon", "Portugal", "EUR", "Rua Garrett 73", "1200-203")
    store = create_store.sync(client=client, body=body)
    body = ProductIn(name="Os Lusíadas", price=19.99, store_id=store.store_id)
    product = create_product.sync(client=client, body=body)
    assert product.store == store

    body = OrderIn([OrderItemIn(product.product_id, 2)])
    created = create_order.sync_detailed(client=client, body=body, idempotency_key="a")
    order = created.parsed
    assert created.headers["location"] == f"/orders/{order.order_id}"
    assert order.date.utcoffset().total_seconds() == 0
    assert (order.currency, order.total, order.items[0].line_total) == ("EUR", 39.98, 39.98)
    assert order.items[0].product == product
    assert get_order.sync(order.order_id, client=client) == order
    (listed,) = list_orders.sync(client=client, product_id=product.product_id, sort="-date")
    assert listed.order_id == order.order_id

    refused = create_order.sync(client=client, body=OrderIn([OrderItemIn(product.product_id, 0)]))
    assert isinstance(refused, Problem)
    assert refused.errors[0].pointer == "/items/0/quantity"
"""


@pytest.mark.slow
def test_generated_client_creates_and_reads_an_order(
    environment: dict[str, str], tmp_path: Path
) -> None:
    environment |= {"TRUST_LOCAL": "false"}
    create_user(tmp_path, environment)
    with running_server(tmp_path, **environment) as address:
        # It formats what it has made with the ruff that is in the path.
        path = f"{COMMAND.parent}{os.pathsep}{os.environ['PATH']}"
        generate = ["openapi-python-client", "generate", "--meta", "none"]
        output = subprocess.run(
            [*generate, "--url", f"{address}/openapi.json", "--output-path", "orders_client"],
            cwd=tmp_path,
            env=os.environ | {"PATH": path},
            check=True,
            capture_output=True,
            text=True,
        )
        printed = output.stdout + output.stderr
        warnings = re.findall(r"(?m)^(?:WARNING parsing|ERROR|Skipping) (\S+ ?\S*)", printed)
        assert warnings == [
            "POST /products/import",
            "GET /orders/export",
        ]  # not JSON but JSON lines
        program = [sys.executable, "-W", "error", "-c", PROGRAM, address]
        done = subprocess.run(program, cwd=tmp_path, capture_output=True, text=True)
        assert (done.returncode, done.stdout + done.stderr) == (0, "")
