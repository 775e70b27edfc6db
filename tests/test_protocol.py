"""How responses are written to the network."""

import asyncio
from typing import Any

import pytest
from uvicorn import Config
from uvicorn.server import ServerState

from orders_api.cli.protocol import HttpProtocol

REQUEST = b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n"


class Transport(asyncio.Transport):
    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []
        self.is_closed = False

    def write(self, data: Any) -> None:
        assert not self.is_closed
        self.written.append(bytes(data))

    def writelines(self, parts: Any) -> None:
        self.write(b"".join(parts))

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def write_eof(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.is_closed

    def close(self) -> None:
        self.is_closed = True


def connected(app: Any) -> tuple[HttpProtocol, Transport]:
    config = Config(app, http=HttpProtocol, access_log=False)
    config.load()
    protocol, transport = HttpProtocol(config, ServerState(), {}), Transport()
    protocol.connection_made(transport)
    return protocol, transport


def written(*parts: bytes, request: bytes = REQUEST) -> tuple[list[bytes], bool]:
    """Return what is written for a response with these parts, and whether the connection ends."""

    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        length = str(sum(map(len, parts))).encode()
        headers = [(b"content-length", length)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for n, part in enumerate(parts, 1):
            more = n < len(parts)
            await send({"type": "http.response.body", "body": part, "more_body": more})
            await asyncio.sleep(0)

    async def run() -> tuple[list[bytes], bool]:
        protocol, transport = connected(app)
        protocol.data_received(request)
        for _ in range(20):
            await asyncio.sleep(0)
        if protocol.timeout_keep_alive_task:
            protocol.timeout_keep_alive_task.cancel()
        return transport.written, transport.is_closed

    return asyncio.run(run())


def test_all_requests_learn_that_the_connection_is_lost() -> None:
    """Also the one that is answered while others wait, and those are not begun."""
    paths, told = [], []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        paths.append(scope["path"])
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(50):
            await send({"type": "http.response.body", "body": b"part", "more_body": True})
            await asyncio.sleep(0)
        told.append(await receive())

    async def run() -> None:
        protocol, transport = connected(app)
        protocol.data_received(REQUEST + REQUEST.replace(b"/", b"/second", 1))
        for _ in range(20):
            await asyncio.sleep(0)
        written = list(transport.written)
        transport.close()
        protocol.connection_lost(ConnectionResetError())
        for _ in range(100):
            await asyncio.sleep(0)
        assert transport.written == written

    asyncio.run(run())
    assert (paths, told) == (["/"], [{"type": "http.disconnect"}])


@pytest.mark.parametrize("received", [b"", b"GET / HT", REQUEST])
def test_shutdown_waits_for_no_client(received: bytes) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async def run() -> bool:
        protocol, transport = connected(app)
        protocol.data_received(received)
        for _ in range(20):
            await asyncio.sleep(0)
        protocol.shutdown()
        protocol.connection_lost(None)
        return transport.is_closed

    assert asyncio.run(run())


def test_head_and_body_are_written_together() -> None:
    [response], is_closed = written(b'{"status":"ok"}')
    assert response.startswith(b"HTTP/1.1 200 OK\r\n")
    assert response.endswith(b'\r\n\r\n{"status":"ok"}')
    assert not is_closed


def test_response_without_a_body_is_written() -> None:
    [response], _ = written(b"")
    assert response.endswith(b"\r\n\r\n")


def test_parts_that_take_their_time_are_written_as_they_come() -> None:
    first, second, third = written(b"a", b"b", b"c")[0]
    assert first.endswith(b"\r\n\r\na")
    assert (second, third) == (b"b", b"c")


def test_all_is_written_before_the_connection_ends() -> None:
    request = REQUEST.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    [response], is_closed = written(b"a", request=request)
    assert response.endswith(b"\r\n\r\na")
    assert is_closed
