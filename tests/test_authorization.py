"""Who may do what: every operation in every case, compared with one table."""

import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import update
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.requests import Request

from orders_api.app import create_app
from orders_api.models import Token
from orders_api.settings import Settings
from orders_api.web.security import is_local
from tests.conftest import database_of, local_client
from tests.resources import OPERATIONS
from tests.samples import new_user, problem, sign_in

# What is open to everybody; all else needs a token or a request from the machine itself.
PUBLIC = {
    "GET /",
    "GET /health",
    "GET /ready",
    "GET /stores",
    "GET /stores/{storeId}",
    "GET /stores/{storeId}/products",
    "GET /products",
    "GET /products/{productId}",
    "POST /token",
}
KEY = "01a1fab7-dbdc-74d8-8e14-fd8c30a0df91"


@dataclass
class Case:
    """A way to send a request, and whether it opens what is not public."""

    opens: bool
    headers: dict[str, str] = field(default_factory=dict)


AWAY = {"host": "api.example"}
CASES = {
    "local": Case(opens=True),
    "forwarded": Case(opens=False, headers={"x-forwarded-for": "127.0.0.1"}),
    "foreign host": Case(opens=False, headers={"host": "evil.example"}),
    "foreign page": Case(opens=False, headers={"origin": "https://evil.example"}),
    "no token": Case(opens=False, headers=AWAY),
    "bad token": Case(opens=False, headers=AWAY | {"authorization": "Bearer nonsense"}),
    "another scheme": Case(opens=False, headers=AWAY | {"authorization": "Basic YTpi"}),
    "expired token": Case(opens=False, headers=AWAY | {"authorization": "Bearer {expired}"}),
    "revoked token": Case(opens=False, headers=AWAY | {"authorization": "Bearer {revoked}"}),
    "good token": Case(opens=True, headers=AWAY | {"authorization": "Bearer {good}"}),
}


async def let_tokens_expire(client: TestClient) -> None:
    async with AsyncSession(database_of(client).writer) as session:
        await session.exec(update(Token).values(expires=datetime.now(UTC)))
        await session.commit()


@pytest.fixture
def tokens(client: TestClient) -> dict[str, str]:
    assert client.portal is not None
    new_user(client, "ada")
    expired = sign_in(client, "ada")
    client.portal.call(let_tokens_expire, client)
    revoked = sign_in(client, "ada")
    client.delete("/token", headers=AWAY | {"authorization": f"Bearer {revoked}"})
    return {"expired": expired, "revoked": revoked, "good": sign_in(client, "ada")}


def test_every_operation_opens_to_whom_it_should(
    client: TestClient, tokens: dict[str, str], subtests: pytest.Subtests
) -> None:
    """A request that is let in fails for another reason here, if at all: it has no body."""
    for name, case in CASES.items():
        with subtests.test(name):
            headers = {name: value.format(**tokens) for name, value in case.headers.items()}
            check_operations(client, headers, case.opens)


def check_operations(client: TestClient, headers: dict[str, str], opens: bool) -> None:
    opened = {}
    for operation in OPERATIONS:
        method, path = operation.split()
        path = re.sub(r"\{\w+\}", KEY, path)
        if operation == "DELETE /token":
            continue  # ends the very token that the others need; tested below
        response = client.request(method, path, headers=headers)
        # A user may do nothing to another one: 403 means that the sign-in was accepted.
        opened[operation] = response.status_code != 401
        if response.status_code == 401:
            assert response.headers["www-authenticate"] == "Bearer"
            assert "POST /token" in problem(response, 401, "unauthorized")["detail"]
    assert opened == {operation: opens or operation in PUBLIC for operation in opened}


def test_signing_out_needs_a_good_token(client: TestClient, tokens: dict[str, str]) -> None:
    statuses = {
        case: client.delete(
            "/token", headers={n: v.format(**tokens) for n, v in CASES[case].headers.items()}
        ).status_code
        for case in CASES
    }
    assert statuses == {case: 204 if case == "good token" else 401 for case in CASES}


def test_trust_in_the_machine_itself_can_be_taken_away() -> None:
    settings = Settings(database_url="sqlite://", trust_local=False)
    with local_client(create_app(settings)) as client:
        problem(client.get("/orders"), 401, "unauthorized")
        problem(client.post("/stores", json={}), 401, "unauthorized")
        assert client.get("/stores").status_code == 200


def test_refusal_comes_before_anything_else_is_looked_at(client: TestClient) -> None:
    response = client.post("/stores?x=1", content=b"{", headers=AWAY)
    problem(response, 401, "unauthorized")
    problem(client.get("/orders/nonsense", headers=AWAY), 401, "unauthorized")


def test_docs_are_open_and_describe_the_sign_in(client: TestClient) -> None:
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path, headers=AWAY).status_code == 200
    document = client.get("/openapi.json").json()
    assert document["components"]["securitySchemes"] == {
        "bearer": {
            "type": "oauth2",
            "flows": {"password": {"tokenUrl": "token", "scopes": {}}},
        }
    }
    secured = {
        f"{method.upper()} {path}"
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if operation.get("security") == [{"bearer": []}]
    }
    assert secured == OPERATIONS.keys() - PUBLIC


def request(peer: str | None = "127.0.0.1", **headers: str | list[str]) -> Request:
    raw = [
        (name.replace("_", "-").encode(), value.encode())
        for name, values in ({"host": "localhost:8000"} | headers).items()
        for value in ([values] if isinstance(values, str) else values)
    ]
    client: Any = (peer, 50000) if peer else None
    return Request({"type": "http", "headers": raw, "client": client})


@pytest.mark.parametrize(
    "local",
    [
        request(),
        request(peer="::1", host="[::1]:8000"),
        request(peer="127.8.9.1", host="127.0.0.1"),
        request(peer="::ffff:127.0.0.1", host="LOCALHOST"),
        request(origin="http://localhost:8000"),
        request(sec_fetch_site="same-origin", origin="http://localhost:8000"),
        request(sec_fetch_site="none"),
    ],
)
def test_request_from_the_machine_itself_is_local(local: Request) -> None:
    assert is_local(local)


@pytest.mark.parametrize(
    "foreign",
    [
        request(peer=None),
        request(peer="192.0.2.1"),
        request(peer="10.0.0.1"),
        request(peer="::ffff:10.0.0.1"),
        request(peer="testclient"),
        request(host="evil.example"),
        request(host="localhost.evil.example"),
        request(host="evil.example:8000@localhost"),
        request(host="localhost@evil.example"),
        request(host="127.0.0.1.evil.example"),
        request(host="localhost:x"),
        request(host="0.0.0.0:8000"),
        request(host="["),
        request(host=""),
        request(host=[]),
        request(host=["localhost", "evil.example"]),
        request(forwarded="for=127.0.0.1"),
        request(x_forwarded_for="127.0.0.1"),
        request(x_forwarded_host="localhost"),
        request(x_forwarded_proto="http"),
        request(x_forwarded_anything=""),
        request(origin="https://evil.example"),
        request(origin="null"),
        request(origin=""),
        request(origin="http://localhost:3000"),
        request(origin="http://localhost:8000.evil.example"),
        request(origin=["http://localhost:8000", "https://evil.example"]),
        request(sec_fetch_site="cross-site"),
        request(sec_fetch_site="same-site"),
        request(sec_fetch_site=["none", "cross-site"]),
    ],
)
def test_request_that_might_come_from_elsewhere_is_not_local(foreign: Request) -> None:
    assert not is_local(foreign)
