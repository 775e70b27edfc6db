"""Whatever a team adds to the application works as FastAPI says, with shortcuts and without."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from sqlmodel import SQLModel
from starlette.routing import BaseRoute, Host, Match, Route
from starlette.types import Receive, Scope, Send

from orders_api.app import create_app
from orders_api.settings import Settings
from orders_api.web import FORBIDDEN, Problem, Router, routing as web
from tests.conftest import local_client
from tests.samples import problem


@pytest.fixture(
    params=[True, pytest.param(False, marks=pytest.mark.slow)], ids=["shortcuts", "ordinary"]
)
def app(request: pytest.FixtureRequest, migrated_file: Path, tmp_path: Path) -> FastAPI:
    url = f"sqlite:///{shutil.copy(migrated_file, tmp_path)}"  # to migrate takes longer
    return create_app(Settings(database_url=url, shortcuts=request.param))


def raises(error: Exception) -> Callable[[], Any]:
    async def fail() -> int:
        raise error

    return fail


@pytest.mark.parametrize(
    ("key", "error"),
    [
        (KeyError, KeyError("a")),
        (Exception, RuntimeError("a")),
        (500, RuntimeError("a")),
        (HTTPException, HTTPException(404, "a")),
        (402, HTTPException(402, "a")),
        (RequestValidationError, RequestValidationError([])),
        (Problem, Problem(FORBIDDEN, "a")),
    ],
)
def test_exception_handler_of_the_team_is_called(app: FastAPI, key: Any, error: Exception) -> None:
    async def answer(_: Request, found: Exception) -> Response:
        return JSONResponse(type(found).__name__, 418)

    router = Router()
    router.get("/boom")(raises(error))
    app.include_router(router)
    app.add_exception_handler(key, answer)
    with local_client(app) as client:
        response = client.get("/boom")
    assert (response.status_code, response.json()) == (418, type(error).__name__)
    assert "x-request-id" in response.headers


class TeamItem(SQLModel):
    name: str


def test_exception_handler_of_the_team_reads_the_body(app: FastAPI) -> None:
    async def answer(request: Request, error: RequestValidationError) -> Response:
        return JSONResponse([error.body, (await request.body()).decode()], 418)

    router = Router()

    @router.post("/items")
    async def create_item(item: TeamItem) -> TeamItem:
        return item

    app.include_router(router)
    app.exception_handler(RequestValidationError)(answer)
    with local_client(app) as client:
        response = client.post("/items", json={"name": 1})
        assert (response.status_code, response.json()) == (418, [{"name": 1}, '{"name":1}'])
        response = client.post("/items?x=1", json={"name": "a"})
        assert (response.status_code, response.json()) == (418, [None, '{"name":"a"}'])


class TeamError(Exception):
    pass


def test_exception_handler_reads_the_body_that_an_endpoint_for_get_has_read(app: FastAPI) -> None:
    async def answer(request: Request, _: TeamError) -> Response:
        return JSONResponse((await asyncio.wait_for(request.body(), 1)).decode(), 418)

    router = Router()

    @router.get("/items")
    async def list_items(request: Request) -> list[TeamItem]:
        raise TeamError(await request.body())

    app.include_router(router)
    app.exception_handler(TeamError)(answer)
    with local_client(app) as client:
        for body in (b"", b"a"):
            response = client.request("GET", "/items", content=body)
            assert (response.status_code, response.json()) == (418, body.decode())


def test_handler_of_failures_does_not_wait_for_the_body(app: FastAPI) -> None:
    async def answer(request: Request, _: Exception) -> Response:
        with pytest.raises(RuntimeError):  # as Starlette's own
            await request.body()
        return JSONResponse("failed", 500)

    router = Router()

    @router.post("/items")
    async def create_item(item: TeamItem) -> TeamItem:
        raise KeyError(item.name)

    app.include_router(router)
    app.exception_handler(Exception)(answer)
    with local_client(app) as client:
        assert client.post("/items", json={"name": "a"}).json() == "failed"


class ByHeader(BaseRoute):
    """Takes requests by what no path tells."""

    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_ours = (b"x-team", b"a") in scope["headers"]
        return (Match.FULL, {"endpoint": self}) if is_ours else (Match.NONE, {})

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        await JSONResponse("by header")(scope, receive, send)


class ByVersion(Route):
    def matches(self, scope: Scope) -> tuple[Match, Scope]:
        is_new = (b"x-version", b"2") in scope["headers"]
        return super().matches(scope) if is_new else (Match.NONE, {})


def test_routes_of_other_kinds_come_first(app: FastAPI) -> None:
    async def get_store(_: Request) -> Response:
        return JSONResponse("version 2")

    other = FastAPI()
    other.get("/stores")(raises(HTTPException(418)))
    app.router.routes[1:1] = [
        ByVersion("/stores/{n}", get_store),
        Host("other.example", other),
        ByHeader(),
    ]
    with local_client(app) as client:
        assert client.get("/stores").json() == []
        assert client.get("/stores", headers={"x-team": "a"}).json() == "by header"
        assert client.get("/stores", headers={"host": "other.example"}).status_code == 418
        assert client.get("/stores/1", headers={"x-version": "2"}).json() == "version 2"
        problem(client.get("/stores/1"), 422, "invalid")


class Marked(web.Route):
    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"]["mark"] = "marked"
        await super().handle(scope, receive, send)


def test_route_class_of_the_team_handles_its_requests(app: FastAPI) -> None:
    async def get_mark(request: Request) -> str:
        return str(getattr(request.state, "mark", ""))

    router = Router()
    router.add_api_route("/mark", get_mark, route_class_override=Marked)
    app.include_router(router)
    with local_client(app) as client:
        assert client.get("/mark").json() == "marked"


def test_application_is_mounted_in_another(app: FastAPI) -> None:
    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async with app.router.lifespan_context(app):
            yield

    outer = FastAPI(lifespan=lifespan)
    outer.mount("/shop", app)
    with local_client(outer) as client:
        response = client.post("/shop/todos", json={"task": "Wait"})
        assert response.headers["location"] == "/shop/todos/1"
        assert client.get(response.headers["location"]).json() == response.json()
        assert client.get("/shop/todos/").json() == [response.json()]
        assert client.get("/todos").status_code == 404
        response = client.get("/shop/products/import")
        problem(response, 405, "method-not-allowed")
        assert response.headers["allow"] == "OPTIONS, POST"
        lines = b"\n" * 2**21  # more than other bodies may have
        headers = {"Content-Type": "application/x-ndjson"}
        assert client.post("/shop/products/import", content=lines, headers=headers).is_success


def test_frontend_is_asked_last(app: FastAPI, tmp_path: Path) -> None:
    (tmp_path / "index.html").write_text("front")
    (tmp_path / "stores").write_text("front")
    app.frontend("/", directory=tmp_path)
    with local_client(app) as client:
        assert client.get("/stores").json() == []
        assert client.get("/index.html").text == "front"


def test_http_exception_keeps_status_detail_and_headers(app: FastAPI) -> None:
    statuses = [402, 404, 405, 409, 410, 418, 451, 503]
    router = Router()
    for status in statuses:
        error = HTTPException(status, "No such tag", {"X-Reason": "a"})
        router.get(f"/boom/{status}")(raises(error))
    app.include_router(router)
    with local_client(app) as client:
        for status in statuses:
            response = client.get(f"/boom/{status}")
            answer = response.json()
            assert (response.status_code, answer["status"]) == (status, status)
            assert (answer["type"], answer["detail"]) == ("about:blank", "No such tag")
            assert response.headers["x-reason"] == "a"


def test_answer_without_a_schema_is_sent_whole(app: FastAPI) -> None:
    router = Router()

    @router.get("/plain")
    async def get_plain():  # type: ignore[no-untyped-def]  # as a team may write it
        return {"a": 1}

    @router.get("/none", response_model=None)
    async def get_none() -> dict[str, int]:
        return {"a": 1}

    app.include_router(router)
    with local_client(app) as client:
        assert client.get("/plain").json() == {"a": 1}
        assert client.get("/none").json() == {"a": 1}


async def opened(log: list[str]) -> AsyncIterator[str]:
    log.append("open")
    yield "a"
    log.append("closed")


def test_dependencies_with_yield_are_closed(app: FastAPI) -> None:
    log: list[str] = []

    async def in_task() -> AsyncIterator[str]:
        async for value in opened(log):
            yield value

    def in_thread() -> Iterator[str]:
        log.append("open")
        yield "b"
        log.append("closed")

    router = Router()

    @router.get("/yield/{fails}")
    async def get_yield(
        fails: bool, a: Annotated[str, Depends(in_task)], b: Annotated[str, Depends(in_thread)]
    ) -> str:
        if fails:
            raise HTTPException(404, "No such thing")
        return a + b

    app.include_router(router)
    with local_client(app) as client:
        assert client.get("/yield/false").json() == "ab"
        assert log == ["open", "open", "closed", "closed"]
        assert client.get("/yield/true").json()["detail"] == "No such thing"


def test_several_values_cookies_status_and_background_tasks(app: FastAPI) -> None:
    done: list[str] = []
    router = Router()

    @router.post("/several", status_code=201)
    async def create_several(
        tasks: BackgroundTasks, response: Response, tag: Annotated[list[str], Query()]
    ) -> list[str]:
        tasks.add_task(done.append, "task")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        response.status_code = 202
        return tag

    app.include_router(router)
    with local_client(app) as client:
        response = client.post("/several?tag=x&tag=y")
        assert (response.status_code, response.json()) == (202, ["x", "y"])
        assert len(response.headers.get_list("set-cookie")) == 2
        assert done == ["task"]
        client.post("/several?tag=x", headers={"prefer": "tx=rollback"})
        assert done == ["task"]


def test_nested_paths_and_public_endpoints(app: FastAPI) -> None:
    router = Router(prefix="/shelves")

    @router.get("/{shelf}/books/{book}", public=True)
    async def get_book(shelf: str, book: int) -> dict[str, str]:
        return {shelf: str(book)}

    @router.get("/{shelf}")
    async def get_shelf(shelf: str) -> str:
        return shelf

    app.include_router(router)
    with local_client(app) as client:
        away = {"host": "api.example"}
        assert client.get("/shelves/a/books/1", headers=away).json() == {"a": "1"}
        problem(client.get("/shelves/a", headers=away), 401, "unauthorized")
        assert client.get("/openapi.json").status_code == 200


def test_response_without_a_table_is_answered_and_documented(app: FastAPI) -> None:
    class Weather(SQLModel):
        degrees: int

    router = Router(prefix="/weather")

    @router.get("")
    async def get_weather() -> Weather:
        return Weather(degrees=3)

    app.include_router(router)
    with local_client(app) as client:
        assert client.get("/weather").json() == {"degrees": 3}
        assert client.get("/openapi.json").status_code == 200


def test_websocket_on_a_router_is_refused() -> None:
    with pytest.raises(TypeError, match="no WebSockets"):
        Router().websocket("/ws")(raises(RuntimeError()))


def test_plain_endpoint_of_fastapi_is_documented(app: FastAPI) -> None:
    @app.get("/ping/{number}")
    async def ping(number: int) -> int:
        return number

    with local_client(app) as client:
        assert client.get("/ping/1").json() == 1
        assert "HTTPValidationError" not in client.get("/openapi.json").text
