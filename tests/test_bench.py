"""The benchmark runs, and would tell. Nothing here depends on how fast anything is."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest

from tests.bench import __main__ as bench, load, report, servers, size
from tests.bench.load import Operation
from tests.conftest import ROOT, Postgres
from tests.live import local_server

NAMES = ["GET a product", "GET 50 products", "GET order, 3 lines", "POST order, 3 lines"]
PAGE = ROOT / "docs/testing.md"
SEEN = {"requests_per_second", "median_ms", "p99_ms", "failures"}


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with local_server(tmp_path_factory.mktemp("bench")) as address:
        yield address


@pytest.mark.slow
def test_short_run_measures_everything_without_a_failed_request(tmp_path: Path) -> None:
    if Postgres.server is None:
        pytest.skip(f"needs the embedded PostgreSQL ({Postgres.description})")
    shutil.copy(PAGE, tmp_path)
    options = ["--seconds=0.05", "--rounds=1", f"--output={tmp_path}", f"--docs={tmp_path}"]
    command = [sys.executable, "-m", "tests.bench", *options]
    # json-server is taken from npm's cache, if it is there.
    environment = os.environ | {"npm_config_offline": "true"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr

    result = json.loads((tmp_path / "bench.json").read_text("utf-8"))
    assert result["failures"] == 0
    assert result["machine"]["synchronous_commit"] == "off"
    assert "synchronous_commit=off, so the disk is not measured" in run.stdout
    beside = {"PostgreSQL": ["ours", "limit"], "SQLite": ["ours", "limit"]}
    if "json-server is left out: npm could not install it." not in run.stdout:
        beside["SQLite"] += ["json-server", "json-server, 50"]
    assert list(result["databases"]) == list(beside)
    assert list(result["workers"]) == NAMES[:3]
    compared = [(result["workers"][name], ["two", "one"]) for name in NAMES[:3]]
    for database, names in beside.items():
        assert list(result["databases"][database]) == NAMES
        *reading, creation = result["databases"][database].values()
        compared += [(row, names) for row in reading]
        compared.append((creation, [name for name in names if name != "json-server"]))
    for row, names in compared:
        assert list(row) == names
        for name, server in row.items():
            ratios = server.pop("percent_of")
            assert ratios.keys() == set(names) - {name}
            assert all(set(ratio) == {"median", "lowest", "highest"} for ratio in ratios.values())
            assert set(server) == SEEN | {"rounds"}
            assert [set(sample) for sample in server["rounds"]] == [SEEN]
            assert server["requests_per_second"] > 0
    processes = {name: len(sizes) for name, sizes in result["memory_mib"].items()}
    assert processes.pop("PostgreSQL, ours with --workers 2") >= 3
    assert processes == {
        f"{database}, {name}": 1 for database in beside for name in beside[database]
    }
    assert len(result["start_seconds"]["all"]) == 1
    assert set(result["sqlite_writers"]["statuses"]) == {"201"}
    assert result["sqlite_writers"]["connections"] == 32
    page = (tmp_path / "testing.md").read_text("utf-8")
    assert "| SQLite, ours in percent of limit |" in page
    assert "32 clients that order at once on SQLite: " in page
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def result_with(percent: float) -> dict[str, Any]:
    seen = {"requests_per_second": 500.0, "median_ms": 2.0, "p99_ms": 4.0, "failures": 1}
    ratio = {"median": percent, "lowest": 40, "highest": 60}
    row = {
        "ours": seen | {"percent_of": {"limit": ratio}},
        "limit": seen | {"requests_per_second": 1000.0, "percent_of": {"ours": ratio}},
    }
    return {
        "machine": {
            "date": "2026-11-20",
            "python": "3.11.0",
            "cores": 2,
            "load_average": 0.5,
            "postgresql": "18.0",
            "fsync": "off",
            "synchronous_commit": "off",
            "sqlite": "3.50.0",
        },
        "settings": {"connections": 1, "rounds": 1, "seconds": 1, "generator": "built-in"},
        "databases": {"SQLite": {"GET a product": row}},
    }


@pytest.mark.slow
def test_baseline_stands_beside_what_is_measured_now(tmp_path: Path) -> None:
    now, before = result_with(50), result_with(25)
    lines = [" ".join(line.split()) for line in report.table(now, before, "SQLite")]
    assert lines[1:] == [
        "GET a product ours 500 2.00 4.00 1",
        "GET a product limit 1,000 2.00 4.00 1 50.0 % (40.0 to 60.0) before: 25.0 %",
    ]
    report.draw(now, before, tmp_path / "bench.png")
    assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_figures_replace_those_of_the_page(tmp_path: Path) -> None:
    page = tmp_path / "testing.md"
    page.write_text("Above.\n\n<!-- bench -->\n<!-- /bench -->\n\nBelow.\n")
    for percent in (25, 50):
        report.publish(result_with(percent), tmp_path)
        text = page.read_text()
        assert text.startswith("Above.\n\n<!-- bench -->\n\n![")
        assert "| SQLite, limit | 1,000 |\n" in text
        assert f"| SQLite, ours in percent of limit | {percent} % |\n" in text
        assert text.count("|---|--:|") == 1
        assert text.endswith("\n\n<!-- /bench -->\n\nBelow.\n")
        assert (tmp_path / "bench.png").read_bytes().startswith(b"\x89PNG")


def test_page_has_a_place_for_the_figures() -> None:
    text = PAGE.read_text("utf-8")
    assert 0 < text.index(report.START) < text.index(report.END)


@pytest.mark.parametrize(
    ("npm", "sentence"), [(None, "there is no npm"), ("exit 1", "npm could not install it")]
)
def test_json_server_is_left_out_without_npm_or_network(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, npm: str | None, sentence: str
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    if npm:
        (tmp_path / "npm").write_text(f"#!/bin/sh\n{npm}\n")
        (tmp_path / "npm").chmod(0o755)
    with pytest.raises(LookupError, match=sentence):
        servers.json_servers(tmp_path, "http://127.0.0.1:1", [])


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
    bench.check_same(("ours", operation), ("limit", operation))
    odd += different
    with pytest.raises(SystemExit, match=sentence):
        bench.check_same(("ours", operation), ("limit", operation))


@pytest.mark.slow
def test_product_is_read_beside_what_is_slow_on_both_databases() -> None:
    if Postgres.server is None:
        pytest.skip(f"needs the embedded PostgreSQL ({Postgres.description})")
    # In a process of its own, because it starts and stops a PostgreSQL server.
    script = (
        "from tests.bench import size\n"
        "size.SIZES, size.IMPORTED, size.BESIDE = (0, 1000), 100, 0.1\n"
        "size.main()\n"
    )
    command = [sys.executable, "-c", script, "--beside-only"]
    run = subprocess.run(command, cwd=ROOT, env=os.environ, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout + run.stderr
    for database in ("PostgreSQL", "SQLite"):
        part = run.stdout.partition(f"{database}, a product beside")[2]
        lines = part.splitlines()[1:5]
        names = ["nothing", "a search", "20 searches at once", "an import of 100 products"]
        for line, name in zip(lines, names, strict=True):
            assert line.startswith(f"{name}  ")
            _, _, _, _, failures, *others = line.removeprefix(name).split()
            assert failures == "0"
            assert others[1:] == ([] if name == "nothing" else ["times", "200"])
        assert lines[3].endswith(" 1 times 200")


def test_standstill_delays_all_that_would_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[size.Request] = []

    def stand_still_once(_: HTTPConnection, request: size.Request) -> tuple[int, bytes]:
        if not asked:
            time.sleep(0.2)
        asked.append(request)
        return 503, b""

    monkeypatch.setattr(size, "ask", stand_still_once)
    monkeypatch.setattr(size, "BESIDE", 0.2)
    taken, statuses, others = size.read_beside("127.0.0.1:1", [("GET", "/", None)], [])
    assert len([milliseconds for milliseconds in taken if milliseconds > 50]) >= 15
    assert statuses == {503: len(taken)}
    assert not others
