"""HTTP as bytes, sent to a real server over sockets."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

HOST = "Host: localhost"
JSON = "Content-Type: application/json"


def request(start: str, *lines: str, body: bytes = b"", version: str = "HTTP/1.1") -> bytes:
    """A request as it stands here; nothing is added to `lines`."""
    return "\r\n".join([f"{start} {version}", *lines, "", ""]).encode("latin-1") + body


def get(path: str, *lines: str) -> bytes:
    return request(f"GET {path}", HOST, *lines)


def task(name: str) -> bytes:
    return json.dumps({"task": name}).encode()


def todo(name: str, *lines: str) -> bytes:
    """Create a to-do, with a Content-Length."""
    body = task(name)
    return request("POST /todos", HOST, JSON, *lines, f"Content-Length: {len(body)}", body=body)


def chunked(name: str, *lines: str, end: bytes = b"0\r\n\r\n") -> bytes:
    """The same in two chunks; `end` is all that follows them."""
    first, second = task(name)[:3], task(name)[3:]
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in (first, second))
    head = request("POST /todos", HOST, JSON, *lines, "Transfer-Encoding: chunked")
    return head + chunks + end


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def answers(received: bytes, method: str = "GET") -> list[Answer]:
    """Split all that a server has sent; nothing may be left over or missing."""
    found, at = [], 0
    while at < len(received):
        end = received.find(b"\r\n\r\n", at)
        assert end > 0, received[at:]
        start, *lines = received[at:end].decode("latin-1").split("\r\n")
        at = end + 4
        assert start.startswith("HTTP/1.1 "), start
        headers = {name.lower(): value for name, _, value in (n.partition(": ") for n in lines)}
        status, body = int(start.split()[1]), b""
        if status == 100:
            continue
        if "transfer-encoding" in headers:
            while size := int(received[at : (end := received.index(b"\r\n", at))], 16):
                body, at = body + received[end + 2 : end + 2 + size], end + size + 4
            assert received.startswith(b"0\r\n\r\n", at)
            at += 5
        elif status not in {204, 304} and method != "HEAD":
            size = int(headers["content-length"])
            body, at = received[at : at + size], at + size
            assert len(body) == size
        found.append(Answer(status, headers, body))
    return found


@dataclass
class Server:
    address: str
    log_file: Path

    @contextmanager
    def connect(self) -> Iterator[socket.socket]:
        port = int(self.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port), timeout=30) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield connection

    def exchange(self, *packets: bytes, ends: bool = True, method: str = "GET") -> list[Answer]:
        """Send packets and return the answers. If the client `ends`, it shuts its side then.

        Who asks for the end and sends on may find the connection reset, after the answers.
        """
        may_be_reset = b"Connection: close" in b"".join(packets)
        with self.connect() as connection:
            for n, packet in enumerate(packets):
                if n and len(packets) < 10:
                    time.sleep(0.002)  # so that it is read by itself (it need not be)
                # When the server has refused the rest.
                with suppress(ConnectionError if may_be_reset else BrokenPipeError):
                    connection.sendall(packet)
            if ends:
                connection.shutdown(socket.SHUT_WR)
            return answers(read_all(connection, may_be_reset), method)

    def todos(self) -> list[Any]:
        (answer,) = self.exchange(get("/todos?limit=200", "Connection: close"), ends=False)
        return list(answer.json())

    def tasks(self) -> list[str]:
        return [row["task"] for row in self.todos()]

    def is_healthy(self) -> bool:
        (answer,) = self.exchange(get("/health"))
        return answer.body == b'{"status":"ok"}'

    def clear(self) -> None:
        if todos := self.todos():
            self.exchange(b"".join(request(f"DELETE /todos/{t['todoId']}", HOST) for t in todos))

    def lines_of(self, answer: Answer) -> list[Any]:
        """Return what is logged of a request, once there is any: its line follows its answer."""
        mark = f'"requestId": "{answer.headers["x-request-id"]}"'
        for _ in range(600):
            lines = [line for line in self.log().splitlines() if mark in line]
            if lines and lines[-1].endswith("}"):
                return [json.loads(line) for line in lines]
            time.sleep(0.05)
        raise AssertionError(f"{mark} is not in the log")

    def log(self) -> str:
        return self.log_file.read_text()


def read_all(connection: socket.socket, may_be_reset: bool = False) -> bytes:
    parts = []
    with suppress(ConnectionResetError) if may_be_reset else nullcontext():
        while part := connection.recv(65536):
            parts.append(part)
    return b"".join(parts)


def reset(connection: socket.socket) -> None:
    """Close without a farewell: the server's system is told that the connection is broken."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
