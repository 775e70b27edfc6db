"""A head has a bound (MAX_HEAD_BYTES), and so has all else that is read before anything happens."""

import socket
from contextlib import suppress
from pathlib import Path

import httpx2
import psutil
import pytest

from tests.edge.wire import HOST, JSON, Answer, Server, answers, get, read_all, request, task, todo
from tests.live import running_server

MOST = 32768
SLACK = 8192  # of a head that does not begin with a packet
CHUNKED = request("POST /todos", HOST, JSON, "Transfer-Encoding: chunked")


def head_of(size: int) -> bytes:
    empty = get("/health", "X-A: ")
    return empty.replace(b"X-A: ", b"X-A: " + b"a" * (size - len(empty)))


def is_refused(answer: Answer) -> bool:
    assert answer.headers["connection"] == "close"
    assert answer.json()["type"] == "urn:orders-api:head-too-large"
    assert f"{MOST} bytes" in answer.json()["detail"]
    return answer.status == 431


@pytest.mark.parametrize("step", [MOST * 2, 1000, 1])
def test_head_up_to_the_bound_is_answered(server: Server, step: int) -> None:
    for size, status in ((MOST, 200), (MOST + 1, 431)):
        sent = head_of(size)
        packets = [sent[start : start + step] for start in range(0, size, step)]
        (answer,) = server.exchange(*packets, ends=status == 200)
        assert answer.status == status
        assert status == 200 or is_refused(answer)


ENDLESS = {
    "value": (get("/health", "X-A: ").removesuffix(b"\r\n\r\n"), b"a" * 65536),
    "name": (get("/health").removesuffix(b"\r\n"), b"a" * 65536),
    "headers": (get("/health").removesuffix(b"\r\n"), b"X-A: b\r\n" * 8000),
    "short headers": (get("/health").removesuffix(b"\r\n"), b"a:\r\n" * 16000),
    "path": (b"GET /", b"a" * 65536),
    "query": (b"GET /stores?q=", b"a" * 65536),
    "empty lines": (b"", b"\r\n" * 32768),
    "chunk extension": (CHUNKED + b"d;", b"a" * 65536),
    "chunk extension after a chunk": (CHUNKED + b"1\r\n{\r\n1;a=", b"a" * 65536),
    "trailer": (CHUNKED + b"d\r\n" + task("a") + b"\r\n0\r\nA: ", b"a" * 65536),
    "trailers": (CHUNKED + b"d\r\n" + task("a") + b"\r\n0\r\n", b"A: b\r\n" * 10000),
    "after a request": (todo("first") + b"GET /", b"a" * 65536),
}


@pytest.mark.parametrize(("begun", "more"), ENDLESS.values(), ids=ENDLESS)
def test_client_that_sends_without_end_reads_why_it_may_not(
    server: Server, begun: bytes, more: bytes
) -> None:
    """Twenty megabytes, and only then it reads."""
    with server.connect() as connection:
        connection.sendall(begun)
        for _ in range(20_000_000 // len(more)):
            connection.sendall(more)
        *others, last = answers(read_all(connection))
    assert is_refused(last)
    assert [answer.status for answer in others] == [201] * begun.startswith(todo("first"))
    assert server.tasks() == ["first"] * len(others)


@pytest.mark.slow
def test_head_without_end_costs_little(tmp_path: Path) -> None:
    with running_server(tmp_path) as address, httpx2.Client(base_url=address) as client:
        (process,) = (
            process
            for process in psutil.process_iter(["cmdline"])
            if address.rpartition(":")[2] in (process.info["cmdline"] or ())
        )
        client.get("/health")
        memory, processor = process.memory_info().rss, sum(process.cpu_times()[:2])
        server = Server(address, tmp_path / "server.log")
        for begun, more in ENDLESS.values():
            with server.connect() as connection:
                connection.sendall(begun)
                for _ in range(5_000_000 // len(more)):
                    connection.sendall(more)
                read_all(connection)
        assert client.get("/health").status_code == 200
        assert process.memory_info().rss - memory < 8_000_000
        assert sum(process.cpu_times()[:2]) - processor < 2


@pytest.mark.slow
@pytest.mark.parametrize("running", ["asyncio"], indirect=True)  # it takes some seconds
def test_client_that_never_stops_is_left_after_some_time(server: Server) -> None:
    with server.connect() as connection, suppress(ConnectionResetError, BrokenPipeError):
        while True:
            connection.sendall(b"a" * 65536)


def test_what_is_large_by_right_is_no_large_head(server: Server) -> None:
    body = b" " * 900_000 + task("a")
    large = request("POST /todos", HOST, JSON, f"Content-Length: {len(body)}", body=body)
    chunks = b"".join(b"1;a=b\r\n%c\r\n" % byte for byte in b" " * 7000 + task("b"))
    many = [get("/health")] * 1500
    found = server.exchange(
        large + head_of(MOST), CHUNKED + chunks + b"0\r\n\r\n", b"".join(many), head_of(MOST)
    )
    assert [answer.status for answer in found] == [201, 200, 201, *[200] * 1501]
    assert server.tasks() == ["a", "b"]


@pytest.mark.slow
def test_bound_is_a_setting(tmp_path: Path) -> None:
    with running_server(tmp_path, MAX_HEAD_BYTES="100000") as address:
        server = Server(address, tmp_path / "server.log")
        found = server.exchange(head_of(100_000), head_of(100_001 + SLACK), ends=False)
        assert [answer.status for answer in found] == [200, 431]


def test_request_that_is_answered_early_may_send_its_body(server: Server) -> None:
    """A body over the limit is refused by its length; who sends it all reads the answer."""
    with server.connect() as connection:
        connection.sendall(request("POST /todos", HOST, JSON, "Content-Length: 30000000"))
        for _ in range(30):
            connection.sendall(b" " * 1_000_000)
        (answer,) = answers(read_all(connection))
        connection.shutdown(socket.SHUT_WR)
    assert (answer.status, answer.headers["connection"]) == (413, "close")
