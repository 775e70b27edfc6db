"""Whatever is sent: the answer is a useful sentence, and nothing has changed.

One table of requests, each with the status that it must get, sent to a real server: by a client
where a client would send it, else over a socket as the very bytes that stand here. Values of
members are written as JSON, so that what JSON can say and Python cannot (`1e400`) is there too.
"""

import base64
import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from shutil import copyfile
from typing import Any, TextIO
from urllib.parse import quote

import httpx2
import pytest
import sqlalchemy
from sqlmodel import SQLModel

from orders_api.models import SignInFailures
from orders_api.settings import Settings
from tests.conftest import Postgres
from tests.live import local_server
from tests.samples import STORE, Json

# --- The server -----------------------------------------------------------------------------

SECRET = "open-sesame"  # every password in here; no answer and no log line may show it
NAMES = ["100 % wool", "snake_case", r"back\slash", "O'Brien; DROP TABLE s; --", "a/b", "[a-c]*"]


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Server:
    """A server with one object of each kind (and products to search), whose ids are `keys`."""

    client: httpx2.Client
    connection: sqlalchemy.Connection
    log: TextIO
    keys: dict[bytes, bytes] = field(default_factory=dict)
    seen: object = None
    version: object = None

    def fill(self) -> None:
        store = self.create("/stores", STORE)
        for name in NAMES:
            self.create("/products", {"storeId": store["storeId"], "name": name, "price": 1})
        self.create("/coupons", {"code": "USED", "initCount": 1})
        items = [{"productId": self.keys[b"{productId}"].decode(), "quantity": 1}]
        self.create("/orders", {"items": items, "couponCode": "USED"})
        self.create("/users", {"username": "ada", "password": SECRET})
        self.create("/todos", {"task": "A"})
        assert self.has_changed()

    def create(self, path: str, body: Json) -> Json:
        response = self.client.post(path, json=body)
        assert response.status_code == 201, response.text
        created: Json = response.json()
        self.keys |= {
            f"{{{name}}}".encode(): str(value).encode()
            for name, value in created.items()
            if name.endswith("Id")
        }
        return created

    def filled(self, template: bytes) -> bytes:
        for name, key in self.keys.items():
            template = template.replace(name, key)
        return template

    def answer(self, row: "Row") -> Answer:
        if row.wire:
            return self.exchange(self.filled(row.wire))
        path, content = self.filled(row.path.encode()).decode(), self.filled(row.content)
        headers = [(name.encode(), value.encode("latin-1")) for name, value in row.headers]
        response = self.client.request(row.method, path, content=content, headers=headers)
        return Answer(response.status_code, dict(response.headers), response.content)

    def exchange(self, sent: bytes) -> Answer:
        with self.connect() as connection:
            connection.sendall(sent)
            response = http.client.HTTPResponse(connection)
            response.begin()
            headers = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, headers, response.read())

    def connect(self) -> socket.socket:
        url = self.client.base_url
        assert url.port
        return socket.create_connection((url.host, url.port), timeout=10)

    def rows(self) -> object:
        """Everything in the database, but for the count of failed sign-ins."""
        names = sorted(SQLModel.metadata.tables.keys() - {SignInFailures.__tablename__})
        if self.connection.dialect.name == "postgresql":  # all in one statement
            table = "(SELECT json_agg(t ORDER BY t::text)::text FROM %s t)"
            query = f"SELECT {', '.join(table % name for name in names)}"
            return self.connection.exec_driver_sql(query).one()
        return {
            name: sorted(map(repr, self.connection.exec_driver_sql(f"SELECT * FROM {name}")))
            for name in names
        }

    def has_changed(self) -> bool:
        """Tell whether the database is not as it was when this was asked last."""
        if self.connection.dialect.name == "sqlite":  # which counts what others have committed
            version = self.connection.exec_driver_sql("PRAGMA data_version").scalar_one()
            if version == self.version:
                return False
            self.version = version
        before, self.seen = self.seen, self.rows()
        return self.seen != before

    def logged(self) -> str:
        """Read what is new in the log."""
        return self.log.read()


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, migrated_file: Path
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("hostile")
    if request.param == "sqlite":
        database_url = f"sqlite:///{copyfile(migrated_file, folder / 'orders.db')}"
        driver = "sqlite"
    elif Postgres.server is None:
        pytest.skip("there is no PostgreSQL that could give a database of its own")
    else:
        database_url = Postgres.create_migrated("hostile")
        driver = "postgresql+psycopg"
    url = Settings(database_url=database_url).url.set(drivername=driver)
    engine = sqlalchemy.create_engine(url, isolation_level="AUTOCOMMIT")
    with (
        local_server(folder, DATABASE_URL=Postgres.address(database_url)) as address,
        httpx2.Client(base_url=address.replace("127.0.0.1", "localhost"), timeout=30) as client,
        engine.connect() as connection,
        (folder / "server.log").open() as log,
    ):
        filled = Server(client, connection, log)
        filled.fill()
        yield filled
    engine.dispose()


# --- How rows are written -------------------------------------------------------------------

PROBLEMS = {
    400: "malformed",
    401: "unauthorized",
    404: "not-found",
    405: "method-not-allowed",
    412: "precondition-failed",
    413: "too-large",
    431: "head-too-large",
    415: "unsupported-media-type",
    422: "invalid",
}
JSON_TYPE = ("Content-Type", "application/json")
FORM_TYPE = ("Content-Type", "application/x-www-form-urlencoded")


@dataclass(frozen=True)
class Row:
    name: str
    status: int
    method: str = "GET"
    path: str = "/"
    content: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    wire: bytes = b""
    problem: str = ""


def short(text: str) -> str:
    shown = text.encode("unicode_escape").decode()
    return shown if len(shown) <= 60 else f"{shown[:50]}… {len(text)}"


def sent(
    status: int,
    operation: str,
    content: str | bytes,
    *headers: tuple[str, str],
    name: str = "",
    problem: str = "",
) -> Row:
    """A body that a client sends, as JSON unless `headers` say what else it is."""
    content = content if isinstance(content, bytes) else content.encode()
    method, path = operation.split()
    name = f"{operation} {short(name or content.decode('latin-1'))}"
    return Row(name, status, method, path, content, headers or (JSON_TYPE,), problem=problem)


def members(operation: str, base: Json, problem: str = "", /, **values: list[str]) -> Iterator[Row]:
    """Bodies that are right but for one member."""
    for member, texts in values.items():
        for text in texts:
            body = {name: json.dumps(value) for name, value in base.items()} | {member: text}
            content = "{%s}" % ", ".join(f'"{name}": {value}' for name, value in body.items())
            yield sent(422, operation, content, name=f"{member}={text}", problem=problem)


def wire(
    status: int,
    start: str,
    *lines: str,
    content: bytes = b"",
    host: str = "localhost",
    name: str = "",
) -> Row:
    """A request as bytes: the start line (HTTP/1.1 is left out), headers, the body."""
    head = [f"{start} HTTP/1.1", f"Host: {host}", *lines, "", ""]
    name = name or " | ".join([start, *(() if host == "localhost" else (host,)), *lines])
    return Row(short(name), status, wire="\r\n".join(head).encode("latin-1") + content)


def queries(status: int, path: str, *texts: str) -> Iterator[Row]:
    return (wire(status, f"GET {path}?{text}") for text in texts)


def not_http(name: str, *lines: str) -> Row:
    """Bytes that are no HTTP request."""
    return Row(name, 400, wire="\r\n".join([*lines, "", ""]).encode("latin-1"))


def cursors(path: str, *texts: str) -> Iterator[Row]:
    """Cursors that are made of such JSON, which begins with the order of the list."""
    for text in texts:
        encoded = base64.urlsafe_b64encode(f"[{text}]".encode()).rstrip(b"=").decode()
        yield wire(422, f"GET {path}after={encoded}", name=f"GET {path}after=[{text}]")


# --- Values that are wrong ------------------------------------------------------------------

NULL = "null"
KEY = "01a1fab7-dbdc-74d8-8e14-fd8c30a0df91"  # of nothing
ID = f'"{KEY}"'
MANY = "9" * 400


def text(most: int) -> list[str]:
    """What no text of at most so many characters may be."""
    strange = [r'"a\u0000b"', r'"\ud800"', r'"\udc00\ud800"']
    return ["7", "true", "[]", '{"a": 1}', '""', '" \\t"', f'"{"a" * (most + 1)}"', *strange]


NO_NUMBER = ["true", '""', "[]", "{}", '"NaN"', '"Infinity"', '"1e2"', '" 1"', '"0x1"', '"1_0"']
HUGE = ["9223372036854775808", "1e400", "-1e400", MANY, "9" * 5000]
WHOLE = [*NO_NUMBER, *HUGE, '"5"', "1.5", "15e-1", "-1", "2147483648"]
MONEY = [*NO_NUMBER, *HUGE, "-0.01", "0.001", "1e-3", "5e-324", "10000000000", '"-1"', '"+1"',
         '"1,5"', '".5"', '"5."', '"9999999999.999"', '"-0"', r'"\u0661"']  # fmt: skip
UUIDS = ["7", "true", '""', '"7"', "[]", f'"{KEY}0"', f'"{KEY[:-1]}"', rf'"{KEY}\u0000"',
         '"aaaaaaaaaaaaaaaa"']  # fmt: skip
FLAG = ['"true"', "1", "0", '""', '"on"', "[]"]
EMAIL = ['"a"', '"a@"', '"@a"', '"a@b@c"', '"a b@c"', r'"a@b\n"', r'"a@b\u0000"', '"a@-b"']
WEB = ['"books"', '"ftp://a"', '"javascript:alert(1)"', '"https://"', '"https://a b"',
       r'"https://a\n"', r'"https://a\u0000"', '"//a"', f'"https://{"a" * 2000}"']  # fmt: skip

PRODUCT = {"storeId": "{storeId}", "name": "New", "price": 1}
COUPON = {"code": "NEW", "initCount": 1}
ORDER = {"items": [{"productId": "{productId}", "quantity": 1}]}
USER = {"username": "eve", "password": SECRET}
TODO = {"task": "B"}


def items(**members: str) -> str:
    """The items of an order as JSON."""
    item = {"productId": '"{productId}"', "quantity": "1"} | members
    return "[{%s}]" % ", ".join(f'"{name}": {value}' for name, value in item.items())


def form(username: bytes, password: bytes = SECRET.encode(), part: bytes = b"") -> bytes:
    """The form of /token in parts; the boundary is B."""
    return (
        b"".join(
            b'--B\r\nContent-Disposition: form-data; name="%s"%s\r\n\r\n%s\r\n'
            % (name, more, value)
            for name, more, value in ((b"username", part, username), (b"password", b"", password))
        )
        + b"--B--\r\n"
    )


def parts(charset: str) -> tuple[str, str]:
    return "Content-Type", f"multipart/form-data; boundary=B{charset}"


# --- The table ------------------------------------------------------------------------------

# fmt: off
TABLE = [
    # What is no JSON, or JSON that no two readers understand alike.
    *(
        sent(400, "POST /stores", content)
        for content in (
            "{", "}", "[", '"', " ", "nul", "NaN", "{}{}", "{} x", "{'a': 1}", '{"a": 1,}', '{"a"}',
            '{"a": Infinity}', '{"a": -Infinity}', '{"a": NaN}', '{"a": 01}', '{"a": .5}',
            '{"a": 5.}', '{"a": +1}', '{"a": 0x1}', '{"a": 1e}', '{"a": "\t"}', '{"a": "\0"}',
            r'{"a": "\x"}', r'{"a": "\u12"}', "// a\n{}", "\f{}", "\ufeff{}", "\u2028{}",
            '{"name": 1, "name": 1}', r'{"name": 1, "n\u0061me": 1}', '{"a": [{"b": 1, "b": 2}]}',
            b'{"name": "\xff"}', b'{"name": "\xc0\x80"}', b'{"name": "\xed\xa0\x80"}', b"\0",
            "{}".encode("utf-16"), "{}".encode("utf-32-le"), b"\x1f\x8b\x08\x00",
            "[" * 100_000, '{"a":' * 100_000, "[" * 400_000 + "]" * 400_000,
        )
    ),
    # What is JSON, but no object with the right members; what has too many or too long ones.
    *(
        sent(422, operation, content)
        for operation in ("POST /orders", "PATCH /coupons/{couponId}", "PUT /todos/{todoId}")
        for content in ("", "null", "true", "7", '"text"', "[]", "[{}]", '{"a/b~c": 1}',
                        r'{"\ud800": 1}', r'{"\u0000": 1}', '{"": 1}', '{"__proto__": {}}')
    ),
    sent(422, "POST /stores", '{"name": %s}' % ("[" * 500 + "]" * 500), name="500 deep"),
    sent(422, "POST /stores", json.dumps({"a" * 1_000_000: 1}), name="long name"),
    sent(422, "POST /stores", json.dumps(dict.fromkeys(map(str, range(50_000)))), name="50,000"),
    sent(422, "POST /orders", '{"items": %s}' % ("[{}" + ",{}" * 300_000 + "]"), name="300,001"),
    # Each member of each resource.
    *members("POST /stores", STORE, name=[*text(200), NULL], city=[*text(200), NULL],
             country=[*text(200), NULL], street=[*text(200), NULL], zipcode=[*text(200), NULL],
             phone=text(200), currency=[*text(3), NULL, '"eur"', '"EU"', r'"EU\n"', '"ÄÖÜ"'],
             domain=[*text(2000), *WEB], email=[*text(254), *EMAIL]),
    *members("PATCH /stores/{storeId}", {}, name=[NULL, '""'], currency=[NULL, '"eur"'],
             email=EMAIL[:2], domain=WEB[:2]),
    *members("POST /products", PRODUCT, name=[*text(200), NULL], description=text(5000),
             price=[*MONEY, NULL], storeId=[*UUIDS, NULL]),
    *members("POST /products", PRODUCT, "impossible", storeId=[ID]),
    *members("PATCH /products/{productId}", {}, name=[NULL, '""'], price=["-1", NULL, "1e400"]),
    *members("POST /coupons", COUPON, code=[*text(64), NULL], initCount=[*WHOLE, NULL],
             percentOff=[*WHOLE, NULL, "101"]),
    *members("PATCH /coupons/{couponId}", {}, code=[NULL], initCount=[NULL, "-1", *HUGE]),
    *members("PATCH /coupons/{couponId}", {}, "impossible", initCount=["0"]),
    *members("POST /orders", ORDER, couponCode=text(64),
             items=[NULL, "7", '""', "[]", "{}", "[7]", "[[]]", "[null]", "[{}]", items(x="1"),
                    *(items(quantity=n) for n in (*WHOLE, NULL, "0", "-0", "1000001")),
                    *(items(productId=key) for key in (*UUIDS, NULL)),
                    f"[{', '.join([items()[1:-1]] * 101)}]"]),
    *members("POST /orders", ORDER, "impossible", couponCode=['"NONE"'],
             items=[items(productId=ID), f"[{', '.join([items(quantity='600000')[1:-1]] * 2)}]"]),
    *members("POST /users", USER, username=[*text(64), NULL, '"ab"', '"a b c"', r'"abc\n"',
                                            r'"abc\u007f"'],
             password=["7", "[]", '""', '"1234567"', NULL, f'"{SECRET * 12}"', '{"a": "%s"}' % SECRET,
                       rf'"{SECRET}\u0000"', rf'"{SECRET}\ud800"']),
    *members("PATCH /users/{userId}", {}, username=[NULL, '"ab"'], password=[NULL, '"1234567"']),
    *members("POST /todos", TODO, task=[*text(200), NULL], complete=[*FLAG, NULL]),
    *members("PATCH /todos/{todoId}", {}, task=[NULL, '""'], complete=[NULL, *FLAG]),
    *members("PUT /todos/{todoId}", {}, task=[NULL, '""'], complete=[NULL, *FLAG]),
    # What only the server makes, in either spelling.
    *members("POST /stores", STORE, storeId=[ID], store_id=[ID], version=["1"]),
    *members("POST /products", PRODUCT, productId=[ID], store=["{}"], version=["1"],
             store_id=['"{storeId}"']),
    *members("PATCH /products/{productId}", {}, storeId=['"{storeId}"'], store_id=['"{storeId}"']),
    *members("POST /coupons", COUPON, couponId=[ID], remainingCount=["9"], version=["1"]),
    *members("PATCH /coupons/{couponId}", {}, remainingCount=["9"], remaining_count=["9"]),
    *members("POST /orders", ORDER, orderId=[ID], date=['"2020-01-01T00:00:00Z"'],
             total=["0"], totals=["[]"], percentOff=["100"], couponId=['"{couponId}"']),
    *members("POST /orders", {}, items=[items(unitPrice="0"), items(name='"A"'), items(line="1")]),
    *members("POST /users", USER, userId=[ID], passwordHash=['"a"'], login=['"ada"'],
             password_hash=['"a"'], version=["1"]),
    *members("PATCH /users/{userId}", {}, passwordHash=['"a"'], login=['"eve"'], version=["9"]),
    *members("POST /todos", TODO, todoId=["9"], todo_id=["9"], version=["1"]),
    *members("PUT /todos/{todoId}", {}, todoId=["9"], version=["9"]),
    # What others stand in the way of.
    sent(409, "POST /coupons", '{"code": "USED", "initCount": 1}', problem="already-exists"),
    sent(409, "POST /users", json.dumps(USER | {"username": "ADA"}), problem="already-exists"),
    sent(409, "POST /orders", json.dumps(ORDER | {"couponCode": "USED"}), problem="used-up"),
    *(
        sent(409, f"DELETE {path}", "", problem="in-use")
        for path in ("/stores/{storeId}", "/products/{productId}", "/coupons/{couponId}")
    ),
    # The form of /token: what is no such form, and who does not exist.
    *(
        sent(422, "POST /token", content, FORM_TYPE)
        for content in ("", "&" * 5000, "username=eve", f"password={SECRET}", "username=&password=",
                        f"username[]=eve&password={SECRET}", f"username=eve;password={SECRET}",
                        f"username=e%00e&password={SECRET}", "username=eve&password=" + "a" * 1001,
                        f"username={'e' * 201}&password={SECRET}", "%ff=%ff", "=",
                        f"username=eve&password={SECRET}&grant_type=code")
    ),
    sent(400, "POST /token", "a=1&" * 1001, FORM_TYPE),
    sent(400, "POST /token", form(b"eve"), ("Content-Type", "multipart/form-data")),
    sent(400, "POST /token", form(b"eve"), ("Content-Type", "multipart/form-data; boundary=C")),
    sent(400, "POST /token", b"--B\r\n\xff\xff\r\n\r\n--B--\r\n", parts("")),
    sent(400, "POST /token", b"--B\r\nA: b\r\n\r\na\r\n--B--\r\n", parts("")),
    sent(400, "POST /token", form(b"\xff"), parts("; charset=undefined"), name="charset=undefined"),
    sent(422, "POST /token", form(b"+2AA-"), parts("; charset=utf-7"), name="charset=utf-7"),
    sent(422, "POST /token", form(b"eve", part=b'; filename="a"'), parts(""), name="a file"),
    sent(422, "POST /token", form(b"eve")[:-60], parts(""), name="cut short"),
    sent(401, "POST /token", form(b"\xff"), parts("; charset=nonsense"), name="charset=nonsense"),
    sent(401, "POST /token", f"username=%FF&password={SECRET}", FORM_TYPE),
    sent(401, "POST /token", f"username=' OR 1=1 --&password={SECRET}", FORM_TYPE),
    sent(422, f"POST /token?password={SECRET}", f"username=e&password={SECRET}", FORM_TYPE,
         name="password in the URL"),
    sent(415, "POST /token", json.dumps({"username": "ada", "password": SECRET})),
    sent(401, "DELETE /token", ""),
    # Media types.
    *(
        sent(415, "POST /stores", "{}", ("Content-Type", media_type), name=media_type or "none")
        for media_type in ("", "text/plain", "text/json", "json", "application/jsonp", "a/b+json",
                           "application/json/x", "application/x/y+json", "multipart/form-data",
                           "application/json, text/plain", "application/x-www-form-urlencoded", "é")
    ),
    *(
        sent(422, "POST /stores", "{}", ("Content-Type", media_type), name=media_type)
        for media_type in ("application/json; charset=utf-16", "application/json;", "APPLICATION/JSON",
                           "application/problem+json", "application/json; a=é")
    ),
    sent(400, "POST /stores", b"\x1f\x8b\x08\x00", JSON_TYPE, ("Content-Encoding", "gzip")),
    sent(415, "POST /stores", "{}", ("Content-Type", "text/plain"), JSON_TYPE, name="two types"),
    # Queries of lists.
    *queries(422, "/products", "limit=-1", "limit=1.5", "limit=ten", "limit=", "limit=1e2", "limit=0x10",
             "limit=9223372036854775808", f"limit={MANY}", f"limit={'9' * 5000}", "limit=1%00",
             "limit=%FF", "limit=%D9%A3", "x", "=", "%00", "%FF=1", "sort=", "sort=%00", "after=x",
             "after=%00", "after=%FF", "after=%C3%A9", "after=W10", "after=W10=", "after=W10%3D",
             f"after={'a' * 2001}"),
    *(
        row
        for path in ("/stores", "/products", "/orders", "/coupons", "/users", "/todos")
        for row in queries(422, path, "limit=0", "limit=201", "limit=1&limit=1", "limt=1", "after=",
                           "sort=secret", "password=a")
    ),
    *(
        row
        for path in ("/stores?", "/users?", "/todos?")
        for row in cursors(path, '""', '"x", null', '"", null', '"", "a"', '"", {}', '"", 1e400',
                           f'"", {ID}, 1', f'"", {"[" * 1000}', r'"", "\ud800"')
    ),
    *queries(422, "/stores", "country=", "city=%20", "city=%00", f"city={'a' * 201}", "city=a&city=a",
             "currency=eur", "currency=EUR%0A", "q=%00", f"q={'a' * 201}", "q=a&q=b", "name=a"),
    *queries(422, "/products", "storeId=7", "storeId=", "storeId=%00", f"storeId={KEY}0", "q=a%00",
             *(f"minPrice={value}" for value in ("", "-1", "NaN", "inf", "1e3", "0.001", "1,5", ".5",
                                                 "5.", "%2B1", "+1", "%D9%A1", "0x1", "1_0", MANY)),
             "maxPrice=10000000000", "maxPrice=1&maxPrice=2", "min_price=1", "sort=-", "sort=price,name"),
    *cursors("/products?sort=price&", *(f'"price", {value}, {ID}' for value in (
        "-1", "1e400", "NaN", '"NaN"', '"1e2"', "true", "0.001", "10000000000", NULL, "[]"))),
    *cursors("/products?sort=name&", *(f'"name", {value}, {ID}' for value in (
        "7", NULL, r'"\u0000"', r'"\ud800"', '""', f'"{"a" * 201}"'))),
    *cursors("/products?sort=-price&", f'"price", 1, {ID}', '"-price", 1', f'"-price", {ID}, 1'),
    *queries(422, "/orders", "productId=7", "productId=%00", "couponCode=", f"couponCode={'a' * 65}",
             *(f"{name}={quote(value)}" for name in ("since", "until")
               for value in ("", "yesterday", "NaN", "1700000000", "1e10", MANY, "2020-01-01",
                             "2020-01-01T00:00:00", "2020-02-30T00:00:00Z", "2020-01-01T25:00:00Z",
                             "10000-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59",
                             "9999-12-31T23:59:59-23:59", "2020-01-01T00:00:00+99:99",
                             "2020-01-01T00:00:00Z\0")),
             "since=2020-01-01T00:00:00+01:00"),
    *cursors("/orders?sort=date&", *(f'"date", {value}, {ID}' for value in (
        NULL, "0", "1e18", '"2020-01-01T00:00:00"', '"0001-01-01T00:00:00+23:59"',
        '"9999-12-31T23:59:59-23:59"'))),
    *queries(422, "/coupons", "code=", "code=%00", f"code={'a' * 65}", "initCount=1"),
    *queries(422, "/todos", "complete=", "complete=2", "complete=maybe", "complete=true&complete=true"),
    *cursors("/todos?", '"", 2147483648', '"", 9223372036854775808', f'"", {MANY}', '"", 1.5', '"", 0'),
    *queries(422, "/users", "username=ada", "login=ada"),
    *queries(422, "/health", "x=1"),
    *queries(422, "/stores/{storeId}", "limit=1"),
    *queries(422, "/stores", "&".join(f"a{n}" for n in range(5000)), "a" * 30_000),
    *queries(200, "/stores", "", "&&", "q=", "q=%FF", "q=%ED%A0%80", "q=a;b", "q=%", "q=%zz"),
    # Paths.
    *(wire(404, f"GET {path}") for path in (
        "/nope", "//", "///", "//stores", "//[/stores", "/stores//", "/stores/{storeId}/", "/Stores",
        "/stores/../stores", "/stores/%2e%2e/stores", "/..%2f..%2fetc%2fpasswd", "/%00",
        "/%FF", "/%", "/stores%00", "/stores%20", "/stores;a=1", "/stores\\", "/stores%3Flimit=0", "/docs/static/..%2f..%2fapp.py",
        "/docs/static/%00", "/docs/static/" + "a" * 5000, "/docs/static/" + "a/" * 5000,
        "/" + "a" * 30_000, "/" + "%E2%82%AC" * 3000, "/" + "/" * 10_000, "*",
        f"/stores/{KEY}", f"/stores/{KEY.upper()}", f"/stores%2F{KEY}", f"/products/{KEY}",
        f"/orders/{KEY}", f"/coupons/{KEY}", f"/users/{KEY}", "/todos/2147483647")),
    *(wire(422, f"GET {path}") for path in (
        *(f"/{resource}/{key}" for resource in ("stores", "products", "orders", "coupons", "users")
          for key in ("7", "%FF", f"{KEY}0", f"%20{KEY}", "..", "a" * 30_000)),
        *(f"/todos/{key}" for key in ("0", "-1", "2147483648", "9223372036854775808", MANY, "9" * 5000,
                                      "a", "1.5", "1e0", "0x1", "%FF", "%D9%A1", "true")))),
    # No route matches a control character.
    *(wire(404, f"GET /{resource}/{key}")
      for resource in ("stores", "products", "orders", "coupons", "users", "todos")
      for key in ("%00", f"{KEY}%00", "1%00", "1%0A", "%C2%85")),
    *(wire(status, f"DELETE {path}") for status, path in (
        (404, f"/stores/{KEY}"), (404, "/todos/2147483647"), (422, "/todos/2147483648"), (422, "/users/me"))),
    *(wire(404, f"PATCH {path}", "Content-Type: application/json", "Content-Length: 2", content=b"{}")
      for path in (f"/stores/{KEY}", f"/products/{KEY}", f"/coupons/{KEY}", f"/users/{KEY}")),
    # Methods.
    *(wire(405, start) for start in (
        "PUT /stores", "DELETE /stores", "PATCH /stores/", "TRACE /stores",
        "PROPFIND /stores", "QUERY /stores", "POST /stores/{storeId}", "POST /health",
        "PATCH /orders/{orderId}", "PUT /orders/{orderId}", "DELETE /orders/{orderId}", "GET /token",
        "PUT /users/{userId}", "DELETE /todos", "POST /openapi.json", "TRACE /", "POST /docs",
        "POST /docs/static/favicon.png", "DELETE /products/import", "GET /products/import",
        "PATCH /orders/export")),
    *(wire(204, f"OPTIONS {path}") for path in (
        "/stores", "/stores/{storeId}", "/stores/7", "/token", "/", "/docs", "/docs/static/favicon.png")),
    *(wire(404, f"OPTIONS {path}") for path in ("*", "/nope", "/stores/{storeId}/nope")),
    # Headers.
    *(wire(404, "GET /nope", f"X-Request-ID:{value}")
      for value in ("", " ", " a b", " \xff", ' "', " <b>", " a\tb", " %0a", " " + "a" * 129)),
    wire(404, "GET /nope", "X-Request-ID: a", "X-Request-ID: b"),
    *(wire(404, "GET /nope", line) for line in (
        "Accept: text/html", "Accept: \xff;q=x", "Accept-Encoding: br;q=x", "Cookie: \xff=;;=",
        "Range: bytes=0-0", "Content-Type: \xff", "Expect: nonsense", "X-A: " + "a" * 30_000,
        "X-Forwarded-For: ,,[::", "X-Forwarded-Proto: javascript", "Upgrade: h2c\r\nConnection: upgrade")),
    *(wire(404, "GET /nope", host=host) for host in ("", "a:99999999", "a_b", "[::1]", "%")),
    *(wire(400, "GET /nope", host=host) for host in (
        "[", "a b", "a?b", "\xff", "a/b#c", "a:b", "localhost@evil.example", "localhost, a", "[::1",
        "localhost\r\nHost: localhost")),
    *(wire(401, "GET /orders", host=host) for host in (
        "", "evil.example", "localhost:99999", "localhost.", "127.1", "[::]")),
    *(wire(401, "GET /orders", line) for line in (
        "Authorization: Bearer x", "Authorization: bEARER \xff", "Authorization: Bearer a b",
        "Authorization: Bearer " + "a" * 30_000, "Authorization: Bearer ' OR 1=1 --",
        "Authorization: Bearer x\r\nAuthorization: Basic y", "Origin: null", "Origin: https://evil.example",
        "Origin: http://localhost:1", "Sec-Fetch-Site: cross-site", "Forwarded: for=127.0.0.1",
        "X-Forwarded-For: 127.0.0.1", "X-Forwarded-Host: localhost", "X-Forwarded-: a")),
    wire(401, "POST /stores", "Content-Length: 99", "Authorization: Bearer x", content=b"{" * 99),
    *(sent(400, "POST /todos", '{"task": "A"}', JSON_TYPE, ("Idempotency-Key", key), name=f"key {key}")
      for key in ("", "a b", "é", "a" * 256)),
    sent(400, "POST /todos", '{"task": "A"}', JSON_TYPE, *[("Idempotency-Key", "a")] * 2, name="two keys"),
    *(sent(412, "PATCH /stores/{storeId}", '{"city": "Porto"}', JSON_TYPE, ("If-Match", tag), name=tag)
      for tag in ("", '"', '""', '"x"', 'W/"x"', '*, "x"', ", ,", "é", '"' * 9999)),
    *(wire(412, f"DELETE {path}", 'If-Match: "x"') for path in ("/stores/{storeId}", "/users/{userId}")),
    *(wire(200, "GET /stores/{storeId}", f"If-None-Match: {tag}")
      for tag in ("", '"', '"x"', 'W/"', "**", '*, "x"', ", ,", "\xff", '"' * 9999)),
    wire(304, "GET /stores/{storeId}", "If-None-Match: *"),
    *(sent(201, "POST /todos", '{"task": "A"}', JSON_TYPE, ("Prefer", f"tx=rollback{more}"), name=f"Prefer: {more}")
      for more in ("", "," * 30_000, ', a="b', ', "' + "\\" * 30_000, "; a=\xff", ", tx=commit")),
    # Sizes: what is too large is refused by what it says of itself, or else when it is.
    wire(413, "POST /stores", "Content-Length: 10000000000"),
    wire(413, "POST /nope", "Content-Length: 1048577", "Expect: 100-continue"),
    wire(413, "POST /stores", "Transfer-Encoding: chunked", content=b"100001\r\n" + b" " * 1_048_577),
    sent(400, "POST /stores", " " * 1_048_576, name="as large as may be"),
    wire(422, "POST /stores", "Content-Type: application/json", "Transfer-Encoding: chunked",
         content=b"1;a=b\r\n{\r\n1\r\n}\r\n0\r\nA: b\r\n\r\n"),
    wire(422, "POST /stores", "X-HTTP-Method-Override: GET"),
    wire(431, f"GET /{'a' * 33_000}"),
    wire(431, "GET /", f"X-A: {'a' * 33_000}"),
    # Parts of files are not given: the whole is.
    *(wire(404, "GET /docs/static/nope", f"Range: {value}") for value in ("nonsense", "bytes=9-1")),
    # Other protocols on the same port: not spoken here, so HTTP goes on.
    wire(200, "GET /", "Connection: Upgrade", "Upgrade: websocket"),
    wire(404, "GET /nope", "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
         "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="),
    wire(422, "POST /stores", "Connection: Upgrade", "Upgrade: websocket", "Content-Length: 0"),
    # What is no HTTP.
    *(
        not_http(name, *lines)
        for name, lines in {
            "noise": ["\0\1\2\3"],
            "TLS": ["\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03"],
            "HTTP/2": ["PRI * HTTP/2.0", "", "SM"],
            "HTTP/9.9": ["GET / HTTP/9.9"],
            "lower-case method": ["get / HTTP/1.1"],
            "unknown method": ["STEAL / HTTP/1.1"],
            "no Host": ["GET / HTTP/1.1"],
            "CONNECT": ["CONNECT /stores HTTP/1.1", "Host: localhost"],
            "CONNECT to elsewhere": ["CONNECT evil.example:80 HTTP/1.1", "Host: localhost"],
            "no path": ["GET  HTTP/1.1"],
            "relative path": ["GET stores HTTP/1.1"],
            "space in path": ["GET /a b HTTP/1.1"],
            "NUL in path": ["GET /\0 HTTP/1.1"],
            "bytes in path": ["GET /\xff HTTP/1.1"],
            "bytes in query": ["GET /stores?q=\xff HTTP/1.1"],
            "URL without host": ["GET http:///stores HTTP/1.1"],
            "header without colon": ["GET / HTTP/1.1", "Host"],
            "header without name": ["GET / HTTP/1.1", ": a"],
            "space before colon": ["GET / HTTP/1.1", "Host : localhost"],
            "folded header": ["GET / HTTP/1.1", "A: b", " c"],
            "NUL in header": ["GET / HTTP/1.1", "A: \0"],
            "control character in header": ["GET / HTTP/1.1", "A: \1"],
            "bytes in header's name": ["GET / HTTP/1.1", "\xff: a"],
            "carriage return in header": ["GET / HTTP/1.1", "A: b\rc"],
            "negative length": ["POST /stores HTTP/1.1", "Content-Length: -1"],
            "length with sign": ["POST /stores HTTP/1.1", "Content-Length: +2", "", "{}"],
            "length in hexadecimal": ["POST /stores HTTP/1.1", "Content-Length: 0x2", "", "{}"],
            "length in words": ["POST /stores HTTP/1.1", "Content-Length: two", "", "{}"],
            "empty length": ["POST /stores HTTP/1.1", "Content-Length: ", "", "{}"],
            "length past 64 bits": ["POST /stores HTTP/1.1", f"Content-Length: {10**20}"],
            "two lengths": ["POST / HTTP/1.1", "Content-Length: 2", "Content-Length: 3", "", "{}"],
            "list of lengths": ["POST / HTTP/1.1", "Content-Length: 2, 2", "", "{}"],
            "length and chunks": ["POST / HTTP/1.1", "Content-Length: 5", "Transfer-Encoding: chunked"],
            "chunked and more": ["POST / HTTP/1.1", "Transfer-Encoding: chunked, identity"],
            "unknown coding": ["POST / HTTP/1.1", "Transfer-Encoding: gzip"],
            "chunk size in words": ["POST / HTTP/1.1", "Transfer-Encoding: chunked", "", "two", "{}"],
            "negative chunk": ["POST / HTTP/1.1", "Transfer-Encoding: chunked", "", "-1", "{}"],
            "endless chunk": ["POST / HTTP/1.1", "Transfer-Encoding: chunked", "", "f" * 17, "{}"],
        }.items()
    ),
]
# fmt: on

# --- The tests ------------------------------------------------------------------------------

INTERNALS = re.compile(r"Traceback|File \"|sqlalchemy|psycopg|sqlite|pydantic|SELECT |INSERT ")


BATCH = 50  # a test takes half as long as such a request


@pytest.mark.parametrize("start", range(0, len(TABLE), BATCH))
def test_hostile_request_has_its_answer_and_changes_nothing(
    server: Server, start: int, subtests: pytest.Subtests
) -> None:
    for row in TABLE[start : start + BATCH]:
        try:
            check_hostile(server, row)
        except Exception:
            with subtests.test(row.name):  # which takes as long as a request
                raise


def check_hostile(server: Server, row: Row) -> None:
    answer, has_changed, new_lines = server.answer(row), server.has_changed(), server.logged()
    assert answer.status == row.status, answer.body[:500]
    assert not has_changed
    assert "Traceback" not in new_lines
    assert SECRET not in new_lines
    assert re.fullmatch(r"[!-~]{1,128}", answer.headers["x-request-id"])
    assert len(answer.body) < 5000  # a whole input is never sent back
    assert SECRET.encode() not in answer.body
    if row.status >= 400:
        check_problem(answer, row.problem or PROBLEMS[row.status])


def check_problem(answer: Answer, kind: str) -> None:
    problem = json.loads(answer.body)
    assert list(problem)[:5] == ["type", "title", "status", "detail", "requestId"]
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:orders-api:{kind}"
    assert problem["status"] == answer.status
    assert problem["requestId"] == answer.headers["x-request-id"]
    assert problem["title"]
    assert re.fullmatch(r"[A-Z`/].{8,}[.?]", problem["detail"])
    assert not INTERNALS.search(answer.body.decode())
    assert ("allow" in answer.headers) == (answer.status == 405)
    assert ("www-authenticate" in answer.headers) == (answer.status == 401)
    for error in problem.get("errors", []):
        assert error["detail"]


@pytest.mark.parametrize(
    "pattern",
    ["%", "_", "%%", "_%", "\\", "\\%", "/", "/%", "'", "''", "' OR 1=1 --", "; drop table STORES",
     "*", "[a-c]", "[a-c]*", ".", "0 % w", "e_c", "%wool", "--", '"', "$1", ":q", "%(q)s"],
)  # fmt: skip
def test_pattern_is_looked_for_as_text(server: Server, pattern: str) -> None:
    found = server.client.get("/products", params={"q": pattern}).json()
    named = [product["name"] for product in found]
    assert [n for n in NAMES if pattern.lower() in n.lower()] == [n for n in named if n in NAMES]


EDGES: dict[str, list[tuple[dict[str, Any], str, str]]] = {
    "POST /stores": [
        (STORE, "name", json.dumps("\N{PILE OF POO}" * 200)),
        (STORE, "name", r'"\ud83d\ude00"'),
        (STORE, "name", r'"a\u0001\u2028\u202e\ufffe"'),
        (STORE, "domain", f'"https://{"a" * 1992}"'),
        (STORE, "email", NULL),
    ],
    "POST /products": [
        (PRODUCT | {"name": "Free"}, "price", "0"),
        (PRODUCT | {"name": "No less than free"}, "price", "-0.0"),
        (PRODUCT | {"name": "Dear"}, "price", "9999999999.99"),
        (PRODUCT | {"name": "Round"}, "price", "1e2"),
        (PRODUCT | {"name": "Long"}, "description", json.dumps("é" * 5000)),
    ],
    "POST /coupons": [
        (COUPON | {"code": "\N{PILE OF POO}" * 64}, "initCount", "2147483647"),
        (COUPON | {"code": "' OR 1=1 --"}, "percentOff", "100"),
    ],
    "POST /orders": [
        (ORDER, "items", items(quantity="1000000")),
        (ORDER, "items", f"[{', '.join([items()[1:-1]] * 100)}]"),
    ],
    "POST /todos": [(TODO, "task", '"<script>alert(1)</script>"')],
}


@pytest.mark.parametrize(
    ("row", "member", "value"),
    [
        pytest.param(row, member, json.loads(value), id=row.name)
        for operation, edges in EDGES.items()
        for base, member, value in edges
        for row in members(operation, base, "", **{member: [value]})
    ],
)
def test_value_at_the_edge_is_kept_as_it_is(
    server: Server, row: Row, member: str, value: object
) -> None:
    created = server.answer(row)
    assert server.has_changed()
    assert created.status == 201, created.body
    assert member == "items" or json.loads(created.body)[member] == value
    assert server.client.get(created.headers["location"]).content == created.body


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/", 200),
        ("/stores", 200),
        ("/stores/{storeId}", 200),
        ("/orders/export", 200),
        ("/docs/static/favicon.png", 200),
        ("/nope", 404),
        ("/token", 405),
        ("/stores?x=1", 422),
    ],
)
def test_after_the_answer_to_head_comes_the_next_one(
    server: Server, path: str, status: int
) -> None:
    """Whatever its Content-Length, no byte of a body is between them."""
    requests = f"HEAD {path} HTTP/1.1\r\nHost: localhost\r\n\r\n"
    requests += "GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(server.filled(requests.encode()))
        with connection.makefile("rb") as answers:
            first, *others = answers.read().split(b"\r\n\r\n")
    assert first.startswith(b"HTTP/1.1 %d " % status)
    assert [other.partition(b"\r\n")[0] for other in others] == [
        b"HTTP/1.1 200 OK",
        b'{"status":"ok"}',
    ]


@pytest.mark.parametrize("headers", ["Content-Length: 9", "Transfer-Encoding: chunked"])
def test_client_that_leaves_early_is_no_failure_of_the_server(server: Server, headers: str) -> None:
    request_id = f"leaves-{headers[0]}"
    head = ["POST /stores HTTP/1.1", "Host: localhost", f"X-Request-ID: {request_id}", headers]
    with server.connect() as connection:
        connection.sendall("\r\n".join([*head, "", "2\r\n{"]).encode())
    logged = ""
    for _ in range(200):
        logged += server.logged()
        if request_id in logged:
            break
        time.sleep(0.02)
    assert '"POST /stores 400"' in logged
    assert "Traceback" not in logged
    assert not server.has_changed()
