"""Load, and a ledger of what was acknowledged, to be compared with the database afterwards."""

import asyncio
import sys
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import httpx2

from tests.samples import STORE

WRITERS = 8
PATIENCE = 5.0  # seconds in which each request is answered


@dataclass
class Ledger:
    """What clients were told."""

    orders: dict[str, str] = field(default_factory=dict)
    """For each idempotency key that was acknowledged, the order."""

    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    without_retry_after: int = 0
    slowest: float = 0.0
    last_success: float = 0.0

    def report(self) -> None:
        """Show the figures of a drill (with `-s` or when it fails)."""
        sys.stdout.write(
            f"\n{len(self.orders)} orders acknowledged, answers {dict(self.statuses)},"
            f" {self.unanswered} unanswered, the slowest after {self.slowest:.2f} s\n"
        )

    def record(self, response: httpx2.Response, seconds: float) -> None:
        self.statuses[response.status_code] += 1
        self.slowest = max(self.slowest, seconds)
        if response.status_code == 503 and "retry-after" not in response.headers:
            self.without_retry_after += 1
        if response.status_code < 300:
            self.last_success = time.monotonic()


class Load:
    """Clients that order without a pause, and try again with the same key until they are told."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.ledger = Ledger()
        self.stopping = False

    async def __aenter__(self) -> "Load":
        async with self.client() as client:
            store = (await client.post("/stores", json=STORE)).json()
            product = {"storeId": store["storeId"], "name": uuid.uuid4().hex, "price": 2}
            product = (await client.post("/products", json=product)).json()
            other = {"storeId": store["storeId"], "name": uuid.uuid4().hex, "price": "0.50"}
            other = (await client.post("/products", json=other)).json()
        self.body = {
            "items": [
                {"productId": product["productId"], "quantity": 1},
                {"productId": other["productId"], "quantity": 2},
            ]
        }
        self.tasks = [asyncio.create_task(self.order()) for _ in range(WRITERS)]
        self.tasks += [asyncio.create_task(self.read()) for _ in range(2)]
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stopping = True
        await asyncio.gather(*self.tasks)

    def client(self) -> httpx2.AsyncClient:
        return httpx2.AsyncClient(base_url=self.address, timeout=30)

    async def order(self) -> None:
        async with self.client() as client:
            while not self.stopping:
                key = uuid.uuid4().hex
                headers = {"idempotency-key": key}
                while True:
                    answer = await self.send(
                        client, "POST", "/orders", json=self.body, headers=headers
                    )
                    if answer is not None and answer.status_code == 201:
                        self.ledger.orders[key] = answer.json()["orderId"]
                        break
                    if self.stopping:
                        break  # not acknowledged: it may be there or not
                    await asyncio.sleep(0.1)

    async def read(self) -> None:
        async with self.client() as client:
            while not self.stopping:
                await self.send(client, "GET", "/products")
                await asyncio.sleep(0.01)

    async def send(
        self, client: httpx2.AsyncClient, method: str, path: str, **options: Any
    ) -> httpx2.Response | None:
        started = time.monotonic()
        try:
            response = await client.request(method, path, **options)
        except httpx2.TransportError:
            self.ledger.unanswered += 1
            return None
        self.ledger.record(response, time.monotonic() - started)
        return response

    async def acknowledged(self, more: int, within: float = 30) -> None:
        """Wait until so many more orders are acknowledged."""
        enough = len(self.ledger.orders) + more
        deadline = time.monotonic() + within
        while len(self.ledger.orders) < enough:
            assert time.monotonic() < deadline, f"no success any more: {self.ledger}"
            await asyncio.sleep(0.01)


async def recovered(load: Load) -> None:
    """All is well again soon after the database is back."""
    await load.acknowledged(1, within=PATIENCE)
    await load.acknowledged(50)


WHOLE = """
    SELECT orders.order_id, count(DISTINCT items.product_id), count(DISTINCT totals.currency)
    FROM orders
    LEFT JOIN order_items AS items ON items.order_id = orders.order_id
    LEFT JOIN order_totals AS totals ON totals.order_id = orders.order_id
    GROUP BY orders.order_id
"""


def check(ledger: Ledger, found: list[tuple[Any, ...]]) -> None:
    """Compare with the rows of `WHOLE`: nothing lost, nothing doubled, nothing half there."""
    orders = {str(uuid.UUID(str(row[0]))) for row in found}
    assert set(ledger.orders.values()) <= orders, "acknowledged orders are lost"
    assert len(set(ledger.orders.values())) == len(ledger.orders), "an order answered two keys"
    assert {row[1:] for row in found} <= {(2, 1)}, "there are half orders"
    # Only the last of each writer may be there without having been acknowledged.
    assert len(orders) - len(ledger.orders) <= WRITERS, "orders are doubled"


def check_answers(ledger: Ledger) -> None:
    """Compare with what clients may be told while the database is away."""
    ledger.report()
    assert set(ledger.statuses) <= {200, 201, 503}
    assert ledger.without_retry_after == 0
    assert ledger.unanswered == 0
    assert ledger.slowest < PATIENCE
