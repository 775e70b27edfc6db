"""Measures the Orders API beside the limit, which does the same by hand (tests/bench/limit.py).

Each runs in one process, under the same uvicorn without access log, on the same PostgreSQL, which
is started for the run and does not wait for the disk, and on the same SQLite file, which does.
Where npm can install it, json-server stands beside them, with the same data, and again with no more
than what is asked for. First all must give the same JSON. Then they are loaded in turn, so that
whatever else the machine does hits all alike. The load, PostgreSQL and the servers share its cores:
ratios tell more than requests per second.

Writes `bench.json` and `bench.png`. Ends with 1 when a request has failed.
"""

import json
import os
import platform
import sqlite3
import statistics
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import permutations
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import psutil
import psycopg
import typer

from orders_api.settings import parse_database_url
from orders_api.storage.migrations import migrate
from tests.bench import report
from tests.bench.load import Operation, Sample, drive, drive_here, generator, send
from tests.bench.servers import (
    LIMIT,
    OURS,
    Target,
    copy_to_sqlite,
    insert_data,
    json_servers,
    serving,
)
from tests.conftest import ROOT, Postgres

Json = dict[str, Any]
Request = tuple[str, Operation]
"""The address that it is sent to, and what."""

PACKAGES = (
    *("fastapi", "starlette", "pydantic", "sqlmodel", "sqlalchemy", "psycopg", "uvicorn"),
    *("asyncpg", "orjson"),
)
WRITERS = 32
MADE_AT_CREATION = ("orderId", "date")


@dataclass(frozen=True)
class Effort:
    """How long and how often each operation is measured."""

    seconds: float
    rounds: int
    connections: int


def main(
    seconds: Annotated[float, typer.Option(min=0.05, help="Length of one measurement.")] = 2,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of which to take medians.")] = 5,
    connections: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 16,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = ROOT / "build/bench",
    baseline: Annotated[Path | None, typer.Option(help="An earlier bench.json.")] = None,
    table_only: Annotated[bool, typer.Option("--table-only", help="Leave out the rest.")] = False,
    docs: Annotated[
        Path | None, typer.Option(help="Folder of the page that gets table and chart.")
    ] = None,
) -> None:
    """Measure the Orders API beside the same by hand."""
    before = json.loads(baseline.read_text("utf-8")) if baseline else None
    effort = Effort(seconds, rounds, connections)
    result: Json = {"settings": asdict(effort) | {"generator": generator(seconds)}}
    try:
        with TemporaryDirectory() as folder:
            measure(result, effort, Path(folder), before, table_only)
    finally:
        Postgres.stop()
    output.mkdir(parents=True, exist_ok=True)
    (output / "bench.json").write_text(json.dumps(result, indent=2) + "\n", "utf-8")
    report.draw(result, before, output / "bench.png")
    typer.echo(f"Written to {output}: bench.json, bench.png")
    if docs:
        report.publish(result, docs)
        typer.echo(f"Written to {docs}: {report.PAGE}, {report.CHART}")
    if result["failures"]:
        typer.echo(f"{result['failures']} requests FAILED", err=True)
        raise typer.Exit(1)


def measure(
    result: Json, effort: Effort, folder: Path, before: Json | None, table_only: bool
) -> None:
    urls = {"PostgreSQL": Postgres.embedded(), "SQLite": "sqlite:///orders.db"}
    migrate(parse_database_url(urls["PostgreSQL"]))
    products, order_id = insert_data(urls["PostgreSQL"])
    copy_to_sqlite(urls["PostgreSQL"], folder / "orders.db")
    operations = [
        Operation("GET a product", f"/products/{products[0]}"),
        Operation("GET 50 products", "/products?limit=50"),
        Operation("GET order, 3 lines", f"/orders/{order_id}"),
        Operation("POST order, 3 lines", "/orders", order_of(products)),
    ]
    both = [Target("ours", OURS, operations), Target("limit", LIMIT, operations)]
    targets = {"PostgreSQL": both, "SQLite": both.copy()}
    with serving(OURS, folder, DATABASE_URL=urls["SQLite"]) as server:
        try:
            targets["SQLite"] += json_servers(folder, server.address, operations)
        except LookupError as reason:
            typer.echo(f"json-server is left out: {reason}.")

    result["machine"] = facts(urls["PostgreSQL"])
    for line in report.head(result):
        typer.echo(line)
    result |= {"databases": {}, "memory_mib": {}}
    for database, beside in targets.items():
        result["databases"][database] = {}
        measure_side_by_side(result, effort, folder, database, urls[database], beside)
        for line in report.table(result, before, database):
            typer.echo(line)
    if not table_only:
        measure_the_rest(result, effort, folder, urls, operations)
        for line in report.remarks(result):
            typer.echo(line)
    result["failures"] = failures_in(result)


def measure_side_by_side(
    result: Json, effort: Effort, folder: Path, database: str, url: str, targets: list[Target]
) -> None:
    """Load each target in turn with each operation, if all do the same."""
    with ExitStack() as stack:
        servers = [
            stack.enter_context(
                serving(each.command, folder, each.operations[0].path, DATABASE_URL=url)
            )
            for each in targets
        ]
        ours, *others = (
            (target, [(server.address, each) for each in target.operations])
            for target, server in zip(targets, servers, strict=True)
        )
        for target, requests in others:
            for mine, theirs in zip(ours[1], requests, strict=False):
                if target.computes_orders or not theirs[1].body:
                    check_same(mine, theirs)
        for n, operation in enumerate(targets[0].operations):
            asked = {
                target.name: requests[n]
                for target, requests in (ours, *others)
                if n < len(target.operations)
            }
            result["databases"][database][operation.name] = compare(asked, effort)
        for target, server in zip(targets, servers, strict=True):
            result["memory_mib"][f"{database}, {target.name}"] = server.memory_mib()


def measure_the_rest(
    result: Json, effort: Effort, folder: Path, urls: dict[str, str], operations: list[Operation]
) -> None:
    """Measure two processes beside one, how long a start takes, and many writers to one file."""
    *reading, creation = operations
    with (
        serving(OURS, folder, DATABASE_URL=urls["PostgreSQL"]) as one,
        serving([*OURS, "--workers=2"], folder, DATABASE_URL=urls["PostgreSQL"]) as two,
    ):
        result["workers"] = {
            each.name: compare({"two": (two.address, each), "one": (one.address, each)}, effort)
            for each in reading
        }
        result["memory_mib"]["PostgreSQL, ours with --workers 2"] = two.memory_mib()
    starts = []
    for n in range(effort.rounds):
        with serving(OURS, folder, DATABASE_URL=f"sqlite:///{n}.db") as server:
            starts.append(server.start_seconds)
    result["start_seconds"] = {"median": statistics.median(starts), "all": starts}
    with serving(OURS, folder, DATABASE_URL=urls["SQLite"]) as server:
        sample, statuses = drive_here(server.address, creation, effort.seconds, WRITERS)
    result["sqlite_writers"] = {"connections": WRITERS, "statuses": statuses} | asdict(sample)


def order_of(products: list[str]) -> str:
    items = [{"productId": product, "quantity": n} for n, product in enumerate(products, 1)]
    return json.dumps({"items": items})


def check_same(mine: Request, theirs: Request) -> None:
    """Refuse to compare what does different things: both must answer, and store, the same."""
    operation = mine[1]
    answers = [send(*mine), send(*theirs)]
    if operation.body:
        for created in answers:
            again = Operation("read", f"{operation.path}/{created['orderId']}")
            if not created == send(mine[0], again) == send(theirs[0], again):
                raise SystemExit(f"{operation.name}: what is stored is not what was answered.")
        for created in answers:
            for member in MADE_AT_CREATION:
                del created[member]
    if answers[0] != answers[1]:
        raise SystemExit(f"{operation.name}: the answers differ.\n{answers[0]}\n{answers[1]}")


def compare(requests: dict[str, Request], effort: Effort) -> Json:
    """Load servers in turn; the percentages are those of the rounds."""
    for address, operation in requests.values():
        drive_here(address, operation, min(0.5, effort.seconds), effort.connections)  # to warm up
    samples: dict[str, list[Sample]] = {name: [] for name in requests}
    for n in range(effort.rounds):
        # Each other begins every other round, so that none always finds what the same has left.
        for name in list(requests)[:: -1 if n % 2 else 1]:
            samples[name].append(drive(*requests[name], effort.seconds, effort.connections))
    result: Json = {name: summary(seen) | {"percent_of": {}} for name, seen in samples.items()}
    for name, other in permutations(samples, 2):
        ratios = [
            100 * a.requests_per_second / b.requests_per_second
            for a, b in zip(samples[name], samples[other], strict=True)
        ]
        result[name]["percent_of"][other] = {
            "median": statistics.median(ratios),
            "lowest": min(ratios),
            "highest": max(ratios),
        }
    return result


def summary(samples: list[Sample]) -> Json:
    return {
        "requests_per_second": statistics.median(s.requests_per_second for s in samples),
        "median_ms": statistics.median(s.median_ms for s in samples),
        "p99_ms": statistics.median(s.p99_ms for s in samples),
        "failures": sum(s.failures for s in samples),
        "rounds": [asdict(s) for s in samples],
    }


def failures_in(result: Json) -> int:
    comparisons = [*result["databases"].values(), result.get("workers", {})]
    rows = [row for each in comparisons for row in each.values()]
    rows.append({"writers": result.get("sqlite_writers", {"failures": 0})})
    return sum(server["failures"] for row in rows for server in row.values())


def facts(url: str) -> Json:
    """Return what a reader must know of the machine to make sense of the figures."""
    with psycopg.connect(url) as connection:
        shown = connection.execute(
            "SELECT name, setting FROM pg_settings"
            " WHERE name IN ('server_version', 'fsync', 'synchronous_commit')"
        )
        postgres: dict[str, str] = dict(shown.fetchall())
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
        "load_average": psutil.getloadavg()[0],
        "postgresql": postgres.pop("server_version"),
        **postgres,
        "sqlite": sqlite3.sqlite_version,
        "packages": {name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    typer.run(main)
