"""Sessions in an endpoint do what SQLModel's documentation says, in one transaction a request."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from shutil import copyfile
from types import NoneType
from typing import Any
from uuid import uuid4

import pytest
from fastapi import BackgroundTasks, FastAPI, HTTPException
from sqlalchemy import inspect, literal, text
from sqlalchemy.exc import IntegrityError, MissingGreenlet, PendingRollbackError
from sqlalchemy.orm import Session, selectinload
from sqlalchemy.util import await_only
from sqlmodel import col, func, insert, select, update

from orders_api.app import create_app
from orders_api.models import (
    OrderDetail,
    OrderIn,
    Product,
    ProductDetail,
    ProductOut,
    Store,
    Todo,
    TodoOut,
)
from orders_api.settings import Settings
from orders_api.web import Read, Router, UnitOfWork, Write
from tests.conftest import database_of, empty, local_client
from tests.samples import STORE, create, new_product, new_store

Call = Callable[[Read, Write], Awaitable[Any]]


class Endpoint:
    """`POST /called`, and what it calls."""

    def __init__(self, app: FastAPI) -> None:
        self.client = local_client(app)
        self.call: Call
        self.result: Any = None
        self.later: Callable[[], Awaitable[None]] | None = None
        router = Router(prefix="/called")

        @router.post("", status_code=201)
        async def create_call(read: Read, write: Write, tasks: BackgroundTasks) -> TodoOut:
            if self.later:
                tasks.add_task(self.later)
            self.result = await self.call(read, write)
            return TodoOut(todo_id=1, task="A")

        app.include_router(router)

    def __call__(
        self, call: Call, status: int = 201, headers: Mapping[str, str] | None = None
    ) -> Any:
        """Send the request, and return what the call has returned."""
        self.call, self.result = call, None
        response = self.client.post("/called", headers=headers)
        assert response.status_code == status, response.text
        return self.result

    def tasks(self) -> list[str]:
        return [todo["task"] for todo in self.client.get("/todos").json()]


@pytest.fixture(scope="module")
def running_endpoint(database_url: str) -> Iterator[Endpoint]:
    endpoint = Endpoint(create_app(Settings(database_url=database_url, database_timeout=2)))
    with endpoint.client:
        yield endpoint


@pytest.fixture
def endpoint(running_endpoint: Endpoint) -> Iterator[Endpoint]:
    running_endpoint.later = None
    yield running_endpoint
    client = running_endpoint.client
    empty(client)


# --- Read ---------------------------------------------------------------------------------


def test_read_runs_a_query_of_ones_own(endpoint: Endpoint) -> None:
    store = new_store(endpoint.client)
    new_product(endpoint.client, store, name="A", price=1)
    new_product(endpoint.client, store, name="B", price=2)

    async def call(read: Read, _: Write) -> Any:
        store_columns = (col(Store.name), func.count())
        counted = select(*store_columns).join(Product).group_by(col(Store.store_id))
        return (
            (await read.exec(counted)).all(),
            (await read.exec(select(func.max(Product.price)))).one(),
            (await read.exec(select(Store).where(col(Store.name) == "nobody"))).first(),
        )

    counted, highest, nobody = endpoint(call)
    assert [tuple(row) for row in counted] == [(STORE["name"], 2)]
    assert (highest, nobody) == (2, None)


def test_objects_that_are_read_can_be_used_later_with_what_was_loaded(endpoint: Endpoint) -> None:
    product = new_product(endpoint.client)

    async def call(read: Read, _: Write) -> Any:
        query = select(Product).options(selectinload(Product.store))
        return (await read.exec(query)).one()

    found = endpoint(call)
    assert (found.name, found.store.name) == (product["name"], STORE["name"])
    assert inspect(found).detached


def test_read_changes_nothing(endpoint: Endpoint) -> None:
    create(endpoint.client, "/todos", {"task": "A"})

    async def call(read: Read, _: Write) -> None:
        for statement in (update(Todo).values(task="B"), text("DELETE FROM todos")):
            with pytest.raises(TypeError, match="ask for Write"):
                await read.exec(statement)  # type: ignore[call-overload]  # which is the point

    endpoint(call)
    assert endpoint.tasks() == ["A"]


def test_read_is_part_of_the_transaction_that_has_begun(endpoint: Endpoint) -> None:
    """Or it would wait for ever in memory, where there is one connection."""

    async def call(read: Read, write: Write) -> Any:
        write.add(Todo(task="A"))
        before = (await read.exec(select(func.count()).select_from(Todo))).one()
        created = await write.create(Todo(task="B"))
        return (
            before,
            (await read.exec(select(col(Todo.task)).order_by(col(Todo.todo_id)))).all(),
            (await read.get_or_404(TodoOut, created.todo_id)).task,
        )

    before, tasks, task = endpoint(call)
    assert (tasks, task) == (["A", "B"], "B")
    assert before in {0, 1}


def test_read_waits_for_the_transaction_that_another_task_begins(endpoint: Endpoint) -> None:
    """Or that would wait for the one connection in memory, and the read for that to end."""

    async def call(read: Read, write: Write) -> Any:
        query = select(literal(1))
        _, result = await asyncio.gather(write.create(Todo(task="A")), read.exec(query))
        return result.one()

    assert endpoint(call) == 1
    assert endpoint.tasks() == ["A"]


@pytest.fixture
def kept_url(database_url: str, migrated_file: Path, tmp_path: Path) -> str:
    """The URL of a database with several connections, which are kept; in memory there is one."""
    if database_url == "sqlite://":
        return f"sqlite:///{copyfile(migrated_file, tmp_path / 'orders.db')}"
    return database_url


def test_snapshot_shows_one_state_whatever_others_write(kept_url: str) -> None:
    app = create_app(Settings(database_url=kept_url))
    endpoint = Endpoint(app)

    async def count(read: Read) -> int:
        return (await read.exec(select(func.count()).select_from(Todo))).one()

    async def call(read: Read, _: Write) -> Any:
        async with read.snapshot():
            before = await count(read)
            async with UnitOfWork(app.state.database) as other:
                other.add(Todo(task="A"))
            within = await count(read)
        return before, within, await count(read)

    with endpoint.client as client:
        assert endpoint(call) == (0, 0, 1)
        assert endpoint(call) == (1, 1, 2)
        empty(client)


def test_snapshot_is_over_after_an_error(endpoint: Endpoint) -> None:
    async def call(read: Read, write: Write) -> None:
        with suppress(KeyError):
            async with read.snapshot():
                await read.exec(select(literal(1)))
                raise KeyError
        write.add(Todo(task="A"))

    for _ in range(12):  # more than there are connections
        endpoint(call)
    assert endpoint.tasks() == ["A"] * 12


def test_snapshot_is_refused_in_a_transaction_that_writes(endpoint: Endpoint) -> None:
    async def call(read: Read, write: Write) -> None:
        await write.create(Todo(task="A"))
        with pytest.raises(RuntimeError, match="before the request writes"):
            async with read.snapshot():
                raise AssertionError

    endpoint(call)


def test_snapshot_is_refused_while_another_task_has_one(kept_url: str) -> None:
    async def call(read: Read, write: Write) -> None:
        refused = asyncio.Event()

        async def enter() -> None:
            try:
                async with read.snapshot():
                    await refused.wait()
            except RuntimeError:
                refused.set()

        await write.database.close_idle()  # so that both wait for a connection
        await asyncio.gather(enter(), enter())

    endpoint = Endpoint(create_app(Settings(database_url=kept_url)))
    with endpoint.client:
        endpoint(call)


# --- Write --------------------------------------------------------------------------------


def test_write_mixes_what_sqlmodel_teaches_with_create_in_any_order(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> Any:
        store = Store.model_validate(STORE, from_attributes=False)
        store.store_id = uuid4()
        write.add(store)
        await write.create(
            Product(product_id=uuid4(), store_id=store.store_id, name="A", price=Decimal(1))
        )
        product = (await write.exec(select(Product))).one()
        product.name = "B"
        many = await write.get_many(ProductOut, [product.product_id])
        await write.exec(update(Store).values(name="Renamed"))
        await write.refresh(store)
        write.add(other := Todo(task="C"))
        await write.flush()
        await write.delete(other)
        await write.create(Todo(task="D"))
        return [one.name for one in many.values()], store.name

    assert endpoint(call) == (["B"], "Renamed")
    assert endpoint.tasks() == ["D"]
    [product] = endpoint.client.get("/products").json()
    assert product["name"] == "B"


def test_created_row_can_be_changed_deleted_and_refreshed(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        first, second, third = [await write.create(Todo(task=task)) for task in "ABC"]
        first.task = "changed"
        await write.delete(second)
        await write.exec(update(Todo).where(col(Todo.task) == "C").values(task="D"))
        await write.refresh(third)
        assert third.task == "D"

    endpoint(call)
    assert endpoint.tasks() == ["changed", "D"]


def test_commit_in_an_endpoint_is_undone_by_what_it_raises_later(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        write.add(Todo(task="A"))
        await write.commit()
        raise HTTPException(409, "No more of these.")

    endpoint(call, 409)
    assert endpoint.tasks() == []


def test_commit_in_an_endpoint_keeps_nothing_with_prefer_rollback(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        write.add(todo := Todo(task="A"))
        await write.commit()
        todo.task = "B"
        await write.commit()
        await write.create(Todo(task="C"))

    endpoint(call, headers={"prefer": "tx=rollback"})
    assert endpoint.tasks() == []
    endpoint(call)
    assert endpoint.tasks() == ["B", "C"]


def test_rollback_undoes_what_was_done_before_it_alone(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        write.add(Todo(task="A"))
        await write.flush()
        await write.create(Todo(task="B"))
        await write.rollback()
        await write.create(Todo(task="C"))
        write.add(Todo(task="D"))

    endpoint(call, headers={"idempotency-key": f"{uuid4()}"})
    assert endpoint.tasks() == ["C", "D"]


@pytest.mark.parametrize("undo", ["rollback", "close"])
def test_transaction_that_is_undone_at_its_end_keeps_nothing(endpoint: Endpoint, undo: str) -> None:
    async def call(_: Read, write: Write) -> None:
        write.add(Todo(task="A"))
        await write.flush()
        await getattr(write, undo)()

    endpoint(call)
    assert endpoint.tasks() == []


def test_nothing_follows_a_flush_that_failed_but_a_rollback(endpoint: Endpoint) -> None:
    async def fail(write: Write) -> None:
        write.add(Todo(task="A"))
        write.add(Todo(task=None))  # type: ignore[arg-type]  # which is the point
        with pytest.raises(IntegrityError):
            await write.flush()

    async def go_on(_: Read, write: Write) -> None:
        await fail(write)
        with pytest.raises(PendingRollbackError):
            await write.create(Todo(task="B"))

    async def roll_back(_: Read, write: Write) -> None:
        await fail(write)
        await write.rollback()
        await write.create(Todo(task="C"))

    endpoint(go_on, 500)
    endpoint(roll_back)
    assert endpoint.tasks() == ["C"]


def test_nothing_follows_a_statement_that_was_cancelled_but_a_rollback(endpoint: Endpoint) -> None:
    """Or a new connection would keep what follows, without what was done before."""

    async def cancel(write: Write) -> None:
        await write.create(Todo(task="A"))
        is_sqlite = write.database.is_sqlite  # which has inserted a row before one can cancel
        work = write.exec(select(Todo)) if is_sqlite else write.create(Todo(task="B"))
        task = asyncio.create_task(work)
        await asyncio.sleep(0)  # the statement is sent
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    async def end(_: Read, write: Write) -> None:
        await cancel(write)

    async def go_on(_: Read, write: Write) -> None:
        await cancel(write)
        write.add(Todo(task="C"))

    async def create_more(_: Read, write: Write) -> None:
        await cancel(write)
        with pytest.raises(PendingRollbackError):
            await write.create(Todo(task="C"))

    async def roll_back(_: Read, write: Write) -> None:
        await cancel(write)
        await write.rollback()
        await write.create(Todo(task="D"))

    for call in (end, go_on, create_more):
        endpoint(call, 500)
        endpoint(call, 500, {"prefer": "tx=rollback"})
    endpoint(roll_back)
    assert endpoint.tasks() == ["D"]


def test_prefer_rollback_answers_as_a_commit_would_after_a_failed_statement(
    endpoint: Endpoint,
) -> None:
    """PostgreSQL commits nothing then; SQLite commits what has not failed."""

    async def call(_: Read, write: Write) -> None:
        with pytest.raises(IntegrityError):
            await write.exec(insert(Todo).values(task=None))

    endpoint.call = call
    [kept, tried] = [
        endpoint.client.post("/called", headers=headers).status_code
        for headers in ({}, {"prefer": "tx=rollback"})
    ]
    assert kept == tried


def test_savepoint_undoes_what_fails_in_it(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        await write.create(Todo(todo_id=1, task="A"))
        for number in (1, 2, 1, 3):
            with suppress(IntegrityError):
                async with write.begin_nested():
                    await write.create(Todo(todo_id=number, task="B"))
        with suppress(IntegrityError):
            async with write.begin_nested():
                write.add(Todo(todo_id=4, task="C"))
                write.add(Todo(todo_id=1, task="C"))
        await write.create(Todo(todo_id=5, task="D"))

    endpoint(call)
    assert endpoint.tasks() == ["A", "B", "B", "D"]


def test_begin_that_an_error_leaves_undoes_what_was_in_it(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        with suppress(KeyError):
            async with write.begin():
                write.add(Todo(task="A"))
                await write.flush()
                raise KeyError
        await write.create(Todo(task="B"))
        raise HTTPException(409, "No more of these.")

    endpoint(call, 409)
    assert endpoint.tasks() == []


def test_begin_that_an_error_leaves_keeps_nothing_when_nothing_follows(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        with suppress(KeyError):
            async with write.begin():
                await write.create(Todo(task="A"))
                raise KeyError

    endpoint(call)
    assert endpoint.tasks() == []


def test_begin_that_is_left_well_is_kept_with_the_answer(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        async with write.begin():
            write.add(Todo(task="A"))

    endpoint(call)
    endpoint(call, headers={"prefer": "tx=rollback"})
    assert endpoint.tasks() == ["A"]


def test_what_was_written_can_be_used_after_the_end(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> Todo:
        write.add(todo := Todo(task="A"))
        return todo

    todo = endpoint(call)
    assert (todo.task, todo.version) == ("A", 1)


# --- Tasks --------------------------------------------------------------------------------


def test_tasks_share_the_transaction(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        await asyncio.gather(*(write.create(Todo(task=task)) for task in "ABCDEF"))

    endpoint(call)
    endpoint(call, headers={"prefer": "tx=rollback"})
    assert sorted(endpoint.tasks()) == list("ABCDEF")


def test_tasks_may_be_the_first_to_use_the_session(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> Any:
        write.add(Todo(task="A"))
        await asyncio.gather(write.flush(), write.exec(select(Todo.task)))
        await write.rollback()
        queries = [write.exec(select(literal(number))) for number in range(4)]
        results, __ = await asyncio.gather(asyncio.gather(*queries), write.create(Todo(task="B")))
        return [result.one() for result in results]

    assert endpoint(call) == [0, 1, 2, 3]
    assert endpoint.tasks() == ["B"]


async def fail_after(steps: int) -> None:
    for _ in range(steps):
        await asyncio.sleep(0)
    raise HTTPException(409, "No more of these.")


def test_task_that_begins_when_the_request_has_failed_holds_no_connection(
    endpoint: Endpoint,
) -> None:
    async def call(_: Read, write: Write) -> None:
        await asyncio.gather(write.create(Todo(task="A")), fail_after(0))

    for _ in range(12):  # more than there are connections
        endpoint(call, 409)
        endpoint(call, 409, {"idempotency-key": f"{uuid4()}"})
    assert endpoint.tasks() == []


def test_task_that_goes_on_when_the_request_has_failed_is_no_part_of_the_next_one(
    endpoint: Endpoint,
) -> None:
    store = new_store(endpoint.client)
    products = [new_product(endpoint.client, store, name=name)["productId"] for name in "ABCDEFGHI"]
    body = OrderIn.model_validate({"items": [{"productId": p, "quantity": 1} for p in products]})

    async def other(_: Read, write: Write) -> None:
        await write.create(Todo(task="A"))

    for steps in range(12):

        async def call(_: Read, write: Write, steps: int = steps) -> None:
            details = await write.get_many(ProductDetail, body.quantities())
            order = OrderDetail.of(body, details, None)
            await asyncio.gather(write.create(order), fail_after(steps))

        endpoint(call, 409)
        endpoint(other)
    assert endpoint.client.get("/orders").json() == []


def test_task_that_goes_on_when_the_request_ends_leaves_the_connection_in_order(
    kept_url: str,
) -> None:
    app = create_app(Settings(database_url=kept_url, shortcuts=False))
    endpoint = Endpoint(app)
    tasks: list[asyncio.Task[Todo]] = []

    async def other(_: Read, write: Write) -> None:
        await asyncio.wait(tasks)
        await write.create(Todo(task="C"))

    with endpoint.client as client:
        for steps in range(6):

            async def call(__: Read, write: Write, steps: int = steps) -> None:
                await write.create(Todo(task="A"))
                tasks.extend(asyncio.create_task(write.create(Todo(task="B"))) for _ in range(3))
                for _ in range(steps):
                    await asyncio.sleep(0)

            endpoint(call)
            endpoint(other)
        assert {type(task.exception()) for task in tasks} <= {NoneType, RuntimeError}  # ended
        empty(client)


@pytest.mark.parametrize("shortcuts", [True, False])
def test_flush_that_goes_on_when_the_request_has_failed_is_no_part_of_the_next_one(
    kept_url: str, shortcuts: bool
) -> None:
    app = create_app(Settings(database_url=kept_url, shortcuts=shortcuts))
    endpoint = Endpoint(app)

    async def flush(write: Write) -> None:
        write.add(Todo(task="B"))
        await write.flush()

    async def other(_: Read, write: Write) -> None:
        await write.create(Todo(task="C"))

    with endpoint.client as client:
        for steps in range(12):

            async def call(_: Read, write: Write, steps: int = steps) -> None:
                await write.create(Todo(task="A"))
                await asyncio.gather(flush(write), fail_after(steps))

            endpoint(call, 409)
            endpoint(other)
        assert endpoint.tasks() == ["C"] * 12
        empty(client)


def test_insert_that_waits_for_its_turn_is_undone_too(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> None:
        await write.create(Store.model_validate(STORE))
        connection = await write.pooled_connection()
        async with connection.running:
            insert = asyncio.create_task(write.create(Store.model_validate(STORE)))
            await asyncio.sleep(0)
            undo = asyncio.create_task(write.rollback())
            for _step in range(20):  # until both wait
                await asyncio.sleep(0)
        await asyncio.gather(insert, undo)

    endpoint(call)
    create(endpoint.client, "/todos", {"task": "A"})  # on the same connection
    assert endpoint.client.get("/stores").json() == []


def test_call_that_ends_what_was_rolled_back_does_not_wait_for_itself(endpoint: Endpoint) -> None:
    async def call_after_block(_: Read, write: Write) -> None:
        with suppress(LookupError):
            async with write.begin():
                write.add(Todo(task="A"))
                await write.flush()
                raise LookupError
        assert not (await write.exec(select(Todo))).all()
        write.add(Todo(task="B"))

    def roll_back(session: Session) -> None:
        session.add(Todo(task="C"))
        session.flush()
        session.rollback()
        session.add(Todo(task="D"))
        session.flush()

    async def call_once(_: Read, write: Write) -> None:
        await write.run_sync(roll_back)

    endpoint(call_after_block)
    endpoint(call_once)
    assert endpoint.tasks() == ["B", "D"]


@pytest.mark.parametrize("error", [None, HTTPException(409)])
@pytest.mark.parametrize("whose", ["request", "session"])
def test_request_whose_time_is_over_keeps_nothing_and_leaves_others_theirs(
    endpoint: Endpoint, monkeypatch: pytest.MonkeyPatch, whose: str, error: HTTPException | None
) -> None:
    tasks: list[asyncio.Task[None]] = []
    database = database_of(endpoint.client)

    async def call(_: Read, write: Write) -> None:
        has_begun, is_over = asyncio.Event(), asyncio.Event()

        def hold(session: Session) -> None:
            session.execute(select(Todo))
            has_begun.set()
            await_only(is_over.wait())

        await write.create(Todo(task="A"))
        tasks.append(asyncio.create_task(write.run_sync(hold)))
        await has_begun.wait()
        database.timeout = 0.3
        if error:
            raise error

    async def create_other(_: Read, write: Write) -> None:
        await write.create(Todo(task="B"))

    async def end_tasks() -> None:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    with monkeypatch.context() as patch:
        patch.setattr(database, "timeout", 0.3 if whose == "request" else 60)
        endpoint(call, 409 if error and whose == "session" else 503)
    endpoint(create_other)
    assert endpoint.tasks() == ["B"]
    assert endpoint.client.portal
    endpoint.client.portal.call(end_tasks)


def test_transaction_ends_at_once_when_a_session_was_called_without_await(
    endpoint: Endpoint,
) -> None:
    async def call(_: Read, write: Write) -> None:
        await write.create(Todo(task="A"))
        with pytest.raises(MissingGreenlet):
            write.sync_session.execute(select(Todo))

    endpoint(call)


# --- Later --------------------------------------------------------------------------------


def test_background_task_opens_a_transaction_of_its_own(endpoint: Endpoint) -> None:
    database = database_of(endpoint.client)

    async def later() -> None:
        async with UnitOfWork(database) as write:
            await write.insert(Todo(task="later"))

    async def call(_: Read, write: Write) -> None:
        write.add(Todo(task="A"))

    endpoint.later = later
    endpoint(call)
    assert endpoint.tasks() == ["A", "later"]
    endpoint(call, headers={"prefer": "tx=rollback"})
    assert endpoint.tasks() == ["A", "later"]


def test_transaction_of_ones_own_is_undone_by_an_error(endpoint: Endpoint) -> None:
    database = database_of(endpoint.client)

    async def call(_: Read, __: Write) -> None:
        with suppress(KeyError):
            async with UnitOfWork(database) as write:
                write.add(Todo(task="A"))
                await write.flush()
                raise KeyError

    endpoint(call)
    assert endpoint.tasks() == []


def test_session_of_a_request_says_that_it_has_ended(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> Any:
        return write

    write = endpoint(call)
    portal = endpoint.client.portal
    assert portal

    async def use() -> None:
        write.add(Todo(task="A"))
        await write.flush()

    for late in (use, lambda: write.exec(select(Todo)), lambda: write.get_many(TodoOut, [1])):
        with pytest.raises(RuntimeError, match="use `async with UnitOfWork"):
            portal.call(late)


def test_nothing_is_added_to_a_session_that_has_ended(endpoint: Endpoint) -> None:
    async def call(_: Read, write: Write) -> Any:
        return write

    write = endpoint(call)
    with pytest.raises(RuntimeError, match="The transaction has ended"):
        write.add(Todo(task="A"))
    with pytest.raises(RuntimeError, match="The transaction has ended"):
        write.add_all([Todo(task="A")])
