"""Does a request cost more where there is more? Measured with a thousand rows and with a million.

    uv run python -m tests.bench.size
    uv run python -m tests.bench.size --server postgresql://postgres@localhost/postgres
    uv run python -m tests.bench.size --beside-only

makes a database with 1,000 products and orders and one with 1,000,000, copies each to SQLite, runs
the API on all four, and asks them for the same in turn, on one connection each. Then it asks the
large ones for a product again and again, while others search or import. The PostgreSQL server is
the embedded one, which has no trigram index for `q`; or one's own, where the two databases are left
behind to be measured again, with what was created and imported. It takes a quarter of an hour and
5 GB. With `--beside-only` there are no orders, and only the end is measured, in some minutes.
"""

import argparse
import json
import random
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from http.client import HTTPConnection
from itertools import cycle, repeat
from pathlib import Path
from typing import Any
from urllib.parse import urlencode, urlsplit
from uuid import uuid4

import psycopg
from sqlmodel import SQLModel

from orders_api.models import Order, Product
from orders_api.settings import Settings
from orders_api.storage.keyset import Keyset
from orders_api.storage.migrations import migrate
from tests.bench.servers import copy_to_sqlite
from tests.conftest import Postgres
from tests.live import running_server

SIZES = 1_000, 1_000_000
WARM_UP = 20  # requests; by then PostgreSQL has decided how it plans a prepared statement
MEASURED = 100
LONGEST = 10  # seconds for one kind of request, of which there are fewer then
BESIDE = 10  # seconds
PACE = 0.01  # seconds from one product to the next
IMPORTED = 100_000

# A key like those that the API makes: milliseconds, then what looks random.
KEY = """(
    lpad(to_hex({milliseconds}::bigint), 12, '0') || '7' || left(md5({seed}), 3)
    || '8' || right(md5({seed}), 15)
)::uuid"""

# From 0 to 1, the same for the same number. Its square makes a few stores large, and a few
# products popular.
SPREAD = "(hashint4(({number})::integer)::bigint + 2147483648) / 4294967296.0"

# What is rare is 60 rows in the last tenth, however many there are in all: with either size they
# fill a page, and nothing but an index knows that the first nine tenths have none.
RARE = "n > 0.9 * {rows} AND n % ({rows} / 600) = 0"

FILL = {
    "products": """
INSERT INTO stores (version, name, city, country, currency, street, zipcode, store_id)
SELECT 1, 'Store ' || n, 'City ' || n % 20, 'Country ' || n % 10,
    (ARRAY['EUR', 'USD', 'GBP'])[1 + n % 3], 'Main Street ' || n, '1000', {store_key}
FROM generate_series(1, {stores}) AS n;

INSERT INTO products (version, name, description, price, store_id, product_id)
SELECT 1,
    (ARRAY['Blue', 'Old', 'Small', 'Warm', 'Round', 'Plain', 'Soft'])[1 + n % 7]
        || (ARRAY[' lamp ', ' atlas ', ' chair ', ' teapot ', ' notebook '])[1 + n % 5] || n,
    CASE WHEN {rare} THEN 'A curiosity from Zanzibar'
        WHEN n % 3 > 0 THEN 'Made by hand of wood, wool and patience; number ' || md5(n::text) END,
    CASE WHEN {rare} THEN 9000 ELSE 1 + round(500 * ({spread_price}) ^ 2, 2) END,
    s.store_id, {product_key}
FROM generate_series(1, {rows}) AS n
JOIN (SELECT store_id, row_number() OVER (ORDER BY store_id) AS place FROM stores) AS s
    ON s.place = 1 + floor({stores} * ({spread}) ^ 2);
""",
    "orders": """
INSERT INTO coupons (version, code, init_count, percent_off, coupon_id, remaining_count)
SELECT 1, 'COUPON' || n, 2000000, 10, {coupon_key}, 1000000 FROM generate_series(0, 9) AS n;

CREATE TEMPORARY TABLE popular AS
SELECT row_number() OVER (ORDER BY product_id) AS place, product_id, p.name, price, currency
FROM products AS p JOIN stores USING (store_id);
ANALYZE popular;

INSERT INTO orders (order_id, date, coupon_code, percent_off, coupon_id)
SELECT {order_key}, to_timestamp({order_time} / 1000.0), code, coalesce(percent_off, 0), coupon_id
FROM generate_series(1, {rows}) AS n
LEFT JOIN coupons
    ON code = 'COUPON' || CASE WHEN {rare} THEN 0 WHEN n % 5 = 1 THEN 1 + n % 9 END;

INSERT INTO order_items
    (name, unit_price, currency, quantity, order_id, product_id, line, date, coupon_code)
SELECT name, price, currency, 1 + n % 3, order_id, product_id,
    row_number() OVER (PARTITION BY n), date, coupon_code
FROM (
    SELECT DISTINCT n, {order_key} AS order_id,
        1 + floor({rows} * ({spread_line}) ^ 2) AS place
    FROM generate_series(1, {rows}) AS n, generate_series(0, 2) AS line
) AS lines
JOIN popular USING (place)
JOIN orders USING (order_id);

INSERT INTO order_totals (order_id, currency, subtotal, discount, total)
SELECT order_id, currency, subtotal, discount, subtotal - discount
FROM (
    SELECT order_id, i.currency, sum(unit_price * quantity) AS subtotal,
        round(sum(unit_price * quantity) * max(percent_off) / 100, 2) AS discount
    FROM order_items AS i JOIN orders USING (order_id)
    GROUP BY order_id, i.currency
) AS sums;
""",
}


def fill(url: str, rows: int, table: str) -> None:
    """Make so many products or orders, if there are none; the orders are of the year 2024."""
    with psycopg.connect(url) as connection:
        if connection.execute(f"SELECT FROM {table} LIMIT 1".encode()).fetchone():
            return
    start = 1_704_067_200_000
    order_time = f"({start} + n::bigint * {366 * 86_400_000 // rows})"

    def key(milliseconds: str, kind: str) -> str:
        return KEY.format(milliseconds=milliseconds, seed=f"'{kind} ' || n")

    sql = FILL[table].format(
        rows=rows,
        stores=max(rows // 100, 100),
        rare=RARE.format(rows=rows),
        spread=SPREAD.format(number="n"),
        spread_price=SPREAD.format(number="-n"),
        spread_line=SPREAD.format(number="n * 3 + line"),
        store_key=key(f"{start} + n", "store"),
        product_key=key(f"{start} + n", "product"),
        coupon_key=key(f"{start} + n", "coupon"),
        order_key=key(order_time, "order"),
        order_time=order_time,
    )
    started = time.perf_counter()
    with psycopg.connect(url) as connection:
        # There are no foreign keys to check: what is named here exists.
        connection.execute("SET session_replication_role = replica")
        connection.execute(sql.encode())
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("VACUUM (ANALYZE)")
        connection.execute("CHECKPOINT")
    seconds = time.perf_counter() - started
    sys.stderr.write(f"{rows:,} {table} made in {seconds:.1f} s\n")


@contextmanager
def databases(server: str | None, sizes: tuple[int, ...]) -> Iterator[list[str]]:
    """Return the URL of a database on PostgreSQL for each size."""
    names = [f"orders_size_{rows}" for rows in sizes]
    if server is None:
        try:
            Postgres.embedded()
            yield [Postgres.create(name) for name in names]
        finally:
            Postgres.stop()
        return
    with psycopg.connect(server, autocommit=True) as connection:
        there = {name for (name,) in connection.execute("SELECT datname FROM pg_database")}
        for name in set(names) - there:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE template0 LOCALE 'C.UTF-8'")
    yield [urlsplit(server)._replace(path=f"/{name}").geturl() for name in names]


Request = tuple[str, str, bytes | None]
"""Method, path and body."""


def some_keys(url: str, table: str, key: str) -> list[str]:
    with psycopg.connect(url) as connection:
        query = f"SELECT {key}::text FROM {table} ORDER BY random() LIMIT 200"
        return [text for (text,) in connection.execute(query.encode())]


def requests(url: str, rows: int) -> dict[str, list[Request]]:
    """Return what to ask for, under names that are the same for each size."""
    database = psycopg.connect(url)
    chance = random.Random(rows)

    def values(sql: str) -> list[Any]:
        return [value for (value,) in database.execute(sql.encode())]

    def value(sql: str) -> Any:
        return values(sql)[0]

    def after(table: type[SQLModel], columns: str, sort: str = "", where: str = "true") -> str:
        """Point to the middle of a list: that is page 10,000 where there are 1,000,000."""
        query = (
            f"FROM {table.__tablename__} WHERE {where} ORDER BY"
            f" {columns if not sort.startswith('-') else columns.replace(',', ' DESC,') + ' DESC'}"
        )
        middle = value(f"SELECT count(*) {query.partition(' ORDER BY')[0]}") // 2
        row = database.execute(f"SELECT {columns} {query} OFFSET {middle} LIMIT 1".encode())
        members = dict(zip(columns.split(", "), row.fetchall()[0], strict=True))
        return Keyset.of(table, sort).cursor_of(table(**members))

    def get(path: str, **query: object) -> list[Request]:
        return [("GET", f"{path}?{urlencode(query)}" if query else path, None)]

    def post(path: str, *bodies: object) -> list[Request]:
        return [("POST", path, json.dumps(body).encode()) for body in bodies]

    product_ids = some_keys(url, "products", "product_id")
    ordered = "SELECT product_id FROM order_items GROUP BY product_id"
    popular = value(f"{ordered} ORDER BY count(*) DESC LIMIT 1")
    unpopular = value(f"{ordered} HAVING count(*) > 50 ORDER BY count(*) LIMIT 1")
    store = value("SELECT store_id FROM products GROUP BY store_id ORDER BY count(*) DESC LIMIT 1")
    this_store = f"store_id = '{store}'"
    middle, late = (
        value(f"SELECT date FROM orders ORDER BY date OFFSET {n} LIMIT 1").isoformat()
        for n in (rows // 2, rows - 60)
    )
    prices = "SELECT price FROM products ORDER BY price OFFSET {} LIMIT 1"
    cheap, dear = (value(prices.format(rows * n // 100)) for n in (50, 51))

    def orders(**more: object) -> list[Request]:
        bodies = [
            {"items": [{"productId": p, "quantity": 1} for p in chance.sample(product_ids, 3)]}
            for _ in range(200)
        ]
        return post("/orders", *(body | more for body in bodies))

    asked = {
        "one product": [r for key in product_ids for r in get(f"/products/{key}")],
        "one order": [
            r for key in some_keys(url, "orders", "order_id") for r in get(f"/orders/{key}")
        ],
        "products": get("/products"),
        "products, deep": get("/products", after=after(Product, "product_id")),
    }
    for sort in ("name", "-name", "price", "-price"):
        cursor = after(Product, f"{sort.removeprefix('-')}, product_id", sort)
        asked[f"products?sort={sort}"] = get("/products", sort=sort)
        asked[f"products?sort={sort}, deep"] = get("/products", sort=sort, after=cursor)
    cursor = after(Product, "product_id", where=this_store)
    asked |= {
        "products?storeId": get("/products", storeId=store),
        "products?storeId, deep": get("/products", storeId=store, after=cursor),
    }
    for sort in ("name", "price"):
        cursor = after(Product, f"{sort}, product_id", sort, this_store)
        asked[f"products?storeId&sort={sort}"] = get("/products", storeId=store, sort=sort)
        asked[f"products?storeId&sort={sort}, deep"] = get(
            "/products", storeId=store, sort=sort, after=cursor
        )
    asked |= {
        "products?minPrice, of half": get("/products", minPrice=cheap),
        "products?minPrice, rare": get("/products", minPrice=8000),
        "products?minPrice&maxPrice, 1 %": get(
            "/products", minPrice=cheap, maxPrice=dear, limit=10
        ),
        "products?minPrice&sort=price": get("/products", minPrice=cheap, sort="price"),
        "products?maxPrice&sort=-price": get("/products", maxPrice=cheap, sort="-price"),
        "products?storeId&minPrice": get("/products", storeId=store, minPrice=cheap, limit=20),
        "products?q, common": get("/products", q="patience"),
        "products?q, rare": get("/products", q="zanzibar"),
        "products?q, of none": get("/products", q="xylophone"),
        "products?storeId&q": get("/products", storeId=store, q="patience", limit=20),
        "stores": get("/stores"),
        "stores?country": get("/stores", country="Country 7", limit=5),
        "stores?city": get("/stores", city="City 7", limit=5),
        "stores?country&city": get("/stores", country="Country 7", city="City 7", limit=5),
        "stores?currency": get("/stores", currency="EUR", limit=20),
        "stores?q": get("/stores", q="store 7", limit=10),
        "orders": get("/orders"),
        "orders, deep": get("/orders", after=after(Order, "date, order_id", "date")),
        "orders?sort=-date": get("/orders", sort="-date"),
        "orders?sort=-date, deep": get(
            "/orders", sort="-date", after=after(Order, "date, order_id", "-date")
        ),
        "orders?since, half": get("/orders", since=middle),
        "orders?since, late": get("/orders", since=late),
        "orders?until, half, sort=-date": get("/orders", until=middle, sort="-date"),
        "orders?productId, popular": get("/orders", productId=popular),
        "orders?productId, unpopular": get("/orders", productId=unpopular),
        "orders?productId&sort=-date, unpopular": get("/orders", productId=unpopular, sort="-date"),
        "orders?productId&since": get("/orders", productId=popular, since=middle, limit=20),
        "orders?productId&until&sort=-date": get(
            "/orders", productId=popular, until=middle, sort="-date", limit=20
        ),
        "orders?couponCode, popular": get("/orders", couponCode="COUPON3", limit=20),
        "orders?couponCode, rare": get("/orders", couponCode="COUPON0"),
        "orders?couponCode&since": get("/orders", couponCode="COUPON3", since=middle, limit=10),
        "orders?couponCode&sort=-date": get(
            "/orders", couponCode="COUPON3", sort="-date", limit=20
        ),
        "orders?couponCode&productId": get(
            "/orders", couponCode="COUPON3", productId=popular, limit=1
        ),
        "create a product": post(
            "/products",
            *(
                {
                    "storeId": str(store),
                    "name": f"Round teapot {uuid4()}",
                    "description": "Made by hand of wood, wool and patience",
                    "price": 10,
                }
                for _ in range(WARM_UP + MEASURED)
            ),
        ),
        "create an order of 3 lines": orders(),
        "create an order of 3 lines with a coupon": orders(couponCode="COUPON3"),
    }
    database.close()
    return asked


def ask(http: HTTPConnection, request: Request) -> tuple[int, bytes]:
    method, path, body = request
    media_type = "application/jsonl" if path.endswith("/import") else "application/json"
    http.request(method, path, body, {"Content-Type": media_type} if body else {})
    response = http.getresponse()
    return response.status, response.read()


def ask_timed(http: HTTPConnection, request: Request) -> tuple[float, str]:
    """Return the milliseconds that the answer took, and how many objects it has or its status."""
    started = time.perf_counter()
    status, content = ask(http, request)
    milliseconds = (time.perf_counter() - started) * 1000
    if status not in {200, 201}:
        return milliseconds, f"status {status}"
    answer = json.loads(content)
    return milliseconds, str(len(answer) if isinstance(answer, list) else 1)


def print_row(name: str, *cells: object) -> None:
    sys.stdout.write(f"{name:42}" + "".join(f" {cell:>12}" for cell in cells) + "\n")
    sys.stdout.flush()


Apis = dict[str, list[str]]
"""For each database, the addresses of the API on the small one and on the large one."""


def compare_sizes(apis: Apis, asked: list[dict[str, list[Request]]]) -> None:
    """Ask for the same on each database and of each size, in turn."""
    print_row("", *(word for database in apis for word in (database, "", "")))
    heads = [*(f"{rows:,}" for rows in SIZES), "ratio"]
    print_row("median in ms", *heads * len(apis), "objects")
    for name in asked[0]:
        streams = [
            (HTTPConnection(address), cycle(by_name[name]), list[float]())
            for both in apis.values()
            for address, by_name in zip(both, asked, strict=True)
        ]
        counts = dict[str, None]()
        deadline = time.perf_counter() + LONGEST
        for n in range(WARM_UP + MEASURED):
            for http, requests, taken in streams:
                milliseconds, count = ask_timed(http, next(requests))
                taken.append(milliseconds)
                counts[count] = None
            if n > 1 and time.perf_counter() > deadline:
                break
        share = WARM_UP / (WARM_UP + MEASURED)
        medians = [statistics.median(t[round(len(t) * share) :]) for _, _, t in streams]
        figures = [
            figure
            for small, large in zip(medians[::2], medians[1::2], strict=True)
            for figure in (small, large, large / small)
        ]
        print_row(name, *(f"{figure:.2f}" for figure in figures), "/".join(counts))


def ask_beside(address: str, requests: Iterable[Request]) -> Counter[int]:
    """Ask for one after the other until the time is over, and count the answers by status."""
    http = HTTPConnection(address)
    deadline = time.perf_counter() + BESIDE
    statuses = Counter[int]()
    for request in requests:
        statuses[ask(http, request)[0]] += 1
        if time.perf_counter() > deadline:
            break
    http.close()
    return statuses


def read_beside(
    address: str, products: list[Request], others: list[Iterable[Request]]
) -> tuple[list[float], Counter[int], Counter[int]]:
    """Ask for a product at a steady pace while others ask for something else.

    The milliseconds are counted from when the request was due, so that whoever stops the server for
    a second delays all that would have come in that second, and not the one that it stopped.
    """
    http = HTTPConnection(address)
    taken, statuses = list[float](), Counter[int]()
    with ThreadPoolExecutor(len(others) or 1) as pool:
        started = due = time.perf_counter()
        tasks = [pool.submit(ask_beside, address, requests) for requests in others]
        for request in cycle(products):
            time.sleep(max(0, due - time.perf_counter()))
            statuses[ask(http, request)[0]] += 1
            taken.append((time.perf_counter() - due) * 1000)
            due += PACE
            if due > started + BESIDE and all(task.done() for task in tasks):
                break
    http.close()
    return taken, statuses, sum((task.result() for task in tasks), Counter[int]())


def compare_beside(database: str, address: str, product_ids: list[str]) -> None:
    """Tell how long a product takes beside what is slow, and how many answers are not 2xx."""
    products: list[Request] = [("GET", f"/products/{key}", None) for key in product_ids]
    store_id = json.loads(ask(HTTPConnection(address), products[0])[1])["storeId"]
    lines = "\n".join(
        json.dumps({"storeId": store_id, "name": f"{uuid4()}", "price": 10})
        for _ in range(IMPORTED)
    ).encode()
    search: Request = ("GET", "/products?q=xy", None)  # in no product, and too short for trigrams
    beside: dict[str, list[Iterable[Request]]] = {
        "nothing": [],
        "a search": [repeat(search)],
        "20 searches at once": [repeat(search)] * 20,
        f"an import of {IMPORTED:,} products": [[("POST", "/products/import", lines)]],
    }
    heads = ("median ms", "p99 ms", "longest ms", "p99 to idle", "not 2xx", "others")
    print_row(f"\n{database}, a product beside", *heads)
    idle = 0.0
    for name, others in beside.items():
        taken, statuses, answers = read_beside(address, products, others)
        p99 = statistics.quantiles(taken, n=100)[98]
        idle = idle or p99
        failures = sum(n for status, n in statuses.items() if not 200 <= status < 300)
        figures = (
            f"{figure:.2f}" for figure in (statistics.median(taken), p99, max(taken), p99 / idle)
        )
        others_seen = ", ".join(f"{n} times {status}" for status, n in sorted(answers.items()))
        print_row(name, *figures, failures, others_seen)


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare 1,000 rows with 1,000,000.")
    parser.add_argument("--server", metavar="URL", help="a PostgreSQL server to use")
    parser.add_argument("--beside-only", action="store_true", help="leave out the sizes")
    options = parser.parse_args()
    sizes = SIZES[1:] if options.beside_only else SIZES
    apis: Apis = {"PostgreSQL": [], "SQLite": []}
    asked = []
    with ExitStack() as stack:
        for url, rows in zip(
            stack.enter_context(databases(options.server, sizes)), sizes, strict=True
        ):
            migrate(Settings(database_url=url).url)
            fill(url, rows, "products")
            if not options.beside_only:
                fill(url, rows, "orders")
                asked.append(requests(url, rows))
            product_ids = some_keys(url, "products", "product_id")
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            started = time.perf_counter()
            copy_to_sqlite(url, folder / "orders.db")
            seconds = time.perf_counter() - started
            sys.stderr.write(f"copied to SQLite in {seconds:.1f} s\n")
            urls = {"PostgreSQL": url, "SQLite": f"sqlite:///{folder}/orders.db"}
            for name, its_url in urls.items():
                server = running_server(folder, DATABASE_URL=its_url, LOG_LEVEL="WARNING")
                apis[name].append(urlsplit(stack.enter_context(server)).netloc)
        if asked:
            compare_sizes(apis, asked)
        for name, addresses in apis.items():
            compare_beside(name, addresses[-1], product_ids)


if __name__ == "__main__":
    main()
