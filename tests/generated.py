"""Requests made from the OpenAPI document at random: right ones, odd ones and broken ones.

The same seed makes the same requests, but for what a server has made.
"""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from random import Random
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

from tests.resources import (
    DOCUMENT,
    OPERATIONS,
    REFERENCES,
    RESOURCES,
    UNKNOWN,
    is_free_text,
    resolved,
)
from tests.samples import Json

T = TypeVar("T")

METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "PURGE", "get"]
SEGMENTS = [
    *("nonsense", "0", "-1", "1", "%31", "1e3", "+1", "9" * 25, "import", "export", "products"),
    *("", ".", "..", "%2e%2e", "a%2Fb", "a;b=1", "*", "%25", "%", "%zz", "%C3%BC", "%FF", "%20"),
    *("%00", "%0A", "1%0A", f"{UNKNOWN}%0A", "%0D%0A", "%7F", "%C2%85", "%E2%80%A8", "%D9%A1"),
    *(UNKNOWN, UNKNOWN.upper(), UNKNOWN.replace("-", ""), f"%7B{UNKNOWN}%7D", f"{UNKNOWN}x"),
]
QUERIES = [
    *("x=1", "x", "limit", "limit=", "=1", "&", "limit=1&limit=1", "limit=1&limit=2", "limt=1"),
    *("Limit=1", "limit%00=1", "%6Cimit=1", "limit=%31", "limit=%zz", "limit=1;sort=name", "q=%FF"),
    *("q=a+b", "q=a%20b", "q=a&q=b", "after=&limit=1", "sort=name&sort=-name", "min_price=1"),
]
VALUES = [
    *("", "0", "1", "2", "-1", "201", "1.5", "1.005", "1e2", "NaN", "true", "True", "null", " 1 "),
    *("a" * 300, "%", "_", "\\", "ü", "\0", "\n", "'", UNKNOWN, "W10", "bm9uc2Vuc2U", "[1]"),
    *("2026-01-01", "2026-01-01T00:00:00Z", "2026-01-01T00:00:00", "9999-12-31T23:59:59Z"),
]
MEMBERS: list[Any] = [
    *(None, True, False, 0, 1, -1, 1.5, 19.999, 2**31, 2**63, 10**30, float("nan"), float("inf")),
    *("", " ", "5", "19.99", "a", "ü", "a\0", "\ud800", "a" * 5000, UNKNOWN, [], [[]], {}, [1]),
]
BROKEN = [
    *(b"", b" ", b"{", b"{}", b"[]", b"[{}]", b"null", b"true", b"1", b'"a"', b"{} {}", b"{},"),
    *(b"\xff", b'{"name": "\xff"}', b"\xef\xbb\xbf{}", b"\0", b"[" * 5000, b'{"a":' * 5000),
    *(b'{"name": 1e400}', b'{"name": "\\ud800"}', b'{"name": 01}', "{}".encode("utf-16"), b"a=1"),
]
HEADERS: dict[str, list[str]] = {
    "if-match": ["*", '"x"', 'W/"x"', "x", "", '"x", "y"', "\xff"],
    "if-none-match": ["*", '"x"', 'W/"x"', "x", "", '"x", *'],
    "prefer": [
        *("tx=rollback", "return=minimal", "tx=rollback, return=minimal", "TX=rollback"),
        *('return="minimal"', "return=representation", "tx=commit, tx=rollback", "wait=1", "="),
        *("return=minimal; a=1", '"', "tx", ""),
    ],
    "idempotency-key": ["a", "b", "c", "a" * 255, "a" * 256, "", "a b", "\xe4"],
    "authorization": ["Bearer x", "Bearer", "Basic YTpi", "bearer " + "0" * 64, "", "Bearer a b"],
    "host": ["api.example", "localhost:8000", "127.0.0.1", "[::1]", "evil.example", "a b", ""],
    "origin": ["http://localhost", "https://evil.example", "null"],
    "sec-fetch-site": ["same-origin", "cross-site"],
    "forwarded": ["for=10.0.0.1"],
    "x-forwarded-for": ["10.0.0.1"],
    "x-request-id": ["abc", "a b", "a" * 129, "\xe4", ""],
    "accept": ["text/html", "application/json;q=0.5, text/html", "image/png", "*/*;q=0", ","],
    "accept-encoding": ["gzip", "identity;q=0"],
    "range": ["bytes=0-1", "bytes=9-1"],
    "expect": ["100-continue"],
    "upgrade": ["h2c"],
    "cookie": ["a=1", "\xff"],
}
MEDIA_TYPES = [
    *("application/json; charset=utf-8", "APPLICATION/JSON", "application/merge-patch+json"),
    *("text/plain", "application/jsonl", "application/x-www-form-urlencoded", "json", "", "\xff"),
    "multipart/form-data; boundary=a",
]
NAMES = {"q": "name", "minPrice": "price", "maxPrice": "price", "since": "date", "until": "date"}
"""Where a parameter is not called by the name of the member that it is about."""


@dataclass(frozen=True)
class Sent:
    """A request as a server takes it from the wire."""

    method: str
    target: str
    headers: tuple[tuple[str, str], ...] = ()
    body: bytes = b""

    def __str__(self) -> str:
        lines = [f"{self.method} {self.target}", *(": ".join(one) for one in self.headers)]
        return "\n".join([*map(repr, lines), repr(self.body)])

    def replaced(self, replace: Callable[[str], str]) -> "Sent":
        """Replace what a server has made in the whole request."""
        headers = tuple((name, replace(value)) for name, value in self.headers)
        body = replace(self.body.decode("latin-1")).encode("latin-1")
        return Sent(self.method, replace(self.target), headers, body)


class Requests:
    """Makes requests; `learn` remembers what was answered, to send it back later."""

    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.known: dict[str, list[Any]] = defaultdict(list)
        self.etags: dict[str, str] = {}
        self.sent: list[Sent] = []

    def __iter__(self) -> Iterator[Sent]:
        """Yield what creates two objects of each resource, then any number of requests."""
        for resource in RESOURCES * 2:
            yield self.good("POST", resource.collection)
        yield self.good("POST", "/token")
        while True:
            yield self.some()

    def learn(self, sent: Sent, headers: list[tuple[str, str]], body: bytes) -> None:
        self.sent.append(sent)
        for name, value in headers:
            if name == "etag":
                self.etags[sent.target] = value
            if name == "link":
                self.known["after"] += re.findall(r"[?&]after=([^&>]+)", value)
        if b"{" in body[:2]:
            self._learn_members(json.loads(body.splitlines()[0]))

    def _learn_members(self, value: Any) -> None:
        for name, member in value.items() if isinstance(value, dict) else ():
            if isinstance(member, str | int | float):
                self.known[name].append(member)
            self._learn_members(member)
        for item in value if isinstance(value, list) else ():
            self._learn_members(item)

    # --- The whole ------------------------------------------------------------------------

    def good(self, method: str, path: str) -> Sent:
        operation = OPERATIONS[f"{method} {path}"]
        media_type, body = self.written(operation, self.example(operation))
        headers = (("host", "localhost"), ("content-type", media_type))
        return Sent(method, self.filled(path, odd=0), headers, body)

    def some(self) -> Sent:
        if self.chance(0.04):
            return self.one_of(self.sent[-5:])  # again
        name = self.one_of(list(OPERATIONS))
        method, path = name.split()
        operation = OPERATIONS[name]
        media_type, body = "", b""
        if "requestBody" in operation:
            example = self.example(operation)
            if self.chance(0.35):
                example = self.spoiled(example)
            media_type, body = self.written(operation, example)
            if self.chance(0.15):
                body = self.broken(body)
        elif self.chance(0.03):
            media_type, body = "application/json", self.one_of(BROKEN)
        if self.chance(0.05):
            media_type = self.one_of(MEDIA_TYPES)
        if self.chance(0.06):
            method = self.one_of(METHODS)
        target = self.filled(path, odd=0.1) + self.query(operation)
        return Sent(method, target, tuple(self.headers(method, target, media_type, body)), body)

    # --- Its parts ------------------------------------------------------------------------

    def filled(self, path: str, odd: float) -> str:
        """Write a path with ids that are known, or with odd ones."""
        path = re.sub(r"\{(\w+)\}", lambda name: quote(str(self.value(name[1], odd))), path)
        path = path.replace("%25", "%")  # what is odd is written as it is to be sent
        if not self.chance(odd):
            return path
        segments = path.split("/")
        i = self.random.randrange(1, len(segments))
        own, other = segments[i], self.one_of(SEGMENTS)
        choices = [f"{own}/", f"/{own}", f"{own}/{other}", f"{own}%20", other]
        if own.isalpha():  # an id is replaced by its twin in one spelling alone
            choices += [own.upper(), f"%{ord(own[0]):02X}{own[1:]}"]
        segments[i] = self.one_of(choices)
        return "/".join(segments)

    def value(self, name: str, odd: float) -> Any:
        values = self.known[name][-6:]
        return self.one_of(SEGMENTS if not values or self.chance(odd) else values)

    def query(self, operation: Json) -> str:
        parts = []
        for parameter in operation.get("parameters", ()):
            if parameter["in"] == "query" and self.chance(0.3):
                name = parameter["name"]
                schema = parameter["schema"]
                choices = [schema, *schema.get("anyOf", ())]
                values = [value for one in choices for value in one.get("enum", ())]
                values += self.known[REFERENCES.get(name, (0, NAMES.get(name, name)))[1]][-6:]
                if name == "limit":
                    values += [1, 2]
                odd = not values or self.chance(0.2)
                parts.append(f"{name}={quote(str(self.one_of(VALUES if odd else values)), ':')}")
        if self.chance(0.06):
            parts.insert(self.random.randint(0, len(parts)), self.one_of(QUERIES))
        if len(parts) > 1 and self.chance(0.05):
            parts.append(self.one_of(parts))
        return "?" * (bool(parts) or self.chance(0.02)) + "&".join(parts)

    def headers(
        self, method: str, target: str, media_type: str, body: bytes
    ) -> Iterator[tuple[str, str]]:
        is_local = self.chance(0.88)
        yield "host", "localhost" if is_local else "api.example"
        if self.known["access_token"] and self.chance(0.05 if is_local else 0.8):
            yield "authorization", f"Bearer {self.one_of(self.known['access_token'][-2:])}"
        if media_type:
            yield "content-type", media_type
        if body or method not in {"GET", "DELETE"}:
            yield "content-length", str(len(body))
        for name in ("if-match", "if-none-match"):
            if self.etags and self.chance(0.1):
                etag = self.etags.get(target) or self.one_of(list(self.etags.values()))
                yield name, self.one_of(["{}", "{}", "W/{}", '"x", {}']).format(etag)
        for name, values in HEADERS.items():
            for _ in range(2):
                often = name in {"prefer", "idempotency-key"} and method != "GET"
                if self.chance(0.12 if often else 0.012):
                    yield name, self.one_of(values)

    # --- Bodies ---------------------------------------------------------------------------

    def example(self, operation: Json) -> Any:
        content: Json = next(iter(operation["requestBody"]["content"].values()))
        example = content["example"]
        if isinstance(example, str):  # lines
            lines = [json.loads(example) for _ in range(self.random.randint(1, 3))]
            return [self.varied(content["schema"]["items"], line) for line in lines]
        return self.varied(content["schema"], example)

    def varied(self, schema: Json, value: Any, name: str = "") -> Any:
        """Return a value as valid as an example is, of objects that there are."""
        schema = resolved(schema)
        if isinstance(value, dict):
            members = {n: self.varied(schema["properties"][n], v, n) for n, v in value.items()}
            return {n: v for n, v in members.items() if not self.chance(0.05)}
        if isinstance(value, list):
            several = value * self.random.randint(1, 4)
            return [self.varied(schema["items"], item) for item in several]
        if name in REFERENCES:
            return self.one_of(self.known[REFERENCES[name][1]][-6:] or [value])
        if isinstance(value, str):
            if self.known[name] and self.chance(0.2):
                return self.one_of(self.known[name][-6:])
            text = f"{value}{self.random.randint(1, 40)}"
            return text if name != "password" and is_free_text(schema, text) else value
        if isinstance(value, int | float) and self.chance(0.3):
            return self.one_of([0, 1, 2, value + 1])
        return value

    def spoiled(self, value: Any) -> Any:
        """Make something of a body otherwise, somewhere in it."""
        if isinstance(value, list) and value:
            i = self.random.randrange(len(value))
            return [*value[:i], self.spoiled(value[i]), *value[i + 1 :]]
        if not isinstance(value, dict) or not value:
            return self.one_of(MEMBERS)
        name = self.one_of(list(value))
        member = value.pop(name)
        spelling = self.random.randrange(6)
        if spelling == 0:
            return value  # without it
        if spelling == 1:  # a typing error
            return value | {name[:-1]: member}
        if spelling == 2:
            return value | {re.sub("[A-Z]", lambda c: f"_{c[0].lower()}", name): member}
        if spelling == 3:  # unknown here, perhaps
            return value | {name: member, self.one_of(sorted(PROPERTIES)): member}
        return value | {name: self.spoiled(member)}

    def written(self, operation: Json, example: Any) -> tuple[str, bytes]:
        media_type = next(iter(operation["requestBody"]["content"]))
        if "form" in media_type:
            pairs = example if isinstance(example, dict) else {"": example}
            return media_type, urlencode(pairs, errors="replace").encode()
        lines = example if "jsonl" in media_type and isinstance(example, list) else [example]
        return media_type, "\n".join(map(json.dumps, lines)).encode()

    def broken(self, body: bytes) -> bytes:
        i = self.random.randrange(len(body) + 1)
        return self.one_of(
            [
                *(body[:i], body + body, body + b" ", body[:i] + b"\0" + body[i:]),
                *(body[:1] + body[1:-1] + b"," + body[1:], body + b"x", self.one_of(BROKEN)),
            ]
        )

    # --- Chance ---------------------------------------------------------------------------

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    def one_of(self, choices: list[T]) -> T:
        return self.random.choice(choices)


PROPERTIES = {
    name
    for schema in DOCUMENT["components"]["schemas"].values()
    for name in schema.get("properties", ())
}
