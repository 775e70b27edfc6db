"""Measures the Orders API beside the limit, which does the same by hand (tests/bench/limit.py).

Each runs in one process, under the same uvicorn without access log, against the same PostgreSQL,
which is started for the run and does not wait for the disk. First both must give the same JSON.
Then they are loaded in turn, so that whatever else the machine does hits both alike. The load,
PostgreSQL and the server share its cores: ratios tell more than requests per second.

Writes `bench.json` and `bench.png`. Ends with 1 when a request has failed.
"""

import json
import os
import platform
import statistics
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import httpx2
import psutil
import psycopg
import typer

from orders_api.settings import parse_database_url
from orders_api.storage.migrations import migrate
from tests.bench import report
from tests.bench.load import Operation, Sample, drive, drive_here, generator
from tests.bench.servers import LIMIT, OURS, insert_data, serving
from tests.conftest import ROOT, Postgres
from tests.samples import STORE

Json = dict[str, Any]

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
    seconds: Annotated[float, typer.Option(min=0.05, help="Length of one measurement.")] = 3,
    rounds: Annotated[int, typer.Option(min=1, help="Measurements of which to take medians.")] = 5,
    connections: Annotated[int, typer.Option(min=1, help="Requests at once.")] = 16,
    output: Annotated[Path, typer.Option(help="Folder for the results.")] = ROOT / "build/bench",
    baseline: Annotated[Path | None, typer.Option(help="An earlier bench.json.")] = None,
    table_only: Annotated[bool, typer.Option("--table-only", help="Leave out the rest.")] = False,
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
    if result["failures"]:
        typer.echo(f"{result['failures']} requests FAILED", err=True)
        raise typer.Exit(1)


def measure(
    result: Json, effort: Effort, folder: Path, before: Json | None, table_only: bool
) -> None:
    url = Postgres.embedded()
    migrate(parse_database_url(url))
    products, order_id = insert_data(url)
    result["machine"] = machine = facts(url)
    reading = [
        Operation("GET a product", f"/products/{products[0]}"),
        Operation("GET 50 products", "/products?limit=50"),
        Operation("GET order, 3 lines", f"/orders/{order_id}"),
    ]
    creation = Operation("POST order, 3 lines", "/orders", order_of(products))
    typer.echo(
        f"{machine['date']}  Python {machine['python']}, {machine['cores']} cores, load average"
        f" {machine['load_average']:.1f} at the start\n"
        f"PostgreSQL {machine['postgresql']} with fsync={machine['fsync']} and"
        f" synchronous_commit={machine['synchronous_commit']}, so the disk is not measured\n"
        f"{effort.connections} connections ({generator(effort.seconds)}), medians of"
        f" {effort.rounds} rounds of {effort.seconds:g} s, in turn; in brackets the ratios of the"
        " rounds\n"
    )
    with serving(OURS, folder, DATABASE_URL=url) as ours:
        with serving(LIMIT, folder, reading[0].path, DATABASE_URL=url) as limit:
            check_same(ours.address, limit.address, [*reading, creation])
            result["answers_are_equal"] = True
            servers = {"ours": ours.address, "limit": limit.address}
            operations = {
                each.name: compare(each, servers, effort) for each in (*reading, creation)
            }
            result["operations"] = operations
            memory = {"ours": ours.memory_mib(), "limit": limit.memory_mib()}
        for line in report.table(result, before):
            typer.echo(line)
        result["failures"] = failures_in(operations)
        if table_only:
            return
        with serving([*OURS, "--workers=2"], folder, DATABASE_URL=url) as two:
            servers = {"two": two.address, "one": ours.address}
            workers = {each.name: compare(each, servers, effort) for each in reading}
            memory["ours with --workers 2"] = two.memory_mib()
    result |= {"workers": workers, "memory_mib": memory}
    measure_sqlite(result, effort, folder)
    result["failures"] += failures_in(workers)
    typer.echo()
    for line in report.remarks(result):
        typer.echo(line)


def measure_sqlite(result: Json, effort: Effort, folder: Path) -> None:
    """Start several times on a new file, then have many clients write to one at once."""
    starts = []
    for n in range(effort.rounds):
        with serving(OURS, folder, DATABASE_URL=f"sqlite:///{n}.db") as server:
            starts.append(server.start_seconds)
    with serving(OURS, folder, DATABASE_URL="sqlite:///writers.db") as server:
        with httpx2.Client(base_url=server.address) as client:
            store = client.post("/stores", json=STORE).json()["storeId"]
            offers = [{"storeId": store, "name": f"Product {n}", "price": n} for n in range(3)]
            products = [client.post("/products", json=o).json()["productId"] for o in offers]
        creation = Operation("POST order", "/orders", order_of(products))
        sample, statuses = drive_here(server.address, creation, effort.seconds, WRITERS)
    result["start_seconds"] = {"median": statistics.median(starts), "all": starts}
    result["sqlite_writers"] = {"connections": WRITERS, "statuses": statuses} | asdict(sample)
    result["failures"] += sum(n for status, n in statuses.items() if status >= 500)


def order_of(products: list[str]) -> str:
    items = [{"productId": product, "quantity": n} for n, product in enumerate(products, 1)]
    return json.dumps({"items": items})


def check_same(ours: str, limit: str, operations: list[Operation]) -> None:
    """Refuse to compare what does different things: both must answer, and store, the same."""
    for operation in operations:
        mine, theirs = (send(address, operation) for address in (ours, limit))
        if operation.body:
            for created in (mine, theirs):
                again = Operation("read", f"{operation.path}/{created['orderId']}")
                if not created == send(ours, again) == send(limit, again):
                    raise SystemExit(f"{operation.name}: what is stored is not what was answered.")
            for member in MADE_AT_CREATION:
                del mine[member], theirs[member]
        if mine != theirs:
            raise SystemExit(f"{operation.name}: the answers differ.\n{mine}\n{theirs}")


def send(address: str, operation: Operation) -> Any:
    response = httpx2.request(
        operation.method,
        address + operation.path,
        content=operation.body,
        headers={"content-type": "application/json"},
    )
    return response.raise_for_status().json()


def compare(operation: Operation, servers: dict[str, str], effort: Effort) -> Json:
    """Load two servers in turn; the ratio is that of the first to the second, round by round."""
    for address in servers.values():
        drive_here(address, operation, min(1, effort.seconds), effort.connections)  # to warm up
    samples: dict[str, list[Sample]] = {name: [] for name in servers}
    for n in range(effort.rounds):
        # Each begins every other round, so that neither always finds what the other has left.
        for name in list(servers)[:: -1 if n % 2 else 1]:
            sample = drive(servers[name], operation, effort.seconds, effort.connections)
            samples[name].append(sample)
    first, second = samples.values()
    ratios = [
        100 * a.requests_per_second / b.requests_per_second
        for a, b in zip(first, second, strict=True)
    ]
    result: Json = {name: summary(seen) for name, seen in samples.items()}
    result["ratio"] = {
        "percent": statistics.median(ratios),
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


def failures_in(comparisons: dict[str, Json]) -> int:
    return sum(row.get("failures", 0) for each in comparisons.values() for row in each.values())


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
        "packages": {name: version(name) for name in PACKAGES},
    }


if __name__ == "__main__":
    typer.run(main)
