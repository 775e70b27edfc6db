"""A `POST` that is sent again with its `Idempotency-Key` has effect once."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from fastapi import HTTPException, Response
from fastapi.responses import StreamingResponse
from fastapi.testclient import TestClient
from sqlalchemy.exc import IntegrityError
from sqlmodel import func, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from orders_api.app import create_app
from orders_api.models import IdempotencyKey, Todo, TodoOut
from orders_api.settings import Settings
from orders_api.web import Router, Write, Writer
from tests.conftest import Postgres, database_of, empty, local_client
from tests.samples import (
    STORE,
    Json,
    new_coupon,
    new_product,
    new_store,
    new_user,
    problem,
    sign_in,
)

BODIES: dict[str, Json] = {
    "/stores": STORE,
    "/products": {"storeId": "{storeId}", "name": "New", "price": 1},
    "/coupons": {"code": "NEW", "initCount": 1},
    "/orders": {"items": [{"productId": "{productId}", "quantity": 2}], "couponCode": "PIOTR"},
    "/users": {"username": "ada", "password": "correct horse"},
    "/todos": {"task": "A"},
}


def filled(body: Any, known: Json) -> Any:
    if isinstance(body, dict):
        return {name: filled(value, known) for name, value in body.items()}
    if isinstance(body, list):
        return [filled(value, known) for value in body]
    return body.format(**known) if isinstance(body, str) else body


def key(value: str = "8e03978e-40d5-43dd-bc93-6894a57f9324") -> dict[str, str]:
    return {"idempotency-key": value}


@pytest.mark.parametrize("path", BODIES)
def test_repeated_request_has_the_first_answer_and_no_effect(client: TestClient, path: str) -> None:
    coupon = new_coupon(client)
    body = filled(BODIES[path], new_product(client))
    before = len(client.get(path).json())
    first = client.post(path, json=body, headers=key())
    assert first.status_code == 201
    assert "idempotent-replayed" not in first.headers
    for _ in range(2):
        again = client.post(path, json=body, headers=key())
        assert (again.status_code, again.content) == (201, first.content)
        assert again.headers["idempotent-replayed"] == "true"
        for name in ("location", "etag", "content-type"):
            assert again.headers[name] == first.headers[name]
    assert len(client.get(path).json()) == before + 1
    used = coupon["remainingCount"] - client.get("/coupons").json()[0]["remainingCount"]
    assert used == (1 if path == "/orders" else 0)


def test_key_of_another_request_is_refused(client: TestClient) -> None:
    assert client.post("/stores", json=STORE, headers=key()).status_code == 201
    for path, body in (("/stores", STORE | {"city": "Porto"}), ("/todos", {"task": "A"})):
        answer = problem(client.post(path, json=body, headers=key()), 422, "idempotency-key-reused")
        assert "take a new one" in answer["detail"]
    assert len(client.get("/stores").json()) == 1
    assert client.get("/todos").json() == []


def test_refused_request_burns_no_key(client: TestClient) -> None:
    problem(client.post("/stores", json=STORE | {"city": ""}, headers=key()), 422, "invalid")
    problem(client.post("/stores", content=b"{", headers=key()), 415, "unsupported-media-type")
    body = {"code": "PIOTR", "initCount": 1}
    new_coupon(client)
    problem(client.post("/coupons", json=body, headers=key()), 409, "already-exists")
    assert client.post("/stores", json=STORE, headers=key()).status_code == 201


@pytest.mark.parametrize("value", ["", " ", "a b", "a" * 256, "é", "a\tb"])
def test_key_must_be_1_to_255_visible_characters(client: TestClient, value: str) -> None:
    headers = [(b"idempotency-key", value.encode("latin-1"))]
    problem(client.post("/stores", json=STORE, headers=headers), 400, "malformed")
    problem(client.post("/stores", json=STORE, headers=[*key().items()] * 2), 400, "malformed")
    assert client.get("/stores").json() == []


def test_longest_key_is_kept(client: TestClient) -> None:
    for status in ("first", "again"):
        response = client.post("/stores", json=STORE, headers=key("~" * 255))
        assert ("idempotent-replayed" in response.headers) == (status == "again")


def test_sign_in_and_import_ignore_a_key(client: TestClient) -> None:
    """As docs/retries.md says: sent again, neither has the first answer."""
    new_user(client, "ada")
    form = {"username": "ada", "password": "correct horse"}
    tokens = [client.post("/token", data=form, headers=key("a")).json() for _ in range(2)]
    assert tokens[0]["access_token"] != tokens[1]["access_token"]
    line = {"storeId": new_store(client)["storeId"], "name": "Atlas", "price": 49.9}
    headers = key("b") | {"content-type": "application/jsonl"}
    again = [client.post("/products/import", json=line, headers=headers) for _ in range(2)]
    assert again[0].json()["imported"] == 1
    problem(again[1], 409, "already-exists")
    assert len(client.get("/products").json()) == 1


def test_keys_are_each_users_own(client: TestClient) -> None:
    stores = set()
    for name in ("ada", "bob", None):
        headers = key()
        if name:
            new_user(client, name)
            headers["authorization"] = f"Bearer {sign_in(client, name)}"
        stores.add(client.post("/stores", json=STORE, headers=headers).json()["storeId"])
    assert len(stores) == 3


def test_twins_in_flight_get_the_same_answer(client: TestClient) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(
            pool.map(lambda _: client.post("/stores", json=STORE, headers=key()), range(8))
        )
    assert {answer.status_code for answer in answers} == {201}
    assert {answer.content for answer in answers} == {answers[0].content}
    assert sum("idempotent-replayed" in answer.headers for answer in answers) == 7
    assert len(client.get("/stores").json()) == 1


async def let_time_pass(client: TestClient, by: timedelta) -> None:
    async with AsyncSession(database_of(client).writer) as session:
        await session.exec(update(IdempotencyKey).values(created=datetime.now(UTC) - by))
        await session.commit()


async def count(client: TestClient) -> int:
    async with AsyncSession(database_of(client).reader) as session:
        return (await session.exec(select(func.count()).select_from(IdempotencyKey))).one()


def test_key_is_forgotten_after_24_hours_and_removed(client: TestClient) -> None:
    assert client.portal is not None
    for n in range(5):
        client.post("/todos", json={"task": "A"}, headers=key(f"{n}"))
    client.portal.call(let_time_pass, client, timedelta(hours=23, minutes=59))
    response = client.post("/todos", json={"task": "A"}, headers=key("0"))
    assert "idempotent-replayed" in response.headers
    client.portal.call(let_time_pass, client, timedelta(hours=24, seconds=1))
    response = client.post("/todos", json={"task": "B"}, headers=key("0"))
    assert response.status_code == 201
    assert "idempotent-replayed" not in response.headers
    for n in range(100):  # some of these make others go
        client.post("/todos", json={"task": "B"}, headers=key(f"new-{n}"))
    assert client.portal.call(count, client) == 101, "the old ones are gone"


# With these PostgreSQL looks for old keys once for each key that it compares.
PLAN = ("hashjoin", "material", "sort", "hashagg", "indexscan", "indexonlyscan", "bitmapscan")


@pytest.mark.skipif(Postgres.server is None, reason="needs a database of its own")
def test_some_old_keys_are_removed_whatever_the_plan() -> None:
    url = Postgres.create_migrated("plan")
    name = urlsplit(url).path.strip("/")
    with psycopg.connect(url, autocommit=True) as connection:
        for kind in PLAN:
            connection.execute(f'ALTER DATABASE "{name}" SET enable_{kind} = off'.encode())
    with local_client(create_app(Settings(database_url=url))) as client:
        assert client.portal is not None
        for n in range(40):
            client.post("/todos", json={"task": "A"}, headers=key(f"{n}"))
        client.portal.call(let_time_pass, client, timedelta(hours=24, seconds=1))
        old = 40
        for n in range(1, 100):
            client.post("/todos", json={"task": "A"}, headers=key(f"new-{n}"))
            old = client.portal.call(count, client) - n
            if old < 40:
                break
        assert old == 40 - 32


def test_password_cannot_be_guessed_from_what_is_kept(client: TestClient) -> None:
    """The fingerprint depends on the key, which is not stored."""
    body = {"username": "ada", "password": "correct horse"}
    client.post("/users", json=body, headers=key())

    async def kept() -> IdempotencyKey:
        async with AsyncSession(database_of(client).reader) as session:
            return (await session.exec(select(IdempotencyKey))).one()

    assert client.portal is not None
    row = client.portal.call(kept)
    assert "correct horse" not in str(row)
    assert key()["idempotency-key"] not in str(row)


# --- Endpoints of one's own ---------------------------------------------------------------


@contextmanager
def endpoint(
    database_url: str, call: Callable[[Writer], Awaitable[Response | None]]
) -> Iterator[TestClient]:
    """Serve `POST /called`, which answers as this does when it is called, or with a to-do."""
    router = Router(prefix="/called")

    @router.post("", status_code=201)
    async def create_call(write: Write) -> TodoOut:
        answer: Any = await call(write)
        return answer or TodoOut(todo_id=1, task="A")

    app = create_app(Settings(database_url=database_url))
    app.include_router(router)
    with local_client(app) as client:
        yield client
        empty(client)


def test_endpoint_is_not_called_again_for_an_answer_that_is_kept(database_url: str) -> None:
    calls = 0

    async def call(_: Writer) -> None:
        nonlocal calls
        calls += 1

    with endpoint(database_url, call) as client:
        answers = [client.post("/called", headers=key()) for _ in range(3)]
    assert {answer.status_code for answer in answers} == {201}
    assert calls == 1


def test_endpoint_that_catches_what_a_statement_raised_loses_nothing_by_it(
    database_url: str,
) -> None:
    """SQLite goes on after such a statement; PostgreSQL does nothing more in its transaction.

    There it may be raised by what follows.
    """

    async def call(write: Writer) -> None:
        await write.create(TodoOut(todo_id=1, task="A"))
        with suppress(IntegrityError):
            await write.create(TodoOut(todo_id=1, task="A"))

    with endpoint(database_url, call) as client:
        answers = [client.post("/called", headers=key()) for _ in range(2)]
        todos = client.get("/todos").json()
    assert {(answer.status_code, len(todos)) for answer in answers} in (
        {(201, 1)},
        {(500, 0)},
        {(409, 0)},
    )


def test_key_is_taken_again_after_a_rollback_of_the_endpoint(database_url: str) -> None:
    async def call(write: Writer) -> None:
        write.add(Todo(task="A"))
        await write.flush()
        await write.rollback()
        write.add(Todo(task="B"))

    with endpoint(database_url, call) as client:
        answers = [client.post("/called", headers=key()) for _ in range(2)]
        assert [answer.status_code for answer in answers] == [201, 201]
        assert answers[1].headers["idempotent-replayed"] == "true"
        assert [todo["task"] for todo in client.get("/todos").json()] == ["B"]


def test_key_without_an_answer_is_not_replayed(database_url: str) -> None:
    async def call(write: Writer) -> None:
        await (await write.connection()).commit()  # past the session
        raise HTTPException(409, "No more of these.")

    with endpoint(database_url, call) as client:
        assert client.post("/called", headers=key()).status_code == 409
        problem(client.post("/called", headers=key()), 422, "idempotency-key-reused")


def test_stream_cannot_be_kept(database_url: str, caplog: pytest.LogCaptureFixture) -> None:
    async def call(write: Writer) -> Response:
        await write.create(TodoOut(todo_id=1, task="A"))
        return StreamingResponse(iter(["a", "b"]), 201)

    with endpoint(database_url, call) as client:
        problem(client.post("/called", headers=key()), 500, "internal")
        assert "A StreamingResponse cannot be kept for an Idempotency-Key" in caplog.text
        assert client.get("/todos").json() == []
        assert client.post("/called").text == "ab"


def test_transaction_does_not_outlive_its_request(database_url: str) -> None:
    kept: list[Writer] = []

    async def call(write: Writer) -> None:
        kept.append(write)

    with endpoint(database_url, call) as client:
        assert client.post("/called").status_code == 201
        assert client.portal is not None
        with pytest.raises(RuntimeError, match="has ended"):
            client.portal.call(kept[0].create, TodoOut(todo_id=1, task="A"))


def test_tasks_of_an_endpoint_share_its_transaction(database_url: str) -> None:
    async def call(write: Writer) -> None:
        connections = await asyncio.gather(*(write.pooled_connection() for _ in range(5)))
        assert len(set(connections)) == 1

    with endpoint(database_url, call) as client:
        for number in range(5):
            assert client.post("/called", headers=key(f"{number}")).status_code == 201
