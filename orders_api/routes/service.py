"""The service itself: where things are, and whether it is well."""

import re
from html import escape
from pathlib import Path
from string import Template
from typing import Any, Literal, get_origin

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse
from fastapi.routing import iter_route_contexts
from pydantic import BaseModel

from orders_api.web import Router, check_readiness

router = Router(tags=["service"])

PAGE = Template((Path(__file__).parents[1] / "index.html").read_text("utf-8"))
EXAMPLE: Any = {
    "status": "ok",
    "docs": "/docs",
    "redoc": "/redoc",
    "openapi": "/openapi.json",
    "health": "/health",
    "ready": "/ready",
    "stores": "/stores",
    "products": "/products",
}
AS_PAGE = {"text/html": {"schema": {"type": "string"}}}
WEIGHT = re.compile(r";\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)\s*$")


class Index(BaseModel):
    """Where everything is: what stands here, and each collection by its name."""

    model_config = {"extra": "allow", "json_schema_extra": {"examples": [EXAMPLE]}}
    __pydantic_extra__: dict[str, str]

    status: Literal["ok"] = "ok"
    docs: str
    redoc: str
    openapi: str
    health: str
    ready: str


class Health(BaseModel):
    status: Literal["ok"] = "ok"


@router.get("/", public=True, response_model=Index, responses={200: {"content": AS_PAGE}})
async def index(request: Request, response: Response) -> Index | HTMLResponse:
    """Say where everything is: as a page to browsers and all who prefer HTML, else as JSON."""
    root = request.scope["path"].rstrip("/")
    names = [name for name in Index.model_fields if name != "status"]
    paths = {name: f"{root}/{name}" for name in names} | collections(request.app)
    found = Index.model_validate(paths | {"openapi": f"{root}/openapi.json"})
    response.headers["Vary"] = "Accept"
    accept = ", ".join(request.headers.getlist("accept"))
    if weight(accept, "text/html") > weight(accept, "application/json"):
        return HTMLResponse(page(request, root, found), headers=dict(response.headers))
    return found


def weight(accept: str, media_type: str) -> float:
    """Tell how much a client wants a media type, by an `Accept` header (RFC 9110, 12.5.1)."""
    ranges = ["*/*", media_type.partition("/")[0] + "/*", media_type]
    weights: dict[int, float] = {}
    for item in accept.lower().split(","):
        name = item.partition(";")[0].strip()
        if name in ranges:
            found = WEIGHT.search(item)
            weights[ranges.index(name)] = float(found[1]) if found else 1.0
    return weights[max(weights)] if weights else 0.0


def page(request: Request, root: str, found: Index) -> str:
    def links(paths: dict[str, str]) -> str:
        return "".join(f'<li><a href="{escape(paths[n])}">{escape(n)}</a></li>' for n in paths)

    paths = found.model_dump()
    return PAGE.substitute(
        root=escape(root),
        base=escape(f"{request.url.scheme}://{request.url.netloc}{root}"),
        pages=links({name: paths[name] for name in ("docs", "redoc", "openapi")}),
        checks=links({name: paths[name] for name in ("health", "ready")}),
        collections=links(found.model_extra or {}),
    )


def collections(app: FastAPI) -> dict[str, str]:
    """Return what answers with a list and has no parameter in its path, by its name."""
    prefix = app.state.settings.api_prefix
    return {
        str(route.path).removeprefix(f"{prefix}/"): str(route.path)
        for route in iter_route_contexts(app.routes)
        if get_origin(getattr(route, "response_model", None)) is list
        and route.include_in_schema
        and not route.param_convertors
    }


@router.get("/health", public=True)
async def get_health() -> Health:
    """Tell that the process lives; the database is not asked."""
    return Health()


@router.get("/ready", public=True)
async def get_ready(request: Request) -> Health:
    """Tell whether requests can be served: the database answers and its schema is current."""
    await check_readiness(request)
    return Health()
