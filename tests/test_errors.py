"""Every error is problem+json (RFC 9457), and a refused request changes nothing."""

import asyncio
import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Annotated, Any

import pytest
import sqlalchemy.exc
from fastapi import FastAPI, Query
from fastapi.testclient import TestClient
from sqlalchemy import event, text

from orders_api.app import create_app
from orders_api.models import TodoOut
from orders_api.settings import Settings
from orders_api.web import Page, Read, Router, Write
from tests.conftest import database_of, local_client
from tests.samples import STORE, new_store, problem

JSON = {"content-type": "application/json"}


def test_unknown_path_is_404(client: TestClient) -> None:
    answer = problem(client.get("/shops"), 404, "not-found")
    assert answer == {
        "type": "urn:orders-api:not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is nothing at /shops.",
        "requestId": answer["requestId"],
    }


@pytest.mark.parametrize("character", ["%0A", "%0D%0A", "%00", "%7F", "%C2%85"])
@pytest.mark.parametrize("path", ["/", "/stores", "/stores/", "/stores/{storeId}", "/docs"])
def test_control_character_in_the_path_is_404_and_changes_nothing(
    client: TestClient, path: str, character: str
) -> None:
    store = new_store(client)
    path = path.format(**store) + character
    for method in ("GET", "POST", "PATCH", "DELETE"):
        problem(client.request(method, path, json=STORE), 404, "not-found")
    assert client.get("/stores").json() == [store]


def test_location_and_link_are_uris_whatever_the_path() -> None:
    router = Router(prefix="/shelves")

    @router.post("/{shelf}/todos", status_code=201)
    async def create_shelf_todo(write: Write, shelf: str) -> TodoOut:
        return await write.create(TodoOut(task=shelf))

    @router.get("/{shelf}/todos")
    async def list_shelf_todos(read: Read, page: Annotated[Page, Query()]) -> list[TodoOut]:
        return await read.page(TodoOut, page)

    app = create_app(Settings(database_url="sqlite://"))
    app.include_router(router)
    with local_client(app) as client:
        path = "/shelves/a%20%22b%22%3Cc%3E%3F%C3%A9%F0%9F%98%80/todos"
        for n in (1, 2):
            response = client.post(path)
            assert (response.status_code, response.headers["location"]) == (201, f"{path}/{n}")
        assert response.json()["task"] == 'a "b"<c>?é😀'
        link = client.get(f"{path}?limit=1").headers["link"]
        assert link.startswith(f"<http://localhost{path}?limit=1&after=")


def test_wrong_method_is_405_with_every_allowed_one(client: TestClient) -> None:
    response = client.put("/stores", json=STORE)
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "GET, HEAD, OPTIONS, POST"
    response = client.post("/stores/01a1fab7-dbdc-74d8-8e14-fd8c30a0df91", json=STORE)
    problem(response, 405, "method-not-allowed")
    assert response.headers["allow"] == "DELETE, GET, HEAD, OPTIONS, PATCH"


@pytest.mark.parametrize(
    "content",
    [
        b"{",
        b"{'name': 1}",
        b'{"name": 1,}',
        b'{"name": NaN}',
        b'{"name": -Infinity}',
        b'{"name": "\xff"}',
        b'{"name": "a", "name": "a"}',
        b'{"items": [{"productId": "a", "productId": "b"}]}',
        b"[" * 100_000,
        b'\xef\xbb\xbf{"name": "a"}',
        '{"name": "a"}'.encode("utf-16"),
        b'{"name": "\x01"}',
        b"{} {}",
    ],
)
@pytest.mark.parametrize("path", ["/stores", "/products", "/orders"])
def test_malformed_json_is_400(client: TestClient, path: str, content: bytes) -> None:
    problem(client.post(path, content=content, headers=JSON), 400, "malformed")


@pytest.mark.parametrize("content", [b"[]", b"null", b"1", b'"text"', b"true", b"[{}]"])
def test_body_that_is_no_object_is_422(client: TestClient, content: bytes) -> None:
    problem(client.post("/stores", content=content, headers=JSON), 422, "invalid")


def test_missing_body_is_422(client: TestClient) -> None:
    answer = problem(client.post("/stores"), 422, "invalid")
    assert answer["detail"] == "The body is missing: send a JSON object."


@pytest.mark.parametrize(
    "media_type", ["text/plain", "application/x-www-form-urlencoded", "application/xml", "json"]
)
def test_body_that_is_not_json_is_415(client: TestClient, media_type: str) -> None:
    response = client.post("/stores", content=b"{}", headers={"content-type": media_type})
    problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize(
    "media_type", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"]
)
def test_every_spelling_of_json_is_read(client: TestClient, media_type: str) -> None:
    content = client.build_request("POST", "/", json=STORE).content
    response = client.post("/stores", content=content, headers={"content-type": media_type})
    assert response.status_code == 201


def test_body_over_the_limit_is_413_whether_declared_or_not(client: TestClient) -> None:
    large = b'{"name": "' + b"a" * 1024 * 1024 + b'"}'

    def chunks() -> Iterator[bytes]:
        yield large[:1000]
        yield large[1000:]

    for content in (large, chunks()):
        response = client.post("/stores", content=content, headers=JSON)
        answer = problem(response, 413, "too-large")
        assert answer["detail"] == "The body must not be larger than 1048576 bytes."
    problem(client.request("GET", "/stores", content=large), 413, "too-large")


@pytest.mark.parametrize(
    ("members", "pointer", "detail"),
    [
        ({"name": ""}, "/name", "must have at least 1 character"),
        ({"name": " \t"}, "/name", "must be text that is not blank and has no NUL character"),
        ({"name": "a\0b"}, "/name", "must be text that is not blank and has no NUL character"),
        ({"name": "a" * 201}, "/name", "must have at most 200 characters"),
        ({"name": 7}, "/name", "must be text, not a number (in HTTPie: `name=5`, without a colon)"),
        ({"name": True}, "/name", "must be text"),
        ({"name": ["a"]}, "/name", "must be text"),
        ({"name": None}, "/name", "must not be null"),
        ({"currency": "eur"}, "/currency", "must be three capital letters, such as EUR"),
        ({"currency": "EURO"}, "/currency", "must have at most 3 characters"),
        ({"domain": "books"}, "/domain", "must be a web address with http:// or https://"),
        ({"domain": "ftp://a"}, "/domain", "must be a web address with http:// or https://"),
        ({"email": "a@b@c"}, "/email", "must be an e-mail address"),
        ({"zip_code": "1"}, "/zip_code", "is not known here; did you mean `zipcode`?"),
        ({"a/b~c": 1}, "/a~1b~0c", "is not known here"),
        ({"storeId": "x"}, "/storeId", "is not known here"),
    ],
)
def test_invalid_member_is_refused_by_pointer(
    client: TestClient, members: dict[str, Any], pointer: str, detail: str
) -> None:
    answer = problem(client.post("/stores", json=STORE | members), 422, "invalid")
    assert answer["errors"] == [{"pointer": pointer, "detail": detail}]
    assert client.get("/stores").json() == []


def test_lone_surrogate_is_refused(client: TestClient) -> None:
    content = client.build_request("POST", "/", json=STORE).content
    content = content.replace(b"Corner", rb"\ud800")
    answer = problem(client.post("/stores", content=content, headers=JSON), 422, "invalid")
    detail = "must be text without lone surrogates"
    assert answer["errors"] == [{"pointer": "/name", "detail": detail}]


def test_all_errors_of_a_body_are_named_at_once(client: TestClient) -> None:
    body = STORE | {"city": "", "currency": "e", "x": 1}
    answer = problem(client.post("/stores", json=body), 422, "invalid")
    assert [error["pointer"] for error in answer["errors"]] == ["/city", "/currency", "/x"]
    assert answer["detail"] == "`/city` must have at least 1 character (and 2 more)."


def test_member_in_both_spellings_is_refused(client: TestClient) -> None:
    key = new_store(client)["storeId"]
    body = {"storeId": key, "store_id": key, "name": "A", "price": 1}
    answer = problem(client.post("/products", json=body), 422, "invalid")
    assert answer["errors"] == [
        {"pointer": "/store_id", "detail": "is not known here; did you mean `storeId`?"}
    ]


def test_request_id_of_the_caller_is_kept_if_it_is_sane(client: TestClient) -> None:
    response = client.get("/shops", headers={"x-request-id": "abc-1"})
    assert response.json()["requestId"] == response.headers["x-request-id"] == "abc-1"
    for strange in ("", "a b", "a" * 129, 'a"b', "é"):
        headers = [(b"x-request-id", strange.encode("latin-1"))]
        assert len(client.get("/health", headers=headers).headers["x-request-id"]) == 32


def test_every_answer_has_a_request_id_of_its_own(client: TestClient) -> None:
    ids = {client.get(path).headers["x-request-id"] for path in ("/", "/stores", "/nope")}
    assert len(ids) == 3


def test_log_line_carries_the_request_id(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "orders_api")
    client.get("/stores?q=secret", headers={"x-request-id": "abc-1"})
    [record] = [record for record in caplog.records if "GET" in record.getMessage()]
    assert record.getMessage() == "GET /stores 200"
    assert isinstance(record.args, dict)
    assert record.args["requestId"] == "abc-1"


@pytest.fixture
def failing_client(database_url: str) -> Iterator[TestClient]:
    """An application with endpoints that fail in ways nobody thought of."""
    app = create_app(Settings(database_url=database_url))

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("not today\nbut tomorrow")

    @app.get("/odd")
    async def odd() -> None:
        raise ValueError("no character: \udcff")

    @app.get("/wrong")
    async def wrong() -> None:
        async with app.state.database.reader.connect() as connection:
            await connection.execute(text("SELECT colour FROM stores WHERE name = 'a secret'"))

    router = Router()

    @router.get("/wrong-object")
    async def get_wrong_object() -> TodoOut:
        return TodoOut.model_validate({"task": "A", "complete": "a secret"})

    @router.get("/wrong-type", response_model=TodoOut)
    async def get_wrong_type() -> dict[str, Any]:
        return {"task": "A", "complete": "a secret", "todoId": 1}

    unawaited = wrong()

    @router.get("/no-await", response_model=TodoOut)
    async def get_no_await() -> object:
        return unawaited

    app.include_router(router)
    with local_client(app) as client:
        yield client
    unawaited.close()


ELSEWHERE = {"host": "orders.example"}


def test_unexpected_failure_is_500_without_internals(
    failing_client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    response = failing_client.get("/boom", headers=ELSEWHERE)
    answer = problem(response, 500, "internal")
    assert answer["detail"] == "Something went wrong on the server."
    assert f"The request {answer['requestId']} failed" in caplog.text
    assert "but tomorrow" in caplog.text


def test_unexpected_failure_is_named_to_who_is_trusted_as_local(failing_client: TestClient) -> None:
    answer = problem(failing_client.get("/boom"), 500, "internal")
    assert answer["detail"] == "RuntimeError: not today"
    assert isinstance(failing_client.app, FastAPI)
    failing_client.app.state.settings = Settings(database_url="sqlite://", trust_local=False)
    answer = problem(failing_client.get("/boom"), 500, "internal")
    assert answer["detail"] == "Something went wrong on the server."


def test_wrong_answer_is_named_by_its_member(failing_client: TestClient) -> None:
    detail = problem(failing_client.get("/wrong-type"), 500, "internal")["detail"]
    assert detail == "ResponseValidationError: `response.complete`: Input should be a valid boolean"
    detail = problem(failing_client.get("/wrong-object"), 500, "internal")["detail"]
    assert detail == "ValidationError: `complete`: Input should be a valid boolean"


def test_missing_await_is_named(failing_client: TestClient) -> None:
    detail = problem(failing_client.get("/no-await"), 500, "internal")["detail"]
    assert detail == "ResponseValidationError: `response`: an `await` is missing"


def test_unexpected_failure_is_named_even_if_it_is_no_unicode(
    failing_client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("CRITICAL", "orders_api")  # pytest cannot show such a line
    answer = problem(failing_client.get("/odd"), 500, "internal")
    assert answer["detail"] == r"ValueError: no character: \udcff"


def test_wrong_statement_is_500_where_the_schema_is_that_of_the_code(
    failing_client: TestClient,
) -> None:
    response = failing_client.get("/wrong")
    detail = problem(response, 500, "internal")["detail"]
    assert re.match(r"(Operational|Programming)Error: .*column.* colour|.*colour.* does", detail)
    assert detail.endswith("; has a model changed, without a migration yet?")
    assert "secret" not in response.text
    response = failing_client.get("/wrong", headers=ELSEWHERE)
    assert problem(response, 500, "internal")["detail"] == "Something went wrong on the server."


class ServerDownError(Exception):
    """What a driver raises."""

    def __init__(self, sqlstate: str | None) -> None:
        super().__init__("the server closed the connection unexpectedly, password=secret")
        self.sqlstate = sqlstate


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (sqlalchemy.exc.OperationalError("", {}, ServerDownError(None)), 503, "unavailable"),
        (sqlalchemy.exc.OperationalError("", {}, ServerDownError("57P01")), 503, "unavailable"),
        (sqlalchemy.exc.OperationalError("", {}, ServerDownError("53300")), 503, "unavailable"),
        (sqlalchemy.exc.ProgrammingError("", {}, ServerDownError("42P01")), 503, "not-migrated"),
        (sqlalchemy.exc.DataError("SELECT", {}, ServerDownError("22003")), 422, "invalid"),
        (sqlalchemy.exc.TimeoutError(), 503, "unavailable"),
        (TimeoutError(), 503, "unavailable"),
        (ConnectionRefusedError(), 503, "unavailable"),
        (sqlalchemy.exc.ProgrammingError("", {}, ServerDownError("42601")), 500, "internal"),
    ],
)  # fmt: skip
def test_failure_of_the_database_has_its_answer(
    client: TestClient, error: Exception, status: int, kind: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    engine = database_of(client).reader.sync_engine
    event.listen(engine, "before_cursor_execute", fail)
    try:
        response = client.get("/stores", headers=ELSEWHERE)
    finally:
        event.remove(engine, "before_cursor_execute", fail)
    problem(response, status, kind)
    assert ("retry-after" in response.headers) == (status == 503)
    assert "secret" not in response.text
    assert client.get("/stores").status_code == 200


class RelayedError(Exception):
    """What a driver raises for a server that passes on another one's error."""

    sqlstate = "23505"

    def __init__(self, constraint: str | None, name: str) -> None:
        super().__init__(f'duplicate key value violates unique constraint "{name}"')
        self.diag = SimpleNamespace(constraint_name=constraint)


@pytest.mark.parametrize(
    ("constraint", "name", "members"),
    [
        ("added", "added", "value"),
        ("uq_coupons_code_102008", "uq_coupons_code_102008", "code"),  # of a shard of Citus's
        (None, "uq_coupons_code_102008", "code"),  # which another node has
        (None, "added_102008", "value"),
    ],
)
def test_duplicate_names_the_members_of_a_constraint_that_is_known(
    client: TestClient, constraint: str | None, name: str, members: str
) -> None:
    def fail(*_: object) -> None:
        raise sqlalchemy.exc.IntegrityError("", {}, RelayedError(constraint, name))

    engine = database_of(client).writer.sync_engine
    event.listen(engine, "before_cursor_execute", fail)
    try:
        answer = problem(client.post("/stores", json=STORE), 409, "already-exists")
    finally:
        event.remove(engine, "before_cursor_execute", fail)
    assert answer["detail"] == f"Another one with the same {members} exists already."


def test_hanging_database_is_503_in_the_end() -> None:
    app = create_app(Settings(database_url="sqlite://", database_timeout=0.2))
    with local_client(app) as client:
        assert isinstance(client.app, FastAPI)
        database = database_of(client)
        assert client.portal is not None
        # The one connection of a database in memory is taken, so a request waits for it.
        connection = client.portal.call(take_connection, database.reader)
        response = client.get("/stores")
        problem(response, 503, "unavailable")
        assert response.headers["retry-after"] == "1"
        client.portal.call(connection.close)
        assert client.get("/stores").status_code == 200


async def take_connection(engine: Any) -> Any:
    await asyncio.sleep(0)
    return await engine.connect()
