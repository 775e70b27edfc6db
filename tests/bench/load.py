"""Sends one request again and again over several connections, and tells how that went."""

import asyncio
import json
import math
import shutil
import statistics
import subprocess
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx2

WRK = shutil.which("wrk")

# wrk counts as an error of status what is 400 or more; no server here answers with a redirect.
SCRIPT = """
wrk.method = "{method}"
wrk.body = [==[{body}]==]
wrk.headers["Content-Type"] = "application/json"

function done(summary, latency)
    local e = summary.errors
    io.write(string.format(
        '\\n{{"requests": %d, "microseconds": %d, "median": %f, "p99": %f, "failures": %d}}',
        summary.requests, summary.duration, latency:percentile(50), latency:percentile(99),
        e.status + e.connect + e.read + e.write + e.timeout
    ))
end
"""


@dataclass(frozen=True)
class Operation:
    """A request; it is a POST when it has a body."""

    name: str
    path: str
    body: str = ""

    @property
    def method(self) -> str:
        return "POST" if self.body else "GET"


@dataclass(frozen=True)
class Sample:
    """What was seen in one period of load."""

    requests_per_second: float
    median_ms: float
    p99_ms: float
    failures: int
    """Answers that are not 2xx. A connection that breaks is one to wrk; to us it ends the run."""


def send(address: str, operation: Operation) -> Any:
    """Send it once, and return what is answered, without what only json-server has."""
    response = httpx2.request(
        operation.method,
        address + operation.path,
        content=operation.body,
        headers={"content-type": "application/json"},
    )
    answer = response.raise_for_status().json()
    for each in answer if isinstance(answer, list) else [answer]:
        each.pop("id", None)
    return answer


def generator(seconds: float) -> str:
    """Name what sends the requests. wrk knows whole seconds only."""
    return "wrk" if WRK and seconds >= 1 else "built-in"


def drive(address: str, operation: Operation, seconds: float, connections: int) -> Sample:
    """Load a server by wrk, or without it by this process, which is slower than a fast server."""
    if generator(seconds) == "wrk":
        return drive_by_wrk(address, operation, round(seconds), connections)
    return drive_here(address, operation, seconds, connections)[0]


def drive_by_wrk(address: str, operation: Operation, seconds: int, connections: int) -> Sample:
    with TemporaryDirectory() as folder:
        script = Path(folder, "request.lua")
        script.write_text(SCRIPT.format(method=operation.method, body=operation.body))
        command = [
            *(str(WRK), "--threads=1", f"--connections={connections}", f"--duration={seconds}"),
            *("--timeout=10", f"--script={script}", address + operation.path),
        ]
        output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    seen = json.loads(output.splitlines()[-1])
    return Sample(
        seen["requests"] / seen["microseconds"] * 1_000_000,
        seen["median"] / 1000,
        seen["p99"] / 1000,
        seen["failures"],
    )


def drive_here(
    address: str, operation: Operation, seconds: float, connections: int
) -> tuple[Sample, Counter[int]]:
    """Load a server by this process, and count the answers by status."""
    return asyncio.run(_drive_here(address, operation, seconds, connections))


async def _drive_here(
    address: str, operation: Operation, seconds: float, connections: int
) -> tuple[Sample, Counter[int]]:
    host, port = address.removeprefix("http://").split(":")
    body = operation.body.encode()
    request = (
        f"{operation.method} {operation.path} HTTP/1.1\r\nHost: {host}:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    latencies: list[float] = []
    statuses: Counter[int] = Counter()

    async def client() -> None:
        reader, writer = await asyncio.open_connection(host, int(port))
        while True:  # once at least, however busy the machine
            sent = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            length = head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            latencies.append(time.perf_counter() - sent)
            statuses[int(head.split(maxsplit=2)[1])] += 1
            if time.perf_counter() >= deadline:
                break
        writer.close()
        await writer.wait_closed()

    started = time.perf_counter()
    deadline = started + seconds
    await asyncio.gather(*(client() for _ in range(connections)))
    elapsed = time.perf_counter() - started
    latencies.sort()
    sample = Sample(
        len(latencies) / elapsed,
        statistics.median(latencies) * 1000,
        latencies[math.ceil(len(latencies) * 0.99) - 1] * 1000,
        sum(n for status, n in statuses.items() if not 200 <= status < 300),
    )
    return sample, statuses
