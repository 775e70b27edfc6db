"""What FastAPI's manual shows works on a Router as it does on an APIRouter beside ours.

Each endpoint is on both, and each application is made with shortcuts and without.
"""

import enum
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path as File
from typing import Annotated, Any

import pytest
from fastapi import (
    APIRouter,
    BackgroundTasks,
    Body,
    Cookie,
    Depends,
    FastAPI,
    Form,
    Header,
    HTTPException,
    Path,
    Query,
    Request,
    Response,
    UploadFile,
    WebSocket,
)
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
    StreamingResponse,
)
from fastapi.testclient import TestClient
from pydantic import BaseModel
from starlette.background import BackgroundTask

from orders_api.app import create_app
from orders_api.settings import Settings
from orders_api.web import Router
from tests.conftest import local_client
from tests.samples import Json, problem

log: list[str] = []
"""What was done that no answer shows."""


class TeamError(Exception):
    pass


class Colour(enum.Enum):
    RED = "red"


class Item(BaseModel):
    name: str
    price: float | None = None
    note: str | None = None


class Named(BaseModel):
    name: str


class Filters(BaseModel):
    tags: list[str] = []
    size: int = 1


@dataclass
class Point:
    x: int


class Shouting(JSONResponse):
    def render(self, content: Any) -> bytes:
        return super().render(content).upper()


# --- Dependencies ---------------------------------------------------------------------------


def first() -> Iterator[str]:
    log.append("first opened")
    try:
        yield "1"
    except HTTPException as error:
        log.append(f"first saw {error.status_code}")
        raise
    finally:
        log.append("first closed")


async def second(before: Annotated[str, Depends(first)]) -> AsyncIterator[str]:
    log.append("second opened")
    yield f"{before}2"
    log.append("second closed")


class Multiplied:
    def __init__(self, by: int) -> None:
        self.by = by

    async def __call__(self, n: int) -> int:
        return n * self.by


def note(text: str) -> None:
    log.append(text)


def noted(text: str) -> Any:
    return Depends(partial(note, text))


# --- Endpoints ------------------------------------------------------------------------------


def add_parameters(router: APIRouter) -> None:
    @router.get("/cookie")
    async def cookie(response: Response, taste: Annotated[str, Cookie()] = "none") -> str:
        response.set_cookie("taste", f"more {taste}")
        return taste

    @router.get("/header")
    async def header(x_team: Annotated[list[str], Header()]) -> list[str]:
        return x_team

    @router.get("/alias")
    async def alias(n: Annotated[int, Query(validation_alias="number")]) -> int:
        return n

    @router.get("/model")
    async def model(filters: Annotated[Filters, Query()]) -> Filters:
        return filters

    @router.get("/beside")
    async def beside(n: int, colour: Colour = Colour.RED) -> dict[str, Any]:
        return {"n": n, "colour": colour}

    @router.get("/number/{n:int}")
    async def number(n: int) -> int:
        return n

    @router.get("/rest/{rest:path}")
    async def rest(rest: str) -> str:
        return rest

    @router.get("/colour/{colour}")
    async def colour(colour: Annotated[Colour, Path()]) -> Colour:
        return colour

    @router.get("/sync/{n}")
    def sync(n: int, request: Request) -> str:
        return f"{n} {request.url_for('sync', n=2).path.rpartition('/')[2]}"


def add_bodies(router: APIRouter) -> None:
    @router.post("/upload")
    async def upload(file: UploadFile, title: Annotated[str, Form()]) -> dict[str, Any]:
        return {"title": title, "name": file.filename, "content": await file.read()}

    @router.post("/form")
    async def form(item: Annotated[Item, Form()]) -> Item:
        return item

    @router.post("/item")
    async def item(item: Item) -> Item:
        return item

    @router.post("/list")
    async def list_(items: list[Item]) -> int:
        return len(items)

    @router.post("/optional")
    async def optional(item: Item | None = None) -> Item | None:
        return item

    @router.post("/embedded")
    async def embedded(item: Annotated[Item, Body(embed=True)], n: Annotated[int, Body()]) -> str:
        return f"{item.name} {n}"

    @router.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())


def add_responses(router: APIRouter) -> None:
    @router.get("/none", response_model_exclude_none=True)
    async def none() -> Item:
        return Item(name="a")

    @router.get("/unset", response_model_exclude_unset=True)
    async def unset() -> Item:
        return Item(name="a", note=None)

    @router.get("/narrowed", response_model=Named)
    async def narrowed() -> Any:
        return {"name": "a", "price": 1}

    @router.get("/missing")
    async def missing() -> Item | None:
        return None

    @router.get("/dataclass")
    async def dataclass_() -> Point:
        return Point(1)

    @router.get("/status", status_code=202)
    async def status(response: Response, n: int) -> int:
        response.status_code = n
        response.headers["x-team"] = "a"
        return n

    @router.delete("/gone", status_code=204)
    async def gone() -> None:
        log.append("gone")

    @router.get("/html", response_class=HTMLResponse)
    async def html() -> str:
        return "<p>"

    @router.get("/text", response_class=PlainTextResponse)
    async def text() -> str:
        return "text"

    @router.get("/shouting", response_class=Shouting)
    async def shouting() -> Item:
        return Item(name="a")

    @router.get("/redirect")
    async def redirect() -> RedirectResponse:
        return RedirectResponse("/elsewhere")

    @router.get("/file", response_class=FileResponse)
    async def file() -> File:
        return File(__file__)

    @router.get("/stream")
    async def stream() -> StreamingResponse:
        return StreamingResponse(iter(["a", "b"]), media_type="text/csv")

    @router.get("/lines")
    async def lines() -> AsyncIterator[Item]:
        yield Item(name="a")
        yield Item(name="b")


def add_dependencies(router: APIRouter) -> None:
    @router.get("/yields")
    async def yields(value: Annotated[str, Depends(second)], fails: bool = False) -> str:
        if fails:
            raise HTTPException(418, "Short", {"x-team": "a"})
        return value

    @router.get("/callable")
    async def callable_(n: Annotated[int, Depends(Multiplied(3))]) -> int:
        return n

    @router.get("/noted", dependencies=[noted("route")])
    async def noted_() -> int:
        return 1

    @router.post("/tasks")
    async def tasks(tasks: BackgroundTasks, fails: bool = False) -> str:
        tasks.add_task(note, "task")
        if fails:
            raise HTTPException(402)
        return "a"

    @router.post("/own-task")
    async def own_task() -> Response:
        return JSONResponse("a", background=BackgroundTask(note, "own task"))

    @router.post("/team-error")
    async def team_error(item: Item) -> Item:
        raise TeamError(item.name)

    @router.get("/team-error-found")
    async def team_error_found() -> int:
        raise TeamError("found")

    @router.post("/team-error-early")
    async def team_error_early(_: Annotated[None, Depends(fail)]) -> int:
        return 1


def fail() -> None:
    raise TeamError("early")


async def answer_team_error(request: Request, error: Exception) -> Response:
    body = (await request.body()).decode()
    return JSONResponse({"error": str(error), "body": body}, 418, {"x-team": "a"})


@pytest.fixture(scope="module", params=[True, False], ids=["shortcuts", "ordinary"])
def team(request: pytest.FixtureRequest) -> Iterator[TestClient]:
    """An application with endpoints, an exception handler and sub-applications of a team."""
    app = create_app(Settings(database_url="sqlite://", shortcuts=request.param))
    app.exception_handler(TeamError)(answer_team_error)
    for router in (
        Router(prefix="/router", dependencies=[noted("router")]),
        APIRouter(prefix="/plain", dependencies=[noted("router")]),
    ):
        for add in (add_parameters, add_bodies, add_responses, add_dependencies):
            add(router)
        app.include_router(router, dependencies=[noted("include")])
    add_early(app)
    add_websocket(app)
    with local_client(app) as client:
        yield client


@pytest.fixture(autouse=True)
def clear_log() -> None:
    log.clear()


# --- Both answer alike ----------------------------------------------------------------------

ITEM = {"name": "a", "price": None, "note": None}
ANSWERS: dict[tuple[str, str], tuple[Json, int, Any]] = {
    ("GET", "/cookie"): ({"headers": {"cookie": "taste=sweet"}}, 200, "sweet"),
    ("GET", "/header"): ({"headers": [("x-team", "a"), ("x-team", "b")]}, 200, ["a", "b"]),
    ("GET", "/alias?number=3"): ({}, 200, 3),
    ("GET", "/model?tags=a&tags=b"): ({}, 200, {"tags": ["a", "b"], "size": 1}),
    ("GET", "/beside?n=2"): ({}, 200, {"n": 2, "colour": "red"}),
    ("GET", "/number/12"): ({}, 200, 12),
    ("GET", "/rest/a/b%20c"): ({}, 200, "a/b c"),
    ("GET", "/colour/red"): ({}, 200, "red"),
    ("GET", "/sync/1"): ({}, 200, "1 2"),
    ("POST", "/upload"): (
        {"files": {"file": ("a.txt", b"abc")}, "data": {"title": "A"}},
        200,
        {"title": "A", "name": "a.txt", "content": "abc"},
    ),
    ("POST", "/form"): ({"data": {"name": "a"}}, 200, ITEM),
    ("POST", "/item"): ({"json": {"name": "a"}}, 200, ITEM),
    ("POST", "/list"): ({"json": [{"name": "a"}, {"name": "b"}]}, 200, 2),
    ("POST", "/optional"): ({}, 200, None),
    ("POST", "/embedded"): ({"json": {"item": {"name": "a"}, "n": 1}}, 200, "a 1"),
    ("POST", "/raw"): ({"content": b"abc"}, 200, 3),
    ("GET", "/none"): ({}, 200, {"name": "a"}),
    ("GET", "/unset"): ({}, 200, {"name": "a", "note": None}),
    ("GET", "/narrowed"): ({}, 200, {"name": "a"}),
    ("GET", "/missing"): ({}, 200, None),
    ("GET", "/dataclass"): ({}, 200, {"x": 1}),
    ("GET", "/status?n=203"): ({}, 203, 203),
    ("DELETE", "/gone"): ({}, 204, b""),
    ("GET", "/html"): ({}, 200, b"<p>"),
    ("GET", "/text"): ({}, 200, b"text"),
    ("GET", "/shouting"): ({}, 200, b'{"NAME":"A","PRICE":NULL,"NOTE":NULL}'),
    ("GET", "/redirect"): ({"follow_redirects": False}, 307, b""),
    ("GET", "/file"): ({}, 200, File(__file__).read_bytes()),
    ("GET", "/stream"): ({}, 200, b"ab"),
    ("GET", "/lines"): (
        {},
        200,
        b'{"name":"a","price":null,"note":null}\n{"name":"b","price":null,"note":null}\n',
    ),
    ("GET", "/yields"): ({}, 200, "12"),
    ("GET", "/callable?n=2"): ({}, 200, 6),
    ("GET", "/noted"): ({}, 200, 1),
    ("POST", "/tasks"): ({}, 200, "a"),
    ("POST", "/own-task"): ({}, 200, "a"),
    ("POST", "/team-error"): (
        {"json": {"name": "a"}},
        418,
        {"error": "a", "body": '{"name":"a"}'},
    ),
    ("GET", "/team-error-found"): ({}, 418, {"error": "found", "body": ""}),
    ("POST", "/team-error-early"): ({"content": b"abc"}, 418, {"error": "early", "body": "abc"}),
}
LOGGED = {
    "/gone": ["gone"],
    "/yields": ["first opened", "second opened", "second closed", "first closed"],
    "/yields?fails=1": ["first opened", "second opened", "first saw 418", "first closed"],
    "/noted": ["route"],
    "/tasks": ["task"],
    "/own-task": ["own task"],
}


@pytest.mark.parametrize("prefix", ["/router", "/plain"])
@pytest.mark.parametrize(("method", "path"), ANSWERS)
def test_endpoint_of_a_team(team: TestClient, prefix: str, method: str, path: str) -> None:
    options, status, expected = ANSWERS[method, path]
    response = team.request(method, prefix + path, **options)
    assert response.status_code == status, response.text
    if isinstance(expected, bytes):
        assert response.content == expected
    else:
        assert response.json() == expected
    assert log == ["include", "router", *LOGGED.get(path, [])]
    team.cookies.clear()
    for name in ("cookie", "status"):
        if path.startswith(f"/{name}"):
            assert {"set-cookie", "x-team"} & response.headers.keys()


@pytest.mark.parametrize("prefix", ["/router", "/plain"])
def test_what_fails(team: TestClient, prefix: str) -> None:
    response = team.get(f"{prefix}/yields?fails=true")
    assert (response.status_code, response.headers["x-team"]) == (418, "a")
    assert log == ["include", "router", *LOGGED["/yields?fails=1"]]
    log.clear()
    assert team.post(f"{prefix}/tasks?fails=true").status_code == 402
    assert log == ["include", "router"]
    problem(team.post(f"{prefix}/item", json={}), 422, "invalid")
    problem(team.post(f"{prefix}/upload", data={"title": "A"}), 422, "invalid")


# --- Before and beside ours -----------------------------------------------------------------


def add_early(app: FastAPI) -> None:
    """Add what stands before our routes, and takes some of their requests."""
    early = APIRouter()

    @early.get("/todos/{rest:path}")
    async def wild(rest: str) -> str:
        return f"wild {rest}"

    @early.get("/coup{rest}")
    async def coup(rest: str) -> str:
        return f"coup {rest}"

    inner = FastAPI()

    @inner.get("/{name}")
    async def mounted(name: str, request: Request) -> str:
        return f"{request.scope['root_path']} {name}"

    early.mount("/users", inner)
    app.include_router(early)
    routes = app.router.routes
    routes.insert(1, routes.pop())  # after what takes the shortcuts


@pytest.mark.parametrize(
    ("method", "path", "status", "content"),
    [
        ("GET", "/todos/5", 200, "wild 5"),
        ("GET", "/todos/", 200, "wild "),
        ("GET", "/todos", 200, []),
        ("PUT", "/todos/5", 404, None),
        ("GET", "/coupons", 200, "coup ons"),
        ("GET", "/coupons/", 200, []),
        ("GET", "/users/ada", 200, "/users ada"),
        ("DELETE", "/users/ada", 405, None),
        ("GET", "/users", 200, []),
    ],
)
def test_first_route_wins(
    team: TestClient, method: str, path: str, status: int, content: object
) -> None:
    response = team.request(method, path, json={} if method == "PUT" else None)
    assert response.status_code == status, response.text
    assert content is None or response.json() == content


def add_websocket(app: FastAPI) -> None:
    router = APIRouter()

    @router.websocket("/stores/{name}")
    async def echo(websocket: WebSocket, name: str) -> None:
        await websocket.accept()
        await websocket.send_text(f"{name} {await websocket.receive_text()}")
        await websocket.close()

    app.include_router(router)


def test_websocket_beside_ours(team: TestClient) -> None:
    with team.websocket_connect("/stores/lisbon") as websocket:
        websocket.send_text("a")
        assert websocket.receive_text() == "lisbon a"
    problem(team.get("/stores/lisbon"), 422, "invalid")


def test_endpoints_of_a_team_are_documented(team: TestClient) -> None:
    paths = team.get("/openapi.json").json()["paths"]
    for _, path in ANSWERS:
        name = path.partition("?")[0].split("/")[1]
        assert {p.split("/")[1] for p in paths if f"/{name}" in p} >= {"router", "plain"}
