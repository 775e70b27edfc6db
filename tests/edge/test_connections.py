"""Clients that are slow, leave early, or have no more to say."""

import json
import random
import socket
import time

import pytest

from tests.edge.wire import (
    HOST,
    Server,
    answers,
    chunked,
    get,
    read_all,
    request,
    reset,
    todo,
)
from tests.live import http
from tests.samples import STORE

SCRIPT = "/docs/static/redoc.standalone.js"  # about a megabyte, more than a socket holds


def test_client_that_has_no_more_to_say_gets_its_answers(server: Server) -> None:
    found = server.exchange(todo("a") + get(SCRIPT) * 5 + todo("b"))
    assert [answer.status for answer in found] == [201, *[200] * 5, 201]
    assert len({answer.body for answer in found[1:6]}) == 1
    assert server.tasks() == ["a", "b"]


def test_connection_ends_after_the_last_answer_to_a_client_that_has_no_more_to_say(
    server: Server,
) -> None:
    (answer,) = server.exchange(get("/health"))
    assert answer.status == 200
    with server.connect() as connection:
        connection.shutdown(socket.SHUT_WR)
        assert connection.recv(1) == b""


def test_slow_reader_gets_all_and_holds_up_nobody(server: Server) -> None:
    with server.connect() as connection:
        connection.sendall(get(SCRIPT) * 10 + get("/health", "Connection: close"))
        received = b""
        for _ in range(20):
            assert server.is_healthy()
            received += connection.recv(1000)
            time.sleep(0.01)
        found = answers(received + read_all(connection))
    assert [answer.status for answer in found] == [200] * 11
    assert len({answer.body for answer in found[:10]}) == 1


def test_slow_writer_holds_up_nobody(server: Server) -> None:
    sent = todo("a") + chunked("b", "Connection: close")
    with server.connect() as connection:
        for start in range(0, len(sent), 20):
            connection.sendall(sent[start : start + 20])
            assert server.is_healthy()
        found = answers(read_all(connection))
    assert [answer.status for answer in found] == [201, 201]
    assert server.tasks() == ["a", "b"]


@pytest.mark.parametrize("leave", ["reset", "close"])
def test_client_that_leaves_anywhere_leaves_nothing_half_done(server: Server, leave: str) -> None:
    """A request that came whole is carried out or not, one that did not is not."""
    chance = random.Random(leave)
    for attempt in range(40):
        name = f"{leave} {attempt} "
        requests = [todo(f"{name}a"), chunked(f"{name}b"), get(SCRIPT), todo(f"{name}c")]
        sent = b"".join(requests)
        end = chance.randrange(len(sent))
        with server.connect() as connection:
            connection.sendall(sent[:end])
            if chance.random() < 0.5:
                connection.recv(chance.choice([1, 100, 100_000])) if end > len(requests[0]) else b""
            reset(connection) if leave == "reset" else connection.close()
        whole = [name + row for row, limit in zip("abc", (1, 2, 4), strict=True)
                 if end >= len(b"".join(requests[:limit]))]  # fmt: skip
        kept = [row for row in server.tasks() if row.startswith(name)]
        assert kept == whole[: len(kept)]
    server.exchange(todo("last"))  # by its answer those before it have ended, and can be cleared


@pytest.mark.parametrize("ends", [True, False])
def test_a_thousand_requests_at_once_are_answered_in_order(server: Server, ends: bool) -> None:
    """Few of them are parsed before it is their turn."""
    sent = b"".join(get("/health", f"X-Request-ID: {number}") for number in range(1000))
    found = server.exchange(sent + get("/health", "Connection: close"), ends=ends)
    identifiers = [answer.headers["x-request-id"] for answer in found[:-1]]
    assert identifiers == [f"{number}" for number in range(1000)]
    assert {answer.status for answer in found} == {200}
    assert len(found) == 1001


def test_requests_that_wait_are_not_carried_out_when_the_client_is_gone(server: Server) -> None:
    with server.connect() as connection:
        # What cannot be sent holds up what follows.
        connection.sendall(get(SCRIPT) * 20 + todo("late"))
        connection.recv(1000)
        reset(connection)
    for _ in range(10):
        assert server.tasks() == []
        time.sleep(0.01)


def test_half_a_body_is_answered_when_the_client_has_no_more_to_say(server: Server) -> None:
    (answer,) = server.exchange(todo("a")[:-1])
    assert answer.json()["detail"] == "The body ended before it was complete."
    assert answer.headers["connection"] == "close"


def test_import_whose_body_turns_out_wrong_keeps_nothing(server: Server) -> None:
    store = http.post(f"{server.address}/stores", json=STORE).json()["storeId"]
    line = json.dumps({"storeId": store, "name": "Atlas", "price": 1}).encode() + b"\n"
    lines = ("Content-Type: application/jsonl", "Transfer-Encoding: chunked")
    head = request("POST /products/import", HOST, *lines)
    (answer,) = server.exchange(head, b"%x\r\n%b\r\n" % (len(line), line), b"x", ends=False)
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert http.get(f"{server.address}/products").json() == []
    http.delete(f"{server.address}/stores/{store}")


def test_wrong_body_of_a_request_that_has_its_answer_ends_the_connection(server: Server) -> None:
    sent = request("GET /health", HOST, "Transfer-Encoding: chunked")
    with server.connect() as connection:
        connection.sendall(sent)
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")
        connection.sendall(b"x" + todo("next"))
        assert connection.recv(1000) == b""
    assert server.tasks() == []
