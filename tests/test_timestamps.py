"""`createdAt` and `updatedAt`, whatever writes a row, and lists of what was changed."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import col, insert, select, update
from uuid_utils.compat import uuid7

from orders_api.app import create_app
from orders_api.models import Store, StoreOut, Todo, now
from orders_api.settings import Settings
from orders_api.storage.unit_of_work import UnitOfWork
from tests.conftest import database_of, local_client
from tests.resources import OPERATIONS, RESOURCES, Resource, resolved
from tests.samples import STORE, Json, create, new_coupon, new_product, new_store, problem

TIMES = ("createdAt", "updatedAt")


def shown_members(resource: Resource) -> Json:
    """Return the schema of each member of an answer."""
    answer = OPERATIONS[f"GET {resource.item}"]["responses"]["200"]
    return dict(resolved(answer["content"]["application/json"]["schema"])["properties"])


TIMED = [resource for resource in RESOURCES if "updatedAt" in shown_members(resource)]
each_timed = pytest.mark.parametrize("resource", TIMED, ids=str)


def time_of(one: Json, name: str = "updatedAt") -> datetime:
    return datetime.fromisoformat(one[name])


def written(client: TestClient, work: Callable[[UnitOfWork], Awaitable[Any]]) -> Any:
    """Do something in a transaction past the API."""

    async def run() -> Any:
        async with UnitOfWork(database_of(client)) as write:
            return await work(write)

    assert client.portal is not None
    return client.portal.call(run)


# --- Whatever writes ----------------------------------------------------------------------


@each_timed
def test_change_moves_updated_at_alone(client: TestClient, resource: Resource) -> None:
    before = now()
    made = resource.new(client)
    path = resource.path(made)
    assert before <= time_of(made, "createdAt") == time_of(made) <= now()
    assert made["createdAt"].endswith("Z")
    assert client.get(path).json() == made

    before = now()
    answer = client.patch(path, json=resource.change())
    changed = answer.json()
    assert before <= time_of(changed) <= now()
    assert changed["createdAt"] == made["createdAt"]
    found = client.get(path)
    assert (found.json(), found.headers["etag"]) == (changed, answer.headers["etag"])


@each_timed
def test_change_of_nothing_leaves_the_etag_as_it_is(client: TestClient, resource: Resource) -> None:
    path = resource.path(resource.new(client))
    changed = client.patch(path, json=resource.change())
    same = {n: v for n, v in changed.json().items() if n in resource.members("PATCH")}
    state = {"if-match": changed.headers["etag"]}
    for body in ({}, same):
        for method in resource.methods & {"PATCH", "PUT"}:
            answer = client.request(method, path, json=body, headers=state)
            assert (answer.status_code, answer.json()) == (200, changed.json())
            assert answer.headers["etag"] == client.get(path).headers["etag"] == state["if-match"]


@each_timed
def test_client_cannot_set_a_time(client: TestClient, resource: Resource) -> None:
    path = resource.path(resource.new(client))
    for name in TIMES:
        time = {name: "2020-01-01T00:00:00Z"}
        answers = [
            client.post(resource.collection, json=resource.body(client) | time),
            client.patch(path, json=time),
        ]
        for answer in answers:
            assert problem(answer, 422, "invalid")["errors"][0]["pointer"] == f"/{name}"


def test_every_way_to_write_a_row_sets_its_times(client: TestClient) -> None:
    async def add(write: UnitOfWork) -> None:
        write.add(Store.model_validate(STORE))

    async def insert_object(write: UnitOfWork) -> None:
        await write.insert(StoreOut.model_validate(STORE))

    async def insert_rows(write: UnitOfWork) -> None:
        await write.exec(insert(Store).values(**STORE))

    for work in (add, insert_object, insert_rows):
        before = now()
        written(client, work)
        one = client.get("/stores").json()[-1]
        assert before <= time_of(one, "createdAt") <= time_of(one) <= now()
    assert len(client.get("/stores").json()) == 3


def test_every_way_to_change_a_row_sets_updated_at(client: TestClient) -> None:
    path = f"/stores/{new_store(client)['storeId']}"
    same_city = col(Store.city) == "Lisbon"

    async def set_member(write: UnitOfWork) -> None:
        (await write.exec(select(Store))).one().phone = "1"

    async def update_rows(write: UnitOfWork) -> None:
        await write.exec(update(Store).where(same_city).values(phone="2"))

    async def update_table(write: UnitOfWork) -> None:
        table: Any = Store
        await write.exec(table.__table__.update().values(phone="3"))

    for number, work in enumerate((set_member, update_rows, update_table), 1):
        before = now()
        written(client, work)
        one = client.get(path).json()
        assert one["phone"] == str(number)
        assert time_of(one, "createdAt") < before <= time_of(one) <= now()


def test_redemption_changes_the_coupon(client: TestClient) -> None:
    coupon, product = new_coupon(client), new_product(client)
    before = now()
    items = [{"productId": product["productId"], "quantity": 1}]
    create(client, "/orders", {"items": items, "couponCode": coupon["code"]})
    (used,) = client.get("/coupons", params={"updatedSince": before.isoformat()}).json()
    assert (used["remainingCount"], used["createdAt"]) == (99, coupon["createdAt"])


@pytest.mark.parametrize("shortcuts", [True, False])
@pytest.mark.parametrize("zone", ["Pacific/Kiritimati", "America/Los_Angeles"])
@pytest.mark.usefixtures("client")  # which deletes the rows
def test_times_at_the_ends_of_the_calendar_are_shown_wherever_the_database_is(
    database_url: str, zone: str, shortcuts: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGTZ", zone)
    monkeypatch.setenv("PGDATESTYLE", "SQL, DMY")
    times = ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"]
    settings = Settings(database_url=database_url, shortcuts=shortcuts)
    with local_client(create_app(settings)) as client:
        for time in times:
            members = STORE | {"store_id": uuid7(), "created_at": time}
            written(client, lambda write: write.insert(StoreOut.model_validate(members)))  # noqa: B023 - it runs now
        found = client.get("/stores")
        assert found.status_code == 200, found.text
        assert [time_of(one, "createdAt") for one in found.json()] == [
            datetime.fromisoformat(time) for time in times
        ]


# --- What was changed ---------------------------------------------------------------------


LISTS = [
    name.removeprefix("GET ")
    for name, operation in OPERATIONS.items()
    if "updatedSince" in {parameter["name"] for parameter in operation.get("parameters", ())}
]


def test_every_list_of_what_says_when_it_was_changed_takes_updated_since() -> None:
    assert set(LISTS) == {one.collection for one in TIMED} | {"/stores/{storeId}/products"}


@each_timed
def test_list_is_in_the_order_of_change(client: TestClient, resource: Resource) -> None:
    first, second, third = (resource.new(client) for _ in range(3))
    changed = client.patch(resource.path(first), json=resource.change()).json()

    def since(time: datetime) -> list[Json]:
        params = {"updatedSince": time.isoformat()}
        found: list[Json] = client.get(resource.collection, params=params).json()
        return found

    # The time itself included, so that nothing of the same moment is left out.
    assert since(time_of(second)) == [second, third, changed]
    assert since(time_of(changed)) == [changed]
    assert since(time_of(changed) + timedelta(microseconds=1)) == []
    assert since(now() - timedelta(days=1)) == [second, third, changed]
    assert client.get(resource.collection).json() == [changed, second, third]


def test_pages_go_on_behind_the_last_change(client: TestClient) -> None:
    todos = [create(client, "/todos", {"task": str(n)}) for n in range(5)]
    params = {"updatedSince": todos[1]["updatedAt"], "limit": "2"}
    page = client.get("/todos", params=params, headers={"prefer": "count=exact"})
    assert (page.json(), page.headers["x-total-count"]) == (todos[1:3], "4")
    # What is changed meanwhile comes again, at the end.
    moved = client.patch(f"/todos/{todos[1]['todoId']}", json={"complete": True}).json()
    found = []
    while "next" in page.links:
        page = client.get(page.links["next"]["url"])
        found += page.json()
    assert found == [*todos[3:], moved]


def test_rows_of_one_moment_are_neither_lost_nor_repeated(client: TestClient) -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)

    async def add(write: UnitOfWork) -> None:
        write.add_all(Todo(task=str(n), updated_at=moment) for n in range(5))

    written(client, add)
    query: dict[str, str] = {"updatedSince": "2026-01-01T00:00:00Z", "limit": "2"}
    pages = [client.get("/todos", params=query)]
    while "next" in pages[-1].links:
        pages.append(client.get(pages[-1].links["next"]["url"]))
    assert [[one["task"] for one in page.json()] for page in pages] == [
        ["0", "1"],
        ["2", "3"],
        ["4"],
    ]


def test_changes_are_filtered_searched_and_sorted_as_others(client: TestClient) -> None:
    store = new_store(client)
    a, b, c = (
        new_product(client, store, name=n, price=p) for n, p in (("A", 3), ("B", 2), ("C", 1))
    )
    since = {"updatedSince": b["updatedAt"]}
    queries: dict[tuple[str, str], list[Json]] = {
        ("sort", "price"): [c, b],
        ("sort", "-name"): [c, b],
        ("minPrice", "2"): [b],
        ("q", "c"): [c],
    }
    for (name, value), expected in queries.items():
        assert client.get("/products", params=since | {name: value}).json() == expected
    assert client.get(f"/stores/{store['storeId']}/products", params=since).json() == [b, c]
    link = client.get("/products", params=since | {"limit": "1"}).links["next"]["url"]
    problem(client.get(link.replace("updatedSince", "since")), 422, "invalid")
    other_order = client.get("/products", params={"after": link.partition("after=")[2]})
    assert problem(other_order, 422, "invalid")["errors"][0]["parameter"] == "after"
    assert client.get("/products").json() == [a, b, c]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize(
    "time", ["", "yesterday", "2026-01-01T00:00:00", "1767225600", "2026-01-01"]
)
def test_what_is_no_time_is_refused(client: TestClient, path: str, time: str) -> None:
    path = path.format(storeId=new_store(client)["storeId"])
    answer = client.get(path, params={"updatedSince": time})
    assert problem(answer, 422, "invalid")["errors"][0]["parameter"] == "updatedSince"
