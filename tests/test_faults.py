"""Answers that are late, and requests that fail, on purpose."""

import logging
import os
import re
import shlex
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from orders_api.app import create_app
from orders_api.cli import commands, serving
from orders_api.settings import Faults, Settings, SettingsError
from tests.conftest import ROOT, local_client
from tests.samples import STORE, new_order, new_product, problem
from tests.sessions import blocks


@contextmanager
def served(faults: str, **settings: Any) -> Iterator[TestClient]:
    app = create_app(Settings(database_url="sqlite://", faults=faults, **settings))
    with local_client(app) as client:
        yield client


def test_answer_that_is_delayed_says_how_long() -> None:
    with served("delay=1..3") as client:
        faults = [client.get("/stores").headers["x-fault"] for _ in range(20)]
        assert set(faults) == {"delay=1", "delay=2", "delay=3"}
        assert client.post("/stores", json=STORE).status_code == 201
        assert re.fullmatch("delay=[123]", client.get("/nothing").headers["x-fault"])


def test_request_fails_before_anything_is_done() -> None:
    with served("fail=503:100%,for=POST:/orders/") as client:
        product = new_product(client)
        items = [{"productId": product["productId"], "quantity": 1}]
        for path in ("/orders", "/orders/"):
            for body in ({"items": items}, {}):
                answer = client.post(path, json=body, headers={"idempotency-key": "a"})
                assert "nothing was done" in problem(answer, 503, "unavailable")["detail"]
                assert answer.headers["x-fault"] == "fail=503"
                assert answer.headers["retry-after"] == "1"
        found = client.get("/orders")
        assert (found.json(), found.headers.get("x-fault")) == ([], None)


@pytest.mark.parametrize("status", [429, 500, 502])
def test_failure_looks_like_one(status: int) -> None:
    with served(f"fail={status}:100%", cors_origins="*") as client:
        answer = client.get("/stores", headers={"origin": "http://localhost:5173"})
        assert (answer.status_code, answer.json()["status"]) == (status, status)
        assert answer.headers["content-type"] == "application/problem+json"
        assert ("retry-after" in answer.headers) == (status == 429)
        assert answer.headers["access-control-allow-origin"] == "*"
        assert "X-Fault" in answer.headers["access-control-expose-headers"]


def test_paths_below_fail_too_and_head_as_get() -> None:
    with served("fail=503:100%,for=GET:/orders,for=DELETE:/stores", api_prefix="/v1") as client:
        for path in ("/v1/orders", "/v1/orders/1"):
            assert client.get(path).status_code == client.head(path).status_code == 503
        assert client.delete("/v1/stores/1").status_code == 503
        assert client.get("/v1/ordersx").status_code == 404
        assert client.get("/v1/stores").status_code == 200


def test_head_may_fail_alone() -> None:
    with served("fail=503:100%,for=HEAD:/orders") as client:
        assert (client.head("/orders").status_code, client.get("/orders").status_code) == (503, 200)


def test_shares_may_be_all_there_is() -> None:
    with served("fail=503:0.8%,fail=500:86.9%,fail=429:12.3%") as client:
        assert client.get("/stores").status_code >= 429


def test_same_seed_makes_the_same_day() -> None:
    def day(seed: int) -> list[str]:
        with served(f"fail=503:30%,fail=429:20%,delay=1,seed={seed}") as client:
            return [client.get("/stores").headers["x-fault"] for _ in range(50)]

    first, again, other = day(1), day(1), day(2)
    assert first == again != other
    for status, share in (("503", 15), ("429", 10)):
        assert abs(sum(status in one for one in first) - share) < 8


def test_pages_and_checks_of_the_server_are_spared() -> None:
    with served("fail=503:100%,delay=1") as client:
        script = "/docs/static/redoc.standalone.js"
        for path in ("/", "/docs", "/redoc", "/openapi.json", "/health", "/ready", script):
            answer = client.get(path)
            assert (answer.status_code, answer.headers.get("x-fault")) == (200, None)


def test_other_machines_meet_none() -> None:
    app = create_app(Settings(database_url="sqlite://", faults="fail=503:100%"))
    with TestClient(app, client=("192.0.2.1", 50000)) as client:
        assert client.get("/stores").status_code == 200


def test_no_answer_has_the_header_unless_set(client: TestClient) -> None:
    order = new_order(client, (new_product(client), 1))
    assert "x-fault" not in client.get(f"/orders/{order['orderId']}").headers


def test_server_says_so_when_it_starts(caplog: pytest.LogCaptureFixture) -> None:
    with served("delay=300..800,fail=503:2.5%,for=POST:/orders,seed=7"):
        said = [
            record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING
        ]
    assert said == [
        "On purpose, answers are delayed by 300 to 800 ms and 2.5 % of POST /orders fail with 503"
        " (seed 7)."
    ]


@pytest.mark.parametrize(
    "value",
    [
        "delay", "delay=", "delay=a", "delay=-1", "delay=800..300", "delay=1..2..3", "delay=100000",
        "delay=1,delay=2", "fail=503", "fail=503:5", "fail=200:5%", "fail=503:101%",
        "fail=503:60%,fail=500:60%", "for=POST:/orders", "fail=503:5%,for=/orders",
        "fail=503:5%,for=POST:orders", "fail=503:5%,for=POTS:/orders",
        "fail=503:5%,for=GET:/orders?limit=1", "seed=1", "delay=1,seed=x", "delay=1,", "5%",
    ],
)  # fmt: skip
def test_what_is_no_fault_ends_the_start_with_one_sentence(
    value: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SettingsError):
        Settings(faults=value)
    assert capsys.readouterr().err == (
        "FAULTS is wrong: it must look like delay=300..800,fail=503:5%,for=POST:/orders,seed=1"
        " (milliseconds, and statuses of up to 100 % in all).\n"
    )


def test_faults_are_refused_where_nobody_is_trusted(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SettingsError):
        Settings(faults="delay=1", trust_local=False)
    assert "TRUST_LOCAL=false" in capsys.readouterr().err


@pytest.fixture
def served_with(monkeypatch: pytest.MonkeyPatch) -> list[Faults | None]:
    """The faults with which `orders-api serve` would have run an application."""
    found: list[Faults | None] = []
    monkeypatch.setattr(uvicorn, "run", lambda *_, **__: found.append(Settings().faults))
    monkeypatch.setattr(serving, "check_address", lambda *_: None)  # port 8000 may be taken
    monkeypatch.setenv("FAULTS", "")  # which is as it was again after the test
    return found


def serve(*options: str) -> Any:
    environment = {"DATABASE_URL": "postgresql://nobody@localhost/nothing"}
    return CliRunner().invoke(commands.app, ["serve", *options], env=environment)


def test_options_are_those_that_the_page_shows(served_with: list[Faults | None]) -> None:
    _, command = blocks("sh", (ROOT / "docs" / "frontend.md").read_text("utf-8"))
    assert serve(*shlex.split(command)[2:]).exit_code == 0
    shares = ((503, 0.05), (429, 0.02))
    assert served_with == [Faults((300, 800), shares, (("POST", "/orders"),), 1)]


def test_options_make_the_setting_for_every_process(served_with: list[Faults | None]) -> None:
    assert serve("--delay", "5", "--seed", "3").exit_code == 0
    assert served_with == [Faults((5, 5), seed=3)]
    assert os.environ["FAULTS"] == "delay=5,seed=3"


@pytest.mark.parametrize("options", ["--delay x", "--fail 503", "--fail-for POST:/orders"])
def test_wrong_options_are_explained_as_options(
    options: str, served_with: list[Faults | None]
) -> None:
    result = serve(*options.split())
    assert (result.exit_code, result.stdout, served_with) == (1, "", [])
    assert result.stderr == (
        "It must look like --delay 300..800 --fail 503:5% --fail-for POST:/orders, with no more"
        " than 100 % in all.\n"
    )


def test_other_machines_are_not_served_with_faults(served_with: list[Faults | None]) -> None:
    result = serve("--delay", "5", "--host", "0.0.0.0")
    assert (result.exit_code, served_with) == (1, [])
    assert (
        result.stderr == "What goes wrong on purpose is for this machine alone: leave out --host.\n"
    )
