"""Users and signing in."""

import os
import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from fastapi.testclient import TestClient
from sqlmodel import select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from orders_api.app import create_app
from orders_api.models import SignInFailures, Token, User
from orders_api.settings import Settings
from orders_api.web import passwords
from tests.conftest import database_of, local_client
from tests.samples import (
    Json,
    new_user,
    problem,
    sign_in,
    without_times,
)

PASSWORD = "correct horse"


async def rows(client: TestClient, table: Any) -> list[Any]:
    async with AsyncSession(database_of(client).reader) as session:
        return list(await session.exec(select(table)))


def stored(client: TestClient, table: Any) -> list[Any]:
    assert client.portal is not None
    return client.portal.call(rows, client, table)


def test_password_is_never_answered_nor_logged_nor_stored(
    client: TestClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    response = client.post("/users", json={"username": "ada", "password": PASSWORD})
    user = response.json()
    assert response.status_code == 201
    assert response.headers["location"] == f"/users/{user['userId']}"
    assert without_times(user) == {"username": "ada", "userId": user["userId"]}
    path = f"/users/{user['userId']}"
    assert client.get(path).json() == user
    assert client.get("/users").json() == [user]
    changed = client.patch(path, json={"password": PASSWORD + "!"}).json()
    assert without_times(changed) == without_times(user)
    token = sign_in(client, "ada", PASSWORD + "!")
    problem(client.post("/users", json={"username": "b", "password": PASSWORD}), 422, "invalid")
    [row] = stored(client, User)
    [kept] = stored(client, Token)
    assert PASSWORD not in caplog.text
    assert token not in caplog.text
    assert row.password_hash.startswith("$argon2id$")
    assert token not in kept.token_hash
    assert row.password_hash not in repr(row)


@pytest.mark.parametrize(
    ("members", "pointer"),
    [
        ({"username": "ab"}, "/username"),
        ({"username": "a" * 65}, "/username"),
        ({"username": "a b c"}, "/username"),
        ({"username": None}, "/username"),
        ({"password": "1234567"}, "/password"),
        ({"password": "a" * 129}, "/password"),
        ({"password": None}, "/password"),
        ({"password": 12345678}, "/password"),
        ({"passwordHash": "a"}, "/passwordHash"),
        ({"login": "a"}, "/login"),
    ],
)
def test_invalid_user_is_refused_without_an_echo(
    client: TestClient, members: Json, pointer: str
) -> None:
    body = {"username": "ada", "password": PASSWORD} | members
    response = client.post("/users", json=body)
    assert [e["pointer"] for e in problem(response, 422, "invalid")["errors"]] == [pointer]
    assert PASSWORD not in response.text
    assert client.get("/users").json() == []


@pytest.mark.parametrize(("one", "other"), [("Ada", "aDA"), ("Zoë", "ZOË"), ("straße", "STRASSE")])
def test_username_is_unique_in_any_case(client: TestClient, one: str, other: str) -> None:
    new_user(client, one)
    body = {"username": other, "password": PASSWORD}
    answer = problem(client.post("/users", json=body), 409, "already-exists")
    assert answer["detail"] == "Another one with the same username exists already."
    eve = new_user(client, "eve")
    response = client.patch(f"/users/{eve['userId']}", json={"username": other})
    problem(response, 409, "already-exists")
    assert sign_in(client, other)


def test_token_answer_is_that_of_oauth(client: TestClient) -> None:
    new_user(client, "ada")
    form = {"username": "ada", "password": PASSWORD, "grant_type": "password"}
    response = client.post("/token", data=form)
    body = response.json()
    assert response.status_code == 200
    assert body == {
        "access_token": body["access_token"],
        "token_type": "bearer",
        "expires_in": 86400,
    }
    assert response.headers["cache-control"] == "no-store"
    assert len(bytes.fromhex(body["access_token"])) == 32
    assert client.post("/token", data=form).json()["access_token"] != body["access_token"]


def test_wrong_password_and_unknown_username_look_the_same(client: TestClient) -> None:
    new_user(client, "ada")
    answers = []
    for username in ("ada", "bob"):
        response = client.post("/token", data={"username": username, "password": "x"})
        answer = problem(response, 401, "unauthorized")
        assert response.headers["www-authenticate"] == "Bearer"
        answers.append(answer | {"requestId": ""})
    assert answers[0] == answers[1]


@pytest.mark.parametrize(
    "form",
    [
        {},
        {"username": "ada"},
        {"username": "a", "password": "b", "grant_type": "x"},
        {"username": "a\0b", "password": "b"},
        {"username": "a" * 201, "password": "b"},
        {"username": "a", "password": "b" * 1001},
    ],
)
def test_invalid_form_is_refused(client: TestClient, form: dict[str, str]) -> None:
    problem(client.post("/token", data=form), 422, "invalid")


def test_json_is_no_form(client: TestClient) -> None:
    response = client.post("/token", json={"username": "ada", "password": PASSWORD})
    problem(response, 415, "unsupported-media-type")


@pytest.mark.parametrize("username", ["a" * 200, "\N{PILE OF POO}", " ", "%", "' OR 1 --"])
def test_strange_username_is_just_unknown(client: TestClient, username: str) -> None:
    response = client.post("/token", data={"username": username, "password": "x\0y"})
    problem(response, 401, "unauthorized")


def away(token: str) -> dict[str, str]:
    """Headers of a request from elsewhere."""
    return {"host": "api.example", "authorization": f"Bearer {token}"}


def test_signing_out_ends_one_token(client: TestClient) -> None:
    new_user(client, "ada")
    one, other = sign_in(client, "ada"), sign_in(client, "ada")
    assert client.delete("/token", headers=away(one)).status_code == 204
    problem(client.get("/orders", headers=away(one)), 401, "unauthorized")
    assert client.get("/orders", headers=away(other)).status_code == 200
    problem(client.delete("/token"), 401, "unauthorized")


def test_new_password_ends_all_tokens(client: TestClient) -> None:
    user, other = new_user(client, "ada"), new_user(client, "bob")
    tokens = [sign_in(client, "ada"), sign_in(client, "ada")]
    token = sign_in(client, "bob")
    path = f"/users/{user['userId']}"
    assert client.patch(path, json={"username": "Lovelace"}, headers=away(tokens[0])).is_success
    assert client.get("/orders", headers=away(tokens[1])).is_success
    response = client.patch(path, json={"password": "a new one"}, headers=away(tokens[0]))
    assert response.status_code == 200
    for ended in tokens:
        problem(client.get("/orders", headers=away(ended)), 401, "unauthorized")
    assert client.get("/orders", headers=away(token)).is_success
    problem(
        client.post("/token", data={"username": "lovelace", "password": PASSWORD}),
        401,
        "unauthorized",
    )
    assert sign_in(client, "lovelace", "a new one")
    assert client.get(f"/users/{other['userId']}").json() == other


def test_users_change_and_delete_only_themselves(client: TestClient) -> None:
    ada, bob = new_user(client, "ada"), new_user(client, "bob")
    headers = away(sign_in(client, "ada"))
    path = f"/users/{bob['userId']}"
    problem(client.patch(path, json={"username": "eve"}, headers=headers), 403, "forbidden")
    problem(client.delete(path, headers=headers), 403, "forbidden")
    assert client.get(path).json() == bob
    path = f"/users/{ada['userId']}"
    assert client.delete(path, headers=headers).status_code == 204
    problem(client.get("/users", headers=headers), 401, "unauthorized")
    assert client.get("/users").json() == [bob]
    assert stored(client, Token) == []


def test_eleventh_sign_in_in_a_row_that_fails_must_wait(client: TestClient) -> None:
    new_user(client, "ada")
    for username in ("ada", "nobody"):
        for n in range(10):
            form = {"username": username.title() if n % 2 else username, "password": "wrong"}
            problem(client.post("/token", data=form), 401, "unauthorized")
        waits = []
        for _ in range(7):
            response = client.post("/token", data={"username": username, "password": PASSWORD})
            problem(response, 429, "too-many-sign-ins")
            waits.append(int(response.headers["retry-after"]))
        assert waits == [60, 120, 240, 480, 900, 900, 900]
    assert all(len(row.login_hash) == 64 for row in stored(client, SignInFailures))


async def let_time_pass(client: TestClient, by: timedelta) -> None:
    async with AsyncSession(database_of(client).writer) as session:
        earlier = datetime.now(UTC) - by
        await session.exec(update(SignInFailures).values(blocked_until=earlier))
        await session.exec(update(Token).values(expires=earlier))
        await session.commit()


def test_right_password_after_the_wait_starts_anew(client: TestClient) -> None:
    assert client.portal is not None
    new_user(client, "ada")
    for _ in range(11):
        client.post("/token", data={"username": "ada", "password": "wrong"})
    problem(
        client.post("/token", data={"username": "ada", "password": PASSWORD}),
        429,
        "too-many-sign-ins",
    )
    client.portal.call(let_time_pass, client, timedelta(seconds=1))
    assert sign_in(client, "ada")
    assert stored(client, SignInFailures) == []


def test_old_failures_and_tokens_are_removed(client: TestClient) -> None:
    assert client.portal is not None
    new_user(client, "ada")
    sign_in(client, "ada")
    for username in ("bob", "eve"):
        client.post("/token", data={"username": username, "password": "wrong"})
    client.portal.call(let_time_pass, client, timedelta(hours=1))
    client.post("/token", data={"username": "joe", "password": "wrong"})
    assert len(stored(client, SignInFailures)) == 1
    sign_in(client, "ada")
    assert len(stored(client, Token)) == 1


def test_expired_token_is_refused(client: TestClient) -> None:
    assert client.portal is not None
    new_user(client, "ada")
    headers = away(sign_in(client, "ada"))
    assert client.get("/orders", headers=headers).status_code == 200
    client.portal.call(let_time_pass, client, timedelta(0))
    problem(client.get("/orders", headers=headers), 401, "unauthorized")


# --- Hashing ------------------------------------------------------------------------------

FORM = {"username": "ada", "password": PASSWORD}
CORES = os.cpu_count() or 1


class Comparisons:
    """Counts the passwords that are compared at once, and lets none end before `go`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go = threading.Event()
        self.most = 0
        self._under_way = 0
        self._lock = threading.Lock()
        self._verify = passwords.password_hash.verify
        monkeypatch.setattr(passwords.password_hash, "verify", self._compare)

    def _compare(self, *args: Any) -> bool:
        with self._lock:
            self._under_way += 1
            self.most = max(self.most, self._under_way)
        try:
            assert self.go.wait(60)
            return self._verify(*args)
        finally:
            with self._lock:
                self._under_way -= 1


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparisons]:
    made = Comparisons(monkeypatch)
    yield made
    made.go.set()


def test_no_more_hashes_at_once_than_there_are_cores(
    client: TestClient, comparisons: Comparisons
) -> None:
    new_user(client, "ada")
    comparisons.go.set()
    with ThreadPoolExecutor(12) as pool:
        answers = list(pool.map(lambda _: client.post("/token", data=FORM), range(12)))
    assert [answer.status_code for answer in answers] == [200] * 12
    assert 1 <= comparisons.most <= CORES
    assert len(stored(client, Token)) == 12


def test_hash_that_nobody_waits_for_keeps_its_slot(
    database_url: str, client: TestClient, comparisons: Comparisons
) -> None:
    """A thread cannot be stopped: were its slot free, each further hash took memory as well."""
    new_user(client, "ada")
    with local_client(
        create_app(Settings(database_url=database_url, database_timeout=0.1))
    ) as other:
        for _ in range(3):
            with ThreadPoolExecutor(2 * CORES) as pool:
                answers = list(
                    pool.map(lambda _: other.post("/token", data=FORM), range(2 * CORES))
                )
            for answer in answers:
                problem(answer, 503, "unavailable")
        assert comparisons.most <= CORES
        comparisons.go.set()


def test_sign_in_that_would_have_to_wait_for_long_is_503_at_once(
    database_url: str, client: TestClient, comparisons: Comparisons
) -> None:
    new_user(client, "ada")
    most = CORES * (1 + passwords.MAX_WAITING_PER_SLOT)
    settings = Settings(database_url=database_url, database_timeout=60)
    with local_client(create_app(settings)) as other, ThreadPoolExecutor(most + 3) as pool:
        answers = [pool.submit(other.post, "/token", data=FORM) for _ in range(most + 3)]
        refused = [answer.result() for answer in islice(as_completed(answers), 3)]
        for response in refused:
            answer = problem(response, 503, "unavailable")
            assert answer["detail"] == "Too many passwords are being hashed: try again in a second."
            assert response.headers["retry-after"] == "1"
        comparisons.go.set()
        assert Counter(answer.result().status_code for answer in answers)[503] == 3


@pytest.mark.usefixtures("client")
@pytest.mark.parametrize("headers", [{}, {"idempotency-key": "a"}])
def test_no_transaction_is_open_while_a_password_is_hashed(
    database_url: str, monkeypatch: pytest.MonkeyPatch, headers: dict[str, str]
) -> None:
    hash_password = passwords.password_hash.hash
    settings = Settings(database_url=database_url, database_pool_size=1)
    with local_client(create_app(settings)) as other:
        statuses = []

        def hash_and_write(password: str) -> str:
            statuses.append(other.post("/todos", json={"task": "A"}).status_code)
            return hash_password(password)

        monkeypatch.setattr(passwords.password_hash, "hash", hash_and_write)
        body = {"username": "ada", "password": PASSWORD}
        response = other.post("/users", json=body, headers=headers)
        assert response.status_code == 201
        path = response.headers["location"]
        assert other.patch(path, json={"password": "another one"}).status_code == 200
        assert statuses == [201, 201]
