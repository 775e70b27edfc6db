"""The servers that are measured, and the data that they serve."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
import psutil
import psycopg
from sqlmodel import SQLModel

from orders_api.settings import Settings, parse_database_url
from orders_api.storage.migrations import migrate
from tests.bench.load import Operation, send
from tests.conftest import ROOT
from tests.live import COMMAND, free_port

OURS = [str(COMMAND), "serve"]
LIMIT = [
    *(sys.executable, "-m", "uvicorn", "tests.bench.limit:app", f"--app-dir={ROOT}"),
    *("--log-level=warning", "--no-access-log", "--no-server-header", "--ws=none"),
]
JSON_SERVER = "node_modules/.bin/json-server"
JSON_SERVER_PACKAGE = "json-server@1.0.0-beta.3"
MIB = 2**20
Json = dict[str, Any]

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
    """Fill a migrated database, and return the ids of three products and of an order."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(DATA)
        connection.execute("VACUUM ANALYZE")
        # Of the first page, so that json-server can have them too.
        products = connection.execute("SELECT product_id FROM products ORDER BY 1 LIMIT 3")
        order = connection.execute("SELECT order_id FROM orders LIMIT 1 OFFSET 5000").fetchone()
        assert order is not None
        return [str(row[0]) for row in products], str(order[0])


# What SQLite has where PostgreSQL has a type that it does not know.
STORED = {
    "uuid": "replace({}::text, '-', '')",
    "numeric": "{}::float8",
    "timestamptz": "to_char({} AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US')",
}


def copy_to_sqlite(url: str, file: Path) -> None:
    """Make a SQLite database with the rows of one on PostgreSQL."""
    migrate(parse_database_url(f"sqlite:///{file}"))
    with psycopg.connect(url) as source, closing(sqlite3.connect(file)) as target:
        target.execute("PRAGMA synchronous = OFF")
        target.execute("PRAGMA cache_size = -500000")  # 500 MB: the unique names come in any order
        # An index that is made afterwards is sorted once.
        indexes = target.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL"
        ).fetchall()
        for name, _ in indexes:
            target.execute(f"DROP INDEX {name}")
        for table in SQLModel.metadata.sorted_tables:
            columns = source.execute(f"SELECT * FROM {table.name} LIMIT 0".encode()).description
            assert columns is not None
            names = [column.name for column in columns]
            values = [
                STORED.get(column.type_display.partition("(")[0], "{}").format(column.name)
                for column in columns
            ]
            key = ", ".join(column.name for column in table.primary_key)
            with source.cursor("rows") as rows:
                rows.itersize = 10_000
                query = f"SELECT {', '.join(values)} FROM {table.name} ORDER BY {key}"
                target.executemany(
                    f"INSERT INTO {table.name} ({', '.join(names)})"
                    f" VALUES ({', '.join('?' * len(names))})",
                    rows.execute(query.encode()),
                )
        for _, sql in indexes:
            target.execute(sql)
        target.commit()


@dataclass(frozen=True)
class Target:
    """A server, and what it is asked for."""

    name: str
    command: list[str]
    operations: list[Operation]
    computes_orders: bool = True
    """If not, what it is sent is what it keeps and answers."""


def json_servers(folder: Path, address: str, operations: list[Operation]) -> list[Target]:
    """Install json-server, with the data of the server at this address, all of it and a little.

    To find an object, it goes through all of them, and it writes all into a file at each creation.
    So it creates only with the little data: what is asked for, and nothing else.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise LookupError("there is no npm")
    options = ("--prefix=.", "--no-audit", "--no-fund", "--fetch-retries=0", "--loglevel=error")
    try:
        command = [npm, "install", *options, JSON_SERVER_PACKAGE]
        subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=60)
    except subprocess.SubprocessError as error:
        raise LookupError("npm could not install it") from error
    its_own = [replace(one, path=one.path.replace("?limit=", "?_limit=")) for one in operations]
    _, products, order, _ = operations
    data = {
        "json-server": (all_products(address), all_orders(address), its_own[:-1]),
        "json-server, 50": (send(address, products), [send(address, order)], its_own),
    }
    targets = []
    for name, (some_products, some_orders, asked) in data.items():
        file = folder / f"{name}.json"
        objects = {
            "products": [{"id": one["productId"]} | one for one in some_products],
            "orders": [{"id": one["orderId"]} | one for one in some_orders],
        }
        file.write_text(json.dumps(objects), "utf-8")
        targets.append(Target(name, [JSON_SERVER, file.name], asked, computes_orders=False))
    return targets


def all_products(address: str) -> Iterator[Json]:
    """Read page by page, as each has its store there."""
    with httpx2.Client(base_url=address) as client:
        path = "/products?limit=100"
        while path:
            page = client.get(path).raise_for_status()
            yield from page.json()
            path = page.links.get("next", {}).get("url", "")


def all_orders(address: str) -> Iterator[Json]:
    with httpx2.stream("GET", f"{address}/orders/export", timeout=60) as lines:
        yield from map(json.loads, lines.raise_for_status().iter_lines())


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
    deadline = time.monotonic() + 60
    with httpx2.Client() as client:
        while time.monotonic() < deadline:
            try:
                if client.get(url).status_code == 200:
                    return
            except httpx2.TransportError:
                if process.poll() is not None:
                    raise RuntimeError(f"{process.args!r} ended") from None
            time.sleep(0.01)
    raise TimeoutError(f"{process.args!r} did not start within 60 seconds")
