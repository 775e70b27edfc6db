"""`orders-api demo`, `import` and `export`, on both databases."""

import json
import os
import pty
import re
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from fastapi.testclient import TestClient
from sqlalchemy import Connection, insert
from sqlmodel import SQLModel, create_engine
from typer.testing import CliRunner, Result

from orders_api.cli.commands import app
from orders_api.models import Store
from orders_api.settings import Settings
from tests.live import COMMAND
from tests.samples import STORE, Json, without_times

STORE_ID = "01a1fafd-9453-75d2-9908-2b05e8831e2b"
DRIVERS = {"sqlite": "sqlite", "postgr": "postgresql+psycopg"}
OTHER_ID = "01a1fafd-9453-75d2-9908-2b05e8831e2c"
EMPTY_STORE = {"domain": None, "phone": None, "email": None}


@pytest.fixture
def url(
    database_url: str,
    client: TestClient,  # noqa: ARG001 - it cleans up
    migrated_file: Path,
    tmp_path: Path,
) -> str:
    """An empty database that a command can open too."""
    if database_url != "sqlite://":
        return database_url
    return f"sqlite:///{shutil.copy(migrated_file, tmp_path)}"


def run(url: str, *arguments: object, text: str | bytes = "") -> Result:
    return CliRunner().invoke(
        app, [str(a) for a in arguments], input=text, env={"DATABASE_URL": url}
    )


def done(url: str, *arguments: object, text: str | bytes = "") -> str:
    """Run a command that succeeds without a word on standard error."""
    result = run(url, *arguments, text=text)
    assert (result.exit_code, result.stderr) == (0, "")
    return str(result.stdout)


def exported(url: str, kind: str) -> list[Json]:
    return [json.loads(line) for line in done(url, "export", kind).splitlines()]


@contextmanager
def connect(url: str) -> Iterator[Connection]:
    engine = create_engine(Settings(database_url=url).url.set(drivername=DRIVERS[url[:6]]))
    with engine.begin() as connection:
        yield connection
    engine.dispose()


def rows(url: str) -> list[list[Any]]:
    """Return all coupons, products and stores, in a twentieth of the time of three exports."""
    with connect(url) as connection:
        return [
            [tuple(row) for row in connection.execute(SQLModel.metadata.tables[name].select())]
            for name in ("coupons", "products", "stores")
        ]


def lines(*objects: object) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in objects)


@pytest.fixture
def store(url: str) -> Json:
    with connect(url) as connection:
        connection.execute(insert(Store), STORE | {"store_id": UUID(STORE_ID)})
    return STORE | EMPTY_STORE | {"storeId": STORE_ID}


def product(name: str, **members: object) -> Json:
    return {"storeId": STORE_ID, "name": name, "price": 19.99} | members


# --- What is imported ----------------------------------------------------------------------


def test_import_says_how_many_and_keeps_the_order(url: str, store: Json) -> None:
    text = lines(*(product(f"Atlas {9 - number}") for number in range(3)))
    assert done(url, "import", "products", "-", text=text) == "Imported 3 products.\n"
    assert [one["name"] for one in exported(url, "products")] == ["Atlas 9", "Atlas 8", "Atlas 7"]
    assert without_times(exported(url, "stores")) == [store]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.jsonl", '\n{"storeId": "ID", "name": "A, B", "price": "4.5"}\r\n\n{"store_id": "ID",'
         ' "name": "Tee \\u2615", "price": 5, "description": null}'),
        ("p.ndjson", '\ufeff{"storeId": "ID", "name": "A, B", "price": 4.50}\n{"storeId": "ID",'
         ' "name": "Tee ☕", "price": 5}\n'),
        ("p.json", '[{"storeId": "ID", "name": "A, B", "price": 4.5}, {"storeId": "ID",'
         '\n "name": "Tee ☕", "price": "5.00"}]\n'),
        ("p.csv", 'storeId,name,description,price\nID,"A, B",,4.50\n\nID,Tee ☕,,5\n'),
        ("p.CSV", "\ufeffprice;name;storeId;;\r\n4.50;A, B;ID;;\r\n;;;;\r\n5; Tee ☕;ID;;\r\n"
         .replace("; Tee", ";Tee")),
        ("p.csv", "store_id\tname\tprice\tproduct_id\nID\tA, B\t4.5\t\nID\tTee ☕\t5.0"),
    ],
)  # fmt: skip
def test_each_format_is_known_by_its_name(
    url: str, store: Json, tmp_path: Path, name: str, content: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content.replace("ID", store["storeId"]).encode())
    assert done(url, "import", "products", file) == "Imported 2 products.\n"
    found = [(p["name"], p["description"], p["price"]) for p in exported(url, "products")]
    assert found == [("A, B", None, 4.5), ("Tee ☕", None, 5.0)]


def test_format_can_be_told_and_a_pipe_has_json_lines(url: str) -> None:
    text = "code,initCount,percentOff\nPIOTR,100,10\nONCE,1,\n"
    assert "line" not in done(url, "import", "coupons", "-", "--format", "csv", text=text)
    coupons = without_times(exported(url, "coupons"))
    assert [{k: v for k, v in one.items() if k != "couponId"} for one in coupons] == [
        {"code": "PIOTR", "initCount": 100, "percentOff": 10, "remainingCount": 100},
        {"code": "ONCE", "initCount": 1, "percentOff": 0, "remainingCount": 1},
    ]
    assert done(url, "import", "coupons", "-") == "Imported 0 coupons.\n"


def test_quoted_cell_may_have_line_breaks(url: str, store: Json) -> None:
    text = f'storeId,name,description,price\n{store["storeId"]},Atlas,"One\nTwo ""2""",1\n,,,1\n'
    result = run(url, "import", "products", "-", "--format=csv", "--skip-bad", text=text)
    assert result.stderr.splitlines()[0] == "<stdin>:4: `name` is required; `storeId` is required"
    assert exported(url, "products")[0]["description"] == 'One\nTwo "2"'


def test_product_may_name_its_store(url: str, store: Json) -> None:
    for city in ("Porto", "Faro"):
        done(url, "import", "stores", "-", text=lines(STORE | {"name": "Twin", "city": city}))
    text = "store,name,price\nCorner Books,Atlas,1\nTwin,Atlas,1\nNone,Atlas,1\nCorner Books,B,2\n"
    result = run(url, "import", "products", "-", "--format=csv", "--skip-bad", text=text)
    assert result.stderr.splitlines() == [
        "<stdin>:3: `store` is the name of several stores: use `storeId`",
        "<stdin>:4: `store` is not the name of a store",
        "Left out 2 bad lines.",
    ]
    names = {p["name"]: p["storeId"] for p in exported(url, "products")}
    assert names == {"Atlas": store["storeId"], "B": store["storeId"]}


# --- What is refused -----------------------------------------------------------------------

BAD_LINES: list[tuple[str, str, str | bytes, str]] = [
    ("products", "jsonl", '{"storeId": "ID", "name": "A", "price": 1',
     "is not valid JSON (column 76)"),
    ("products", "jsonl", '[1]', "must be a JSON object"),
    ("products", "jsonl", '"ID"', "must be a JSON object"),
    ("products", "jsonl", '{"name": "A", "name": "B"}', "names a member twice in one object"),
    ("products", "jsonl", '{"price": NaN}', "is not valid JSON: NaN is not a JSON value"),
    ("products", "jsonl", "[" * 100_000, "is nested too deeply"),
    ("products", "jsonl", b'{"name": "\xe9"}', "is not valid UTF-8"),
    ("products", "jsonl", '{"storeId": "ID", "name": "\\ud800", "price": 1}',
     "`name` must be text without lone surrogates"),
    ("products", "jsonl", '{"storeId": "ID", "name": "A\\u0000", "price": 1}',
     "`name` must be text that is not blank and has no NUL character"),
    ("products", "jsonl", '{"storeId": "ID", "name": "A", "price": 1e400}',
     "`price` must be a finite number"),
    ("products", "jsonl", '{"storeId": "ID", "name": "A", "prise": 1}',
     "`price` is required; `prise` is not known here; did you mean `price`?"),
    ("products", "jsonl", '{"storeId": "OTHER", "name": "A", "price": 1}',
     "`storeId` is not the id of a store"),
    ("products", "jsonl", '{"storeId": "ID", "name": "Taken", "price": 1}',
     "Another one with the same storeId and name exists already"),
    ("products", "csv", "storeId,name,price\nID,A,\"1,99\"\n",
     '`price` must be a number or a plain decimal string such as "19.99"'),
    ("products", "csv", "storeId;name;price\nID;A;1;2\n", "has 4 cells, but there are 3 columns"),
    ("products", "csv", b"storeId;name;price\nID;\xe9;1\n", "is not valid UTF-8"),
    ("products", "csv", 'storeId;name;price\nID;A"B";1\nID;"A"B;1\n',
     "is not valid CSV: ';' expected after '\"'"),
    ("coupons", "csv", "code,initCount\nA,few\n", "`initCount` must be a whole number"),
    ("coupons", "csv", "code,initCount\nA,-1\n", "`initCount` must be greater than or equal to 0"),
    ("coupons", "csv", "code,initCount,remainingCount\nA,1,2\n",
     "`remainingCount` must not be more than `initCount`"),
    ("coupons", "json", '[{"code": "A", "initCount": "1"}]', "`initCount` must be a whole number"),
    ("stores", "json", "[{}]", "`name` is required; `city` is required; `country` is required;"
     " `currency` is required; `street` is required; `zipcode` is required"),
]  # fmt: skip


@pytest.mark.usefixtures("store")
def test_bad_line_is_named_with_the_reason(url: str, subtests: pytest.Subtests) -> None:
    done(url, "import", "products", "-", text=lines(product("Taken")))
    before = rows(url)
    assert [len(found) for found in before] == [0, 1, 1]
    for kind, form, content, reason in BAD_LINES:
        raw = content.encode() if isinstance(content, str) else content
        raw = raw.replace(b"OTHER", OTHER_ID.encode()).replace(b'"ID"', f'"{STORE_ID}"'.encode())
        raw = raw.replace(b"\nID", f"\n{STORE_ID}".encode())
        with subtests.test(reason):
            result = run(url, "import", kind, "-", "--format", form, text=raw)
            number = raw.rstrip(b"\n").count(b"\n") + 1
            assert (result.exit_code, result.stdout, result.stderr.splitlines()) == (
                *(1, ""),
                [f"<stdin>:{number}: {reason}", "Nothing is imported, because of 1 bad line."],
            )
            assert rows(url) == before


UNREADABLE = [
    ("csv", b"", "does not begin with the names of the columns"),
    ("csv", b"\xef\xbb\xbf\n", "does not begin with the names of the columns"),
    ("csv", b"name,name\n", "has several columns with the name name"),
    ("csv", b'"name\n', "is not valid CSV: unexpected end of data"),
    ("json", b"", "is not valid JSON (line 1, column 1)"),
    ("json", b'[{"name": "A"}\n;]', "is not valid JSON (line 2, column 1)"),
    ("json", b'{"name": "A"}', "is not a JSON array"),
    ("json", b'["\xe9"]', "is not valid UTF-8"),
]


@pytest.mark.parametrize(
    ("form", "content", "reason"), UNREADABLE, ids=[f"{row[0]} {row[1]!r}" for row in UNREADABLE]
)
def test_unreadable_file_is_refused_in_a_sentence(
    url: str, tmp_path: Path, form: str, content: bytes, reason: str
) -> None:
    file = tmp_path / f"stores.{form}"
    file.write_bytes(content)
    result = run(url, "import", "stores", file, "--skip-bad")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == f"{file} {reason}.\n"


@pytest.mark.usefixtures("store")
def test_good_lines_are_imported_if_bad_ones_may_be_skipped(url: str) -> None:
    """Bad lines are found in each batch, and nothing else is lost with them."""
    values: list[Any] = [product(f"Atlas {number}") for number in range(2500)]
    values[0]["price"] = -1
    values[1234] = product("Atlas 1233")
    values[1235]["storeId"] = OTHER_ID
    values[2499] = product("Atlas 2")
    result = run(url, "import", "products", "-", "--skip-bad", text=lines(*values))
    assert (result.exit_code, result.stdout) == (4, "Imported 2496 products.\n")
    assert result.stderr.splitlines() == [
        "<stdin>:1: `price` must be greater than or equal to 0",
        "<stdin>:1235: Another one with the same storeId and name exists already",
        "<stdin>:1236: `storeId` is not the id of a store",
        "<stdin>:2500: Another one with the same storeId and name exists already",
        "Left out 4 bad lines.",
    ]
    assert len(exported(url, "products")) == 2496


@pytest.mark.usefixtures("store")
def test_others_can_write_until_the_last_line_is_read(url: str, tmp_path: Path) -> None:
    pipe = tmp_path / "products.jsonl"
    os.mkfifo(pipe)

    def write() -> None:
        with pipe.open("w") as file:
            # More than a pipe holds: the command has read most of it when this has been written.
            file.write(lines(*(product(f"Atlas {number}") for number in range(1500))))
            file.flush()
            if url.startswith("sqlite"):
                path = url.removeprefix("sqlite:///")
                with closing(sqlite3.connect(path, timeout=0)) as connection:
                    connection.execute("BEGIN IMMEDIATE")
            else:
                with psycopg.connect(url) as connection:
                    connection.execute("LOCK TABLE products NOWAIT")
            file.write(lines(product("last")))

    with ThreadPoolExecutor(1) as pool:
        writer = pool.submit(write)
        assert done(url, "import", "products", pipe) == "Imported 1501 products.\n"
        writer.result()


def test_id_that_is_taken_is_a_reason(url: str, store: Json) -> None:
    result = run(url, "import", "stores", "-", text=lines(store))
    assert result.stderr.startswith("<stdin>:1: Another one with the same storeId exists already\n")


# --- Export --------------------------------------------------------------------------------


def test_what_is_exported_can_be_imported(url: str, tmp_path: Path) -> None:
    done(url, "demo", "--size", "30")
    copies = {}
    for form in ("jsonl", "csv"):
        for kind in ("stores", "products", "coupons"):
            copies[kind, form] = done(url, "export", kind, "--format", form)
            file = tmp_path / f"{kind}.{form}"
            assert done(url, "export", kind, file) == ""
            assert file.read_bytes().decode() == copies[kind, form]
    empty = "from sqlmodel import SQLModel\nfor table in reversed(SQLModel.metadata.sorted_tables):"
    empty += "\n    session.execute(table.delete())\n    session.commit()\n\n"
    for form in ("jsonl", "csv"):
        done(url, "shell", text=empty)
        assert rows(url) == [[], [], []]
        for kind in ("stores", "products", "coupons"):
            done(url, "import", kind, tmp_path / f"{kind}.{form}")
        for (kind, of), copy in copies.items():
            again = done(url, "export", kind, "--format", of)
            assert of == "csv" or changed_now(again) == changed_now(copy)
            assert len(again.splitlines()) == len(copy.splitlines())


def changed_now(text: str) -> list[Json]:
    """Leave out what a line is not imported with."""
    return [json.loads(line) | {"updatedAt": "now"} for line in text.splitlines()]


def test_imported_object_keeps_its_age_and_is_changed_now(url: str) -> None:
    time = "2020-01-01T00:00:00Z"
    times = {"createdAt": time, "updatedAt": time}
    before = datetime.now(UTC)
    done(url, "import", "stores", "-", text=lines(STORE | times, STORE))
    old, new = exported(url, "stores")
    assert old["createdAt"] == time
    for moment in (old["updatedAt"], new["createdAt"], new["updatedAt"]):
        assert before <= datetime.fromisoformat(moment) <= datetime.now(UTC)
    refused = run(url, "import", "stores", "-", text=lines(STORE | {"updatedAt": "yesterday"}))
    assert "`updatedAt` must be a time" in refused.stderr


def test_exported_orders_are_those_of_the_api(url: str, client: TestClient) -> None:
    done(url, "demo", "--size", "30")
    orders = exported(url, "orders")
    assert len(orders) == 6
    if url.startswith("postgresql"):
        ids = [order["orderId"] for order in client.get("/orders").json()]
        assert [client.get(f"/orders/{one}").json() for one in ids] == orders
    header, *rows = done(url, "export", "orders", "--format", "csv").splitlines()
    assert header == (
        "orderId,date,couponCode,percentOff,productId,name,unitPrice,currency,quantity,lineTotal"
    )
    items = [(order, item) for order in orders for item in order["items"]]
    assert [row.split(",") for row in rows] == [
        [
            *(order["orderId"], order["date"], order["couponCode"] or "", str(order["percentOff"])),
            *(item["product"]["productId"], item["name"], f"{item['unitPrice']:.2f}"),
            *(item["currency"], str(item["quantity"]), f"{item['lineTotal']:.2f}"),
        ]
        for order, item in items
    ]


def test_export_of_nothing_has_the_names_of_the_columns(url: str) -> None:
    assert done(url, "export", "coupons") == ""
    columns = "code,initCount,percentOff,createdAt,updatedAt,couponId,remainingCount\n"
    assert done(url, "export", "coupons", "--format", "csv") == columns


@pytest.mark.slow
def test_reader_that_leaves_ends_the_export_quietly(url: str) -> None:
    done(url, "demo", "--size", "2000")
    result = subprocess.run(
        ["bash", "-c", f"{COMMAND} export products | head -n 1"],
        env=os.environ | {"DATABASE_URL": url},
        capture_output=True,
    )
    assert (result.returncode, result.stderr) == (0, b"")
    assert json.loads(result.stdout)["name"] == exported(url, "products")[0]["name"]


@pytest.mark.parametrize(
    ("command", "file", "reason"),
    [
        ("export", "/nowhere/s.csv", "cannot be written: No such file or directory"),
        ("export", "/", "cannot be written: Is a directory"),
        ("export", "/dev/full", "cannot be written: No space left on device"),
        ("import", "/nowhere/s.csv", "cannot be read: No such file or directory"),
        ("import", "/", "cannot be read: Is a directory"),
    ],
)
def test_file_that_cannot_be_used_is_said_in_a_sentence(
    url: str, command: str, file: str, reason: str
) -> None:
    done(url, "demo", "--size", "1")
    result = run(url, command, "stores", file)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"{file} {reason}.\n")


# --- demo ----------------------------------------------------------------------------------

MADE = "Made 4 stores, 50 products, 8 coupons and 10 orders.\n"


def everything(url: str) -> str:
    return "".join(done(url, "export", k) for k in ("stores", "products", "coupons", "orders"))


def test_same_seed_makes_the_same_data(tmp_path: Path, migrated_file: Path, url: str) -> None:
    assert done(url, "demo", "--size", "50", "--seed", "7") == MADE
    again, other = (
        f"sqlite:///{shutil.copy(migrated_file, tmp_path / name)}" for name in ("again", "other")
    )
    assert done(again, "demo", "--size", "50", "--seed", "7") == MADE
    assert done(other, "demo", "--size", "50", "--seed", "8") == MADE
    made = everything(url)
    assert made == everything(again)
    assert made != everything(other)


def test_demo_is_believable(url: str) -> None:
    done(url, "demo", "--size", "1000")
    stores, products, coupons, orders = (
        exported(url, kind) for kind in ("stores", "products", "coupons", "orders")
    )
    assert len({store["currency"] for store in stores}) >= 4
    assert len({store["name"] for store in stores}) == len(stores) == 23
    assert len(products) == 1000
    assert len({one["price"] for one in products}) > 100
    uses = Counter(order["couponCode"] for order in orders)
    assert {c["code"]: c["initCount"] - c["remainingCount"] for c in coupons} == {
        c["code"]: uses[c["code"]] for c in coupons
    }
    assert [c["remainingCount"] for c in coupons][:2] == [0, 25]
    assert [order["date"] for order in orders] == sorted(order["date"] for order in orders)
    assert {len(order["totals"]) for order in orders} == {1, 2}
    for order in orders:
        for total in order["totals"]:
            lines = [i for i in order["items"] if i["currency"] == total["currency"]]
            subtotal = sum(Decimal(str(item["lineTotal"])) for item in lines)
            discount = (subtotal * order["percentOff"] / 100).quantize(
                Decimal("0.01"), "ROUND_HALF_UP"
            )
            assert total == {
                "currency": total["currency"],
                "subtotal": float(subtotal),
                "discount": float(discount),
                "total": float(subtotal - discount),
            }
            assert all(i["currency"] == i["product"]["store"]["currency"] for i in lines)


@pytest.mark.parametrize("size", [1, 2, 5, 6])
def test_demo_may_be_as_small_as_one_product(url: str, size: int) -> None:
    assert f"{size} product" in done(url, "demo", "--size", size)
    assert len(exported(url, "orders")) == size // 5


def test_demo_adds_to_what_is_there(url: str, store: Json) -> None:
    done(url, "demo", "--size", "10")
    names = [exported_store["name"] for exported_store in exported(url, "stores")]
    assert len(names) == 4
    assert store["name"] in names


@pytest.mark.parametrize("other_seed", ["1", "2"])
def test_demo_is_made_once_and_refused_where_it_is_there_already(url: str, other_seed: str) -> None:
    done(url, "demo", "--size", "10")
    before = everything(url)
    result = run(url, "demo", "--size", "20", "--seed", other_seed)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "Nothing is made: the database has ids or coupon codes of the demo already.\n"
    )
    assert everything(url) == before


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["demo", "--size", "0"], "'--size'"),
        (["demo", "--size", "1000001"], "'--size'"),
        (["import", "orders", "-"], "'orders' is not one of 'stores', 'products', 'coupons'"),
        (["import", "stores"], "Missing argument 'file'"),
        (["import", "stores", "-", "--format", "xml"], "'xml' is not one of"),
        (["export", "orders", "--format", "json"], "'json' is not one of"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], complaint: str) -> None:
    result = run("sqlite://", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert complaint in re.sub(r"[\s│]+", " ", re.sub(r"\x1b\[[0-9;]*m", "", result.stderr))


# --- On a terminal -------------------------------------------------------------------------


@pytest.mark.slow
def test_progress_is_shown_on_a_terminal_only(url: str, tmp_path: Path) -> None:
    file = tmp_path / "stores.jsonl"
    file.write_text(lines(STORE, STORE, {}))
    command = [str(COMMAND), "import", "stores", str(file), "--skip-bad"]
    environment = os.environ | {"DATABASE_URL": url, "TERM": "xterm"}
    terminal, end = pty.openpty()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=end) as process:
        assert process.communicate()[0] == b"Imported 2 stores.\n"
    os.close(end)
    with open(terminal, "rb", buffering=0) as shown:
        text = shown.read(100_000).decode()
    assert "Importing" in text
    assert "100%" in text
    assert f"{file}:3: `name` is required" in text
    piped = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert "Importing" not in piped.stderr
    assert len(piped.stderr.splitlines()) == 2
