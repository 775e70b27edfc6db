"""Examples of CONTRIBUTING.md and docs/out-classes.md, run on both databases."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any
from uuid import UUID, uuid4

import fastapi
import pydantic
import pytest
import sqlalchemy
from fastapi.testclient import TestClient
from sqlalchemy.orm import Mapped, registry
from sqlmodel import Field, Relationship, SQLModel

from orders_api import field_types, models, web
from orders_api.app import create_app
from orders_api.settings import Settings
from tests.conftest import ROOT, database_of, local_client
from tests.samples import new_order, new_product, new_store, problem
from tests.sessions import blocks
from tests.test_contributing import edited, section

ANYWHERE = {"host": "api.example"}  # so that it is no request from the machine itself


@contextmanager
def served(url: str, router: Any) -> Iterator[TestClient]:
    """Serve a router below `/new`."""
    app = create_app(Settings(database_url=url))
    app.include_router(router, prefix="/new")
    with local_client(app) as client:
        yield client


def router_of(source: str) -> Any:
    module: dict[str, Any] = {"__name__": "example"}
    exec(source, module)
    return module["router"]


@pytest.mark.usefixtures("client")  # which leaves no rows
def test_query_of_ones_own_sums_up_and_is_opened_to_everybody(database_url: str) -> None:
    (source,) = blocks("python", section("A query of your own"))
    with served(database_url, router_of(source)) as client:
        store, other = new_store(client), new_store(client)
        a, b = (new_product(client, store, name=n, price=p) for n, p in (("A", 0.1), ("B", 2)))
        new_order(client, (a, 2), (b, 1), (new_product(client, other), 1))
        new_order(client, (a, 1))
        path = f"/new/stores/{store['storeId']}/sales"
        sold = [{"currency": "EUR", "quantity": 4, "amount": 2.3}]
        assert client.get(path).json() == sold
        assert client.get(f"/new/stores/{uuid4()}/sales").json() == []
        problem(client.get(path, headers=ANYWHERE), 401, "unauthorized")
    decorator, listed = blocks("diff", section("Open to everybody"))
    edited((ROOT / "tests" / "test_authorization.py").read_text("utf-8"), listed)
    with served(database_url, router_of(edited(source, decorator))) as client:
        assert client.get(path, headers=ANYWHERE).status_code == 200


@pytest.mark.usefixtures("client")  # which leaves no rows
def test_stream_has_a_line_for_each_object(database_url: str) -> None:
    source = (ROOT / "orders_api" / "routes" / "stores.py").read_text("utf-8")
    *diffs, readme = blocks("diff", section("A stream"))
    for diff in diffs:
        source = edited(source, diff)
    edited((ROOT / "README.md").read_text("utf-8"), readme)
    with served(database_url, router_of(source)) as client:
        stores = [new_store(client, name=name) for name in ("A", "B")]
        response = client.get("/new/stores/export")
        assert response.headers["content-type"] == "application/jsonl"
        lines = response.text.splitlines()
        assert [models.StoreOut.model_validate_json(line).name for line in lines] == ["A", "B"]
        assert client.get(f"/new/stores/{stores[0]['storeId']}").json() == stores[0]


@pytest.mark.usefixtures("client")  # which leaves no rows
def test_csv_has_a_line_for_each_object(database_url: str) -> None:
    (source,) = blocks("python", section("CSV and other formats"))
    with served(database_url, router_of(source)) as client:
        product = new_product(client)
        response = client.get("/new/products.csv")
        assert response.headers["content-type"] == "text/csv; charset=utf-8"
        assert response.text == f"{product['productId']},Os Lusíadas,19.99\r\n"
        operation = client.get("/openapi.json").json()["paths"]["/new/products.csv"]["get"]
        assert "text/csv" in operation["responses"]["200"]["content"]


@pytest.mark.usefixtures("client")  # which leaves no rows
def test_task_writes_after_the_response(database_url: str) -> None:
    (source,) = blocks("python", section("A file, and work after the response"))
    with served(database_url, router_of(source)) as client:
        files = {"file": ("a.png", b"1234")}
        assert client.post("/new/photos", data={"title": "Sea"}, files=files).status_code == 202
        assert [todo["task"] for todo in client.get("/todos").json()] == ["Sea: 4 bytes"]
        problem(client.post("/new/photos", data={"title": "Sea"}), 422, "invalid")


class Shelves(SQLModel, registry=registry()):
    """The base of tables that are not those of the service."""


@pytest.fixture(scope="session")
def shelves() -> dict[str, Any]:
    """What the two blocks of docs/out-classes.md define."""
    module: dict[str, Any] = {
        **vars(field_types),
        **vars(models),
        **vars(web),
        **{name: getattr(sqlalchemy, name) for name in ("Column", "Computed", "String")},
        "Annotated": Annotated,
        "Field": Field,
        "Mapped": Mapped,
        "Path": fastapi.Path,
        "Relationship": Relationship,
        "Shelves": Shelves,
        "UUID": UUID,
        "__name__": "example",
        "pydantic": pydantic,
        "router": web.Router(prefix="/shelves", tags=["shelves"]),
    }
    tables, routes = blocks("python", (ROOT / "docs" / "out-classes.md").read_text("utf-8"))
    tables = tables.replace(", table=True)", ", Shelves, table=True)")
    exec(tables.replace("(SQLModel, ", "("), module)
    exec(routes, module)
    return module


@pytest.mark.usefixtures("client")
def test_answer_to_a_change_shows_what_follows_from_it(
    database_url: str, shelves: dict[str, Any]
) -> None:
    with served(database_url, shelves["router"]) as client:
        assert client.portal is not None
        engine = database_of(client).writer

        async def make_tables() -> None:
            async with engine.begin() as connection:
                await connection.run_sync(Shelves.metadata.create_all)
                topic = {"topic_id": uuid4(), "name": "Sea"}
                await connection.execute(sqlalchemy.insert(shelves["Topic"]), topic)

        async def drop_tables() -> None:
            async with engine.begin() as connection:
                await connection.run_sync(Shelves.metadata.drop_all)

        client.portal.call(make_tables)
        try:
            body = {"name": "a", "topics": ["Sea"]}
            shelf = client.post("/new/shelves", json=body).json()
            path = f"/new/shelves/{shelf.pop('shelfId')}"
            figures = {"bookCount": 0, "pageCount": 0}
            assert shelf == body | figures | {"loudName": "A", "books": []}
            changed = client.patch(path, json={"name": "b"}).json()
            assert changed["loudName"] == "B"
            with_book = client.post(f"{path}/books", json={"title": "Atlas", "pages": 9}).json()
            book = {"title": "Atlas", "pages": 9, "marks": []}
            assert with_book == changed | {"books": [book], "bookCount": 1, "pageCount": 9}
            removed = client.delete(f"{path}/books/Atlas").json()
            assert removed == changed
            sand = {"name": "c", "topics": ["Sand"]}
            problem(client.post("/new/shelves", json=sand), 422, "invalid")
        finally:
            client.portal.call(drop_tables)
