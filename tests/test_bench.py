"""The benchmark runs, and would tell. Nothing here depends on how fast anything is."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bench import __main__ as bench, load, report
from tests.bench.load import Operation
from tests.conftest import ROOT, Postgres
from tests.live import local_server

NAMES = ["GET a product", "GET 50 products", "GET order, 3 lines", "POST order, 3 lines"]
SEEN = {"requests_per_second", "median_ms", "p99_ms", "failures"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with local_server(tmp_path_factory.mktemp("bench")) as address:
        yield address


@pytest.mark.slow
def test_short_run_measures_everything_without_a_failed_request(tmp_path: Path) -> None:
    if Postgres.server is None:
        pytest.skip(f"needs the embedded PostgreSQL ({Postgres.description})")
    options = ["--seconds=0.05", "--rounds=1", f"--output={tmp_path}"]
    command = [sys.executable, "-m", "tests.bench", *options]
    run = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr

    result = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert result["answers_are_equal"] is True
    assert result["failures"] == 0
    assert result["machine"]["synchronous_commit"] == "off"
    assert "synchronous_commit=off, so the disk is not measured" in run.stdout
    assert list(result["operations"]) == NAMES
    assert list(result["workers"]) == NAMES[:3]
    for row in [*result["operations"].values(), *result["workers"].values()]:
        assert set(row.pop("ratio")) == {"percent", "lowest", "highest"}
        assert len(row) == 2
        for server in row.values():
            assert set(server) == SEEN | {"rounds"}
            assert [set(sample) for sample in server["rounds"]] == [SEEN]
            assert server["requests_per_second"] > 0
    processes = {name: len(sizes) for name, sizes in result["memory_mib"].items()}
    assert processes["ours"] == processes["limit"] == 1
    assert processes["ours with --workers 2"] >= 3
    assert len(result["start_seconds"]["all"]) == 1
    assert set(result["sqlite_writers"]["statuses"]) == {"201"}
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_baseline_stands_beside_what_is_measured_now(tmp_path: Path) -> None:
    seen = {"requests_per_second": 500.0, "median_ms": 2.0, "p99_ms": 4.0, "failures": 1}
    row = {"ours": seen, "limit": seen | {"requests_per_second": 1000.0}}
    machine = {"python": "3.11.0", "postgresql": "18.0", "cores": 2}
    settings = {"connections": 1, "rounds": 1, "seconds": 1}
    now, before = (
        {
            "machine": machine,
            "settings": settings,
            "operations": {
                "GET a product": row | {"ratio": {"percent": percent, "lowest": 40, "highest": 60}}
            },
        }
        for percent in (50.0, 25.0)
    )
    (line,) = list(report.table(now, before))[2:]
    assert " ".join(line.split()) == (
        "GET a product 500 1,000 50.0 % (40.0 to 60.0) 2.00 2.00 4.00 4.00 2 before: 25.0 %"
    )
    report.draw(now, before, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


needs_wrk = pytest.mark.skipif(load.WRK is None, reason="wrk is not installed")


@pytest.mark.parametrize(
    "seconds", [0.1, pytest.param(1, marks=[needs_wrk, pytest.mark.slow], id="wrk")]
)
def test_answers_that_are_not_2xx_are_failures(address: str, seconds: float) -> None:
    creation = Operation("create", "/todos", '{"task": "Call the \\"bookbinder\\""}')
    good = load.drive(address, creation, seconds, 2)
    assert good.requests_per_second > 0
    assert 0 < good.median_ms <= good.p99_ms
    assert good.failures == 0
    assert load.drive(address, Operation("missing", "/missing"), seconds, 2).failures > 0


def test_answers_are_counted_by_status(address: str) -> None:
    _, statuses = load.drive_here(address, Operation("missing", "/missing"), 0.1, 2)
    assert set(statuses) == {404}


READ = Operation("read", "/products/1")
CREATE = Operation("create", "/orders", "{}")
ITS_ORDER = [("limit", "/orders"), ("limit", "/orders/limit"), ("ours", "/orders/limit")]


@pytest.mark.parametrize(
    ("operation", "different", "sentence"),
    [
        (READ, [("limit", "/products/1")], "read: the answers differ"),
        (CREATE, ITS_ORDER, "create: the answers differ"),
        (CREATE, ITS_ORDER[1:], "create: what is stored is not what was answered"),
        (CREATE, ITS_ORDER[:2], "create: what is stored is not what was answered"),
        (CREATE, [("limit", "/orders/ours")], "create: what is stored is not what was answered"),
    ],
)
def test_servers_that_do_different_things_are_not_compared(
    monkeypatch: pytest.MonkeyPatch,
    operation: Operation,
    different: list[tuple[str, str]],
    sentence: str,
) -> None:
    odd: list[tuple[str, str]] = []

    def send(address: str, operation: Operation) -> Any:
        order_id = address if operation.body else operation.path.rpartition("/")[2]
        price = 2 if (address, operation.path) in odd else 1
        return {"orderId": order_id, "date": order_id, "price": price}

    monkeypatch.setattr(bench, "send", send)
    bench.check_same("ours", "limit", [operation])
    odd += different
    with pytest.raises(SystemExit, match=sentence):
        bench.check_same("ours", "limit", [operation])
