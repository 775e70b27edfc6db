"""The servers that are measured, and the data that they serve."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2
import psutil
import psycopg

from orders_api.settings import Settings
from tests.conftest import ROOT
from tests.live import COMMAND, free_port

OURS = [str(COMMAND), "serve"]
LIMIT = [
    *(sys.executable, "-m", "uvicorn", "tests.bench.limit:app", f"--app-dir={ROOT}"),
    *("--log-level=warning", "--no-access-log", "--no-server-header", "--ws=none"),
]
MIB = 2**20

# Enough rows for an index to matter; the lines of an order come from three stores.
DATA = """
    INSERT INTO stores
        (store_id, version, name, city, country, currency, street, zipcode, domain, phone, email)
    SELECT
        uuidv7(), 1, 'Store ' || n, 'Lisbon', 'Portugal', 'EUR', 'Rua Garrett ' || n, '1200-203',
        'https://store' || n || '.example', '+351 213 460 000', 'hello@store' || n || '.example'
    FROM generate_series(1, 100) AS n;

    INSERT INTO products (product_id, version, store_id, name, description, price)
    SELECT uuidv7(), 1, store_id, 'Product ' || n, 'Paperback, as good as new', n % 1000 + 0.99
    FROM generate_series(1, 10000) AS n JOIN stores ON stores.name = 'Store ' || n % 100 + 1
    ORDER BY n;

    INSERT INTO orders (order_id, date, percent_off)
    SELECT uuidv7(), timestamptz '2026-01-01Z' + n * interval '1 minute', 0
    FROM generate_series(1, 10000) AS n;

    INSERT INTO order_items
        (order_id, product_id, line, name, unit_price, currency, quantity, date)
    SELECT order_id, product_id, line, name, price, 'EUR', line, date
    FROM (SELECT order_id, date, row_number() OVER (ORDER BY order_id) AS n FROM orders) AS o
    CROSS JOIN generate_series(1, 3) AS line
    JOIN products ON products.name = 'Product ' || (n * 3 + line) % 10000 + 1;

    INSERT INTO order_totals (order_id, currency, subtotal, discount, total)
    SELECT order_id, 'EUR', sum(unit_price * quantity), 0, sum(unit_price * quantity)
    FROM order_items GROUP BY order_id;
"""


def insert_data(url: str) -> tuple[list[str], str]:
    """Fill a migrated database, and give the ids of three products and of an order."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DATA)
        connection.execute("VACUUM ANALYZE")
        products = connection.execute("SELECT product_id FROM products LIMIT 3 OFFSET 5000")
        order = connection.execute("SELECT order_id FROM orders LIMIT 1 OFFSET 5000").fetchone()
        assert order is not None
        return [str(row[0]) for row in products], str(order[0])


@dataclass(frozen=True)
class Server:
    address: str
    start_seconds: float
    """From the command to the first good answer."""

    process: psutil.Process

    def memory_mib(self) -> list[float]:
        """Return the resident memory of each of its processes, the largest first."""
        processes = [self.process, *self.process.children(recursive=True)]
        return sorted((p.memory_info().rss / MIB for p in processes), reverse=True)


@contextmanager
def serving(
    command: list[str], folder: Path, path: str = "/ready", **environment: str
) -> Iterator[Server]:
    """Run a server until the block ends; it has started when it answers `path` with 200."""
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    # The developer's own settings must not reach what is measured.
    inherited = {k: v for k, v in os.environ.items() if k.lower() not in Settings.model_fields}
    environment = inherited | {"ENV_FILE": os.devnull, "LOG_LEVEL": "WARNING"} | environment
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, f"--port={port}"], cwd=folder, env=environment, stdout=subprocess.DEVNULL
    ) as process:
        try:
            wait_until_ready(address + path, process)
            elapsed = time.perf_counter() - started
            yield Server(address, elapsed, psutil.Process(process.pid))
        finally:
            process.terminate()


def wait_until_ready(url: str, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 30
    with httpx2.Client() as client:
        while time.monotonic() < deadline:
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx2.TransportError:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args!r} ended") from None
            time.sleep(0.01)
    raise TimeoutError(f"{process.args!r} did not start within 30 seconds")
