"""What is inserted waits, on PostgreSQL, for what else is sent, or for the commit.

Nothing but the number of round trips tells: so most of these tests run on SQLite as well.
"""

import re
import sys
from asyncio import create_task, sleep
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from fastapi.testclient import TestClient
from psycopg.pq import Trace
from sqlalchemy import String, bindparam, cast, text
from sqlalchemy.exc import (
    DataError,
    IntegrityError,
    InterfaceError,
    PendingRollbackError,
    ProgrammingError,
)
from sqlmodel import col, func, select

from orders_api.models import Store, StoreOut
from orders_api.storage.unit_of_work import UnitOfWork
from tests.conftest import database_of, needs_shortcuts, recorded_statements
from tests.samples import STORE, Json, new_coupon, new_product, new_store, problem

Work = Callable[[UnitOfWork], Awaitable[Any]]


@pytest.fixture
def run(client: TestClient) -> Callable[[Work], Any]:
    """Have work done in a transaction that has read something."""

    async def begin(work: Work) -> Any:
        async with UnitOfWork(database_of(client)) as write:
            await write.get_many(StoreOut, [uuid4()])
            return await work(write)

    assert client.portal is not None
    call = client.portal.call
    return lambda work: call(begin, work)


def store(name: str = "A", **members: object) -> StoreOut:
    return StoreOut.model_validate(STORE | {"name": name, "store_id": uuid4()} | members)


def names(client: TestClient) -> list[str]:
    return sorted(one["name"] for one in client.get("/stores").json())


# --- Round trips --------------------------------------------------------------------------


@contextmanager
def round_trips(client: TestClient) -> Iterator[list[str]]:
    """List what is sent by the connection that writes next, round trip by round trip."""
    assert client.portal is not None
    pool = database_of(client).to_write
    connection = client.portal.call(pool.acquire)
    client.portal.call(pool.release, connection)
    trips: list[str] = []
    with TemporaryFile() as file:
        connection.driver.pgconn.trace(file.fileno())
        connection.driver.pgconn.set_trace_flags(Trace.SUPPRESS_TIMESTAMPS)
        yield trips
        connection.driver.pgconn.untrace()
        file.seek(0)
        messages = re.findall(rb"(?m)^([FB])\t\d+\t(\w+)", file.read())
    for sender, sent in groupby(messages, key=itemgetter(0)):
        if sender == b"F":  # the frontend, which libpq is
            trips.append(b" ".join(name for _, name in sent).decode())


@pytest.fixture
def traced(client: TestClient, database_url: str) -> TestClient:
    if database_url.startswith("sqlite"):
        pytest.skip("nothing is sent to SQLite")
    if not sys.platform.startswith("linux"):
        pytest.skip("libpq traces what is sent on Linux only")
    return client


def order(client: TestClient) -> tuple[str, Json]:
    products = [new_product(client, name=f"Volume {n}") for n in range(3)]
    items = [{"productId": product["productId"], "quantity": 1} for product in products]
    return "/orders", {"items": items}


def order_with_coupon(client: TestClient) -> tuple[str, Json]:
    path, body = order(client)
    return path, body | {"couponCode": new_coupon(client)["code"]}


def product(client: TestClient) -> tuple[str, Json]:
    return "/products", {"storeId": new_store(client)["storeId"], "name": "A", "price": 1}


@needs_shortcuts
@pytest.mark.parametrize(
    ("prepare", "headers", "count"),
    [
        (order, {}, 2),
        (product, {}, 2),
        (lambda _: ("/stores", STORE), {}, 2),
        (order_with_coupon, {}, 3),
        (order, {"idempotency-key": "a"}, 3),
    ],
    ids=["order", "product", "store", "order with a coupon", "order with a key"],
)
def test_creation_takes_few_round_trips(
    traced: TestClient,
    prepare: Callable[[TestClient], tuple[str, Json]],
    headers: dict[str, str],
    count: int,
) -> None:
    path, body = prepare(traced)
    with round_trips(traced) as trips:
        response = traced.post(path, json=body, headers=headers)
    assert response.status_code == 201, response.text
    assert len(trips) == count, trips


@needs_shortcuts
def test_not_all_that_is_inserted_waits_for_the_end(
    traced: TestClient, run: Callable[[Work], Any]
) -> None:
    async def work(write: UnitOfWork) -> None:
        for n in range(250):
            await write.insert(store(f"{n}"))

    with round_trips(traced) as trips:
        run(work)
    assert len(trips) == 4, "what is read, two in between and the last"
    assert len(traced.get("/stores?limit=200").json()) == 200


# --- Refusals -----------------------------------------------------------------------------


@pytest.mark.parametrize("headers", [{}, {"prefer": "tx=rollback"}])
def test_refusal_is_answered_whenever_it_comes(client: TestClient, headers: dict[str, str]) -> None:
    path, body = product(client)
    assert client.post(path, json=body).status_code == 201
    answer = problem(client.post(path, json=body, headers=headers), 409, "already-exists")
    assert answer["detail"] == "Another one with the same storeId and name exists already."
    assert len(client.get(path).json()) == 1


def test_refusal_undoes_all_and_names_its_statement(
    client: TestClient, run: Callable[[Work], Any]
) -> None:
    there = store("B")

    async def work(write: UnitOfWork) -> None:
        await write.insert(store("A"))
        await write.insert(there)
        await write.insert(there)
        await write.insert(store("C"))

    with pytest.raises(IntegrityError) as refused:
        run(work)
    assert str(refused.value.statement).startswith("INSERT INTO stores")
    assert names(client) == []
    new_store(client)


@needs_shortcuts
def test_observers_hear_of_what_was_sent(client: TestClient, run: Callable[[Work], Any]) -> None:
    async def work(write: UnitOfWork) -> None:
        there = store()
        await write.insert(there)
        await write.insert(there)
        await write.insert(store())

    with recorded_statements(client) as statements, pytest.raises(IntegrityError):
        run(work)
    assert [sql.split()[0] for sql in statements.texts] == ["SELECT", "INSERT", "INSERT"]


def test_flush_raises_what_the_database_refuses(
    client: TestClient, run: Callable[[Work], Any]
) -> None:
    there = new_store(client)

    async def work(write: UnitOfWork) -> None:
        with pytest.raises(IntegrityError):  # noqa: PT012 - SQLite raises it by the first
            await write.insert(store(store_id=there["storeId"]))
            await write.flush()
        await write.rollback()
        await write.insert(store("B"))

    run(work)
    assert names(client) == ["B", STORE["name"]]


def test_savepoint_raises_within_what_the_database_refuses(
    client: TestClient, run: Callable[[Work], Any]
) -> None:
    async def work(write: UnitOfWork) -> None:
        there = store("A")
        await write.insert(there)
        async with write.begin_nested() as savepoint:
            try:
                await write.insert(there)
            except IntegrityError:
                await savepoint.rollback()
        await write.insert(store("B"))

    run(work)
    assert names(client) == ["A", "B"]


def test_savepoint_that_is_undone_undoes_nothing_before(
    client: TestClient, run: Callable[[Work], Any]
) -> None:
    async def work(write: UnitOfWork) -> None:
        await write.insert(store("A"))
        savepoint = await write.begin_nested()
        await write.insert(store("B"))
        await savepoint.rollback()

    run(work)
    assert names(client) == ["A"]


@pytest.mark.parametrize("is_committed", [True, False])
def test_rollback_undoes_what_waits(
    client: TestClient, run: Callable[[Work], Any], is_committed: bool
) -> None:
    async def work(write: UnitOfWork) -> None:
        await write.insert(store("A"))
        if is_committed:
            await write.commit()  # which keeps nothing before the end
        await write.rollback()
        await write.insert(store("B"))

    run(work)
    assert names(client) == ["B"]


@pytest.fixture
def deferred(database_url: str) -> Iterator[None]:
    if database_url.startswith("sqlite"):
        pytest.skip("SQLite defers nothing but foreign keys")
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute(
            "ALTER TABLE stores ADD CONSTRAINT deferred UNIQUE (name) DEFERRABLE INITIALLY DEFERRED"
        )
        yield
        connection.execute("ALTER TABLE stores DROP CONSTRAINT deferred")


@pytest.mark.usefixtures("deferred")
def test_commit_may_be_what_fails(client: TestClient, run: Callable[[Work], Any]) -> None:
    new_store(client)
    with pytest.raises(IntegrityError):
        run(lambda write: write.insert(store(STORE["name"])))
    run(lambda write: write.insert(store("B")))
    assert names(client) == ["B", STORE["name"]]


def test_value_that_no_driver_takes_undoes_nothing_before(
    client: TestClient, run: Callable[[Work], Any]
) -> None:
    async def work(write: UnitOfWork) -> None:
        await write.insert(store("A"))
        query = select(Store.store_id).where(col(Store.name) == bindparam("name"))
        connection = await write.pooled_connection()
        with pytest.raises((ProgrammingError, InterfaceError)):
            await connection.values(write.database.statement(query), {"name": object()})
        await write.insert(store("B"))

    run(work)
    assert names(client) == ["A", "B"]


def test_commit_does_not_pass_over_a_statement_that_fails_meanwhile(
    client: TestClient, run: Callable[[Work], Any], database_url: str
) -> None:
    if database_url.startswith("sqlite"):
        pytest.skip("a statement that fails undoes nothing else on SQLite")
    fails_late = select(1 / func.length(cast(func.pg_sleep(0.2), String)))
    tasks = []

    async def work(write: UnitOfWork) -> None:
        await write.insert(store("A"))
        await write.flush()
        connection = await write.pooled_connection()
        tasks.append(create_task(connection.values(write.database.statement(fails_late), {})))
        await sleep(0)  # so that it runs, and nobody waits for it

    with pytest.raises(PendingRollbackError):
        run(work)
    with pytest.raises(DataError):
        tasks[0].result()
    assert names(client) == []


# --- What comes after ---------------------------------------------------------------------


async def by_session(write: UnitOfWork) -> Any:
    return (await write.exec(select(func.count()).select_from(Store))).one()


async def by_connection(write: UnitOfWork) -> Any:
    return (await (await write.connection()).execute(text("SELECT count(*) FROM stores"))).scalar()


async def by_out_class(write: UnitOfWork) -> Any:
    keys = list(await write.exec(select(Store.store_id)))
    return len(await write.get_many(StoreOut, keys))


async def by_driver(write: UnitOfWork) -> Any:
    statement = write.database.statement(select(func.count()).select_from(Store))
    ((count,),) = await (await write.pooled_connection()).values(statement, {})
    return count


@pytest.mark.parametrize("look", [by_session, by_connection, by_out_class, by_driver])
def test_what_was_inserted_is_seen_by_what_comes_after(
    run: Callable[[Work], Any], look: Work
) -> None:
    async def work(write: UnitOfWork) -> Any:
        connection = await write.connection()
        await write.insert(store("A"))
        first = await look(write)
        await write.insert(store("B"))
        await connection.execute(text("UPDATE stores SET city = 'Porto'"))
        return first, await look(write)

    assert run(work) == (1, 2)


def test_row_that_was_inserted_can_be_changed_and_deleted(
    client: TestClient, run: Callable[[Work], Any]
) -> None:
    async def work(write: UnitOfWork) -> None:
        changed, deleted = (Store(**store(name).model_dump()) for name in "AB")
        await write.insert(changed)
        await write.insert(deleted)
        changed.name = "C"
        await write.delete(deleted)

    run(work)
    assert names(client) == ["C"]
