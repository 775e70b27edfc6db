"""Nobody can tell from the answers whether shortcuts were taken.

Generated requests go to two applications, of which one takes shortcuts and the other one none, each
on a database of its own. Both have the same history, so that their answers are the same but for
what a server makes: ids, dates, tokens, request ids, and what contains them.

`SEED=2 uv run pytest -m slow tests/test_differential.py` sends others than CI does.
"""

import asyncio
import os
import re
from collections import Counter
from contextlib import AsyncExitStack
from dataclasses import dataclass
from itertools import chain, islice
from urllib.parse import unquote

import pytest
from fastapi import FastAPI
from starlette.types import Message

from orders_api.app import create_app
from orders_api.settings import Settings
from tests.conftest import Postgres
from tests.generated import Requests, Sent
from tests.resources import RESOURCES
from tests.sessions import MADE_BY_SERVER

SEED = int(os.environ.get("SEED", "1"))

MADE = re.compile(
    MADE_BY_SERVER.pattern
    + r"|\d{4}-\d\d-\d\dT(?:[\d:.]|%3A)+Z?"  # a date
    + r"|(?<=after=)[\w-]+"  # a cursor
)
STATUSES = {200, 201, 204, 304, 400, 401, 404, 405, 409, 412, 415, 422}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def __str__(self) -> str:
        lines = [str(self.status), *(": ".join(one) for one in self.headers)]
        return "\n".join([*lines, "", self.body.decode()])


async def ask(app: FastAPI, sent: Sent) -> Answer:
    """Send a request as a server does, its body in two parts."""
    path, _, query = sent.target.partition("?")
    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "scheme": "http",
        "method": sent.method,
        "path": unquote(path),
        "raw_path": path.encode(),
        "query_string": query.encode(),
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.headers],
        "client": ("127.0.0.1", 50000),
        "server": ("127.0.0.1", 8000),
    }
    parts = [sent.body[:1], sent.body[1:]]
    answered: list[Message] = []

    async def receive() -> Message:
        if not parts:
            await asyncio.Event().wait()  # the connection stays open
        return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

    async def send(message: Message) -> None:
        answered.append(message)

    await app(scope, receive, send)
    start, *rest = answered
    headers = [
        (name.decode("latin-1"), value.decode("latin-1")) for name, value in start["headers"]
    ]
    return Answer(start["status"], headers, b"".join(one.get("body", b"") for one in rest))


class Twins:
    """What one server made, and what the other one made in its place: each has one twin."""

    def __init__(self) -> None:
        self.twins: dict[str, str] = {}
        self.origins: dict[str, str] = {}

    def translate(self, text: str) -> str:
        return MADE.sub(lambda made: self.twins.get(made[0], made[0]), text)

    def are_same(self, one: str, other: str) -> bool:
        """Tell whether two texts differ in what the servers made alone, and learn what that is."""
        made, remade = MADE.findall(one), MADE.findall(other)
        return (
            MADE.sub("", one) == MADE.sub("", other)
            and all(self.twins.setdefault(a, b) == b for a, b in zip(made, remade, strict=True))
            and all(self.origins.setdefault(b, a) == a for a, b in zip(made, remade, strict=True))
        )


async def compare(urls: list[str], count: int) -> Counter[int]:
    """Send so many requests to both; return how often each status was the answer."""
    statuses: Counter[int] = Counter()
    ordinary, fast = (
        create_app(Settings(database_url=url, shortcuts=shortcuts, log_level="ERROR"))
        for url, shortcuts in zip(urls, (False, True), strict=True)
    )
    twins, requests = Twins(), Requests(SEED)
    everything = [Sent("GET", f"{one.collection}?limit=200", LOCAL) for one in RESOURCES]
    async with AsyncExitStack() as stack:
        for app in (ordinary, fast):
            await stack.enter_async_context(app.router.lifespan_context(app))
        for number, sent in enumerate(chain(islice(requests, count), everything)):
            expected = await ask(ordinary, sent)
            found = await ask(fast, sent.replaced(twins.translate))
            if not twins.are_same(str(expected), str(found)):
                pytest.fail(
                    f"Request {number} with SEED={SEED} was answered otherwise.\n\n{sent}\n\n"
                    f"--- Without shortcuts\n{expected}\n\n--- With shortcuts\n{found}"
                )
            statuses[expected.status] += 1
            if expected.status < 300:
                requests.learn(sent, expected.headers, expected.body)
    return statuses


LOCAL = (("host", "localhost"),)


@pytest.fixture
def urls(database_url: str) -> list[str]:
    """The URLs of two empty databases of one kind."""
    if database_url == "sqlite://":
        return [database_url] * 2
    if Postgres.server is None:
        pytest.skip("needs databases of its own, which only the embedded server can give")
    return [Postgres.create_migrated(name) for name in ("ordinary", "fast")]


def test_generated_requests_are_answered_alike(urls: list[str]) -> None:
    asyncio.run(compare(urls, 150))


@pytest.mark.slow
def test_thousands_of_requests_are_answered_alike(urls: list[str]) -> None:
    statuses = asyncio.run(compare(urls, 2500))
    assert statuses.keys() >= STATUSES
    assert not [status for status in statuses if status >= 500]
