"""An Upgrade that is not offered is ignored (RFC 9110, 7.8): no byte is read as something else."""

import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from tests.edge.wire import HOST, JSON, Server, chunked, get, request, todo
from tests.live import running_server

H2C = ("Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABkAAQAAP__")
UPGRADES = {
    "h2c": H2C,
    "websocket": ("Connection: keep-alive, upgrade", "Upgrade: websocket"),
    "twice": ("Connection: Upgrade", "Upgrade: h2c", "Connection: upgrade", "Upgrade: TLS/1.0"),
    "proxy": ("Proxy-Connection: Upgrade", "Upgrade: a"),
}
SMUGGLED = todo("smuggled")


def smuggling(*lines: str) -> tuple[bytes, bytes]:
    """A request whose body is the text of another."""
    head = request("POST /todos", HOST, JSON, *lines, f"Content-Length: {len(SMUGGLED)}")
    return head, SMUGGLED


@pytest.mark.parametrize("lines", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("packets", ["one", "two", "bytes"])
def test_body_is_not_read_as_the_next_request(
    server: Server, lines: tuple[str, ...], packets: str
) -> None:
    head, body = smuggling(*lines)
    sent = {
        "one": [head + body],
        "two": [head, body],
        "bytes": [bytes([byte]) for byte in head[-20:] + body],
    }[packets]
    if packets == "bytes":
        sent.insert(0, head[:-20])
    (answer,) = server.exchange(*sent)
    assert (answer.status, answer.json()["type"]) == (400, "urn:orders-api:malformed")
    assert server.tasks() == []


@pytest.mark.parametrize("lines", UPGRADES.values(), ids=UPGRADES)
@pytest.mark.parametrize("make", [todo, chunked])
@pytest.mark.parametrize("cut", [None, -1, -14, -30])
def test_request_is_answered_as_it_stands(
    server: Server, lines: tuple[str, ...], make: type[bytes], cut: int | None
) -> None:
    sent = make("a", *lines)
    packets = [sent[:cut], sent[cut:]] if cut else [sent]
    found = server.exchange(get("/health"), *packets, todo("b", *H2C) + get("/health", *H2C))
    assert [answer.status for answer in found] == [200, 201, 201, 200]
    assert server.tasks() == ["a", "b"]


def test_upgrade_without_its_connection_header_is_ignored(server: Server) -> None:
    found = server.exchange(todo("a", "Upgrade: h2c") + todo("b"))
    assert [answer.status for answer in found] == [201, 201]
    assert server.tasks() == ["a", "b"]


def test_client_that_waits_for_100_is_told_to_continue(server: Server) -> None:
    sent = todo("a", *H2C, "Expect: 100-continue", "Connection: close")
    head, separator, body = sent.partition(b"\r\n\r\n")
    with server.connect() as connection:
        connection.sendall(head + separator)
        assert connection.recv(1000) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(body)
        assert connection.recv(1000).startswith(b"HTTP/1.1 201 Created\r\n")
    assert server.tasks() == ["a"]


@pytest.mark.parametrize(
    "sent",
    [
        request("CONNECT localhost:80", HOST),
        request("CONNECT /todos", HOST, f"Content-Length: {len(SMUGGLED)}"),
        request("CONNECT localhost:80", HOST, *H2C),
        request("PRI *", "", "SM", version="HTTP/2.0"),
        request("POST /todos", HOST, f"Content-Length: {len(SMUGGLED)}", version="HTTP/2.0"),
    ],
    ids=["CONNECT", "CONNECT with a body", "CONNECT and Upgrade", "HTTP/2", "HTTP/2 version"],
)
@pytest.mark.parametrize("packets", [1, 2])
def test_after_what_is_not_served_nothing_is_read(
    server: Server, sent: bytes, packets: int
) -> None:
    parts = (sent, SMUGGLED)[:packets] if packets == 2 else (sent + SMUGGLED,)
    (answer,) = server.exchange(*parts, ends=False)
    assert (answer.status, answer.headers["connection"]) == (400, "close")
    assert answer.json()["type"] == "urn:orders-api:malformed"
    assert server.tasks() == []


@pytest.mark.slow
def test_smuggled_request_is_not_carried_out_by_plain_uvicorn(tmp_path: Path) -> None:
    """There it is the application that ends the connection."""
    uvicorn = (Path(sys.executable).parent / "uvicorn", "orders_api.main:app")
    with running_server(tmp_path, command=uvicorn) as address:
        plain = Server(address, tmp_path / "server.log")
        for lines in (H2C, ("Connection: Upgrade", "Upgrade: TLS/1.0")):
            head, body = smuggling(*lines)
            (answer,) = plain.exchange(head + body, ends=False)
            assert (answer.status, answer.headers["connection"]) == (422, "close")
            # uvicorn closes without reading on, which may lose its answer to who sends on.
            with suppress(ConnectionResetError):
                (answer,) = plain.exchange(head, body, ends=False)
                assert (answer.status, answer.headers["connection"]) == (422, "close")
        assert plain.tasks() == []


JAVA = """
import java.net.URI;
import java.net.http.*;

class Post {
    public static void main(String[] arguments) throws Exception {
        var client = HttpClient.newHttpClient();  // which asks for h2c
        for (var task : new String[] {"a", "b"}) {
            var body = HttpRequest.BodyPublishers.ofString("{\\"task\\": \\"" + task + "\\"}");
            var request = HttpRequest.newBuilder(URI.create(arguments[0] + "/todos"))
                .header("Content-Type", "application/json").POST(body).build();
            var answer = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(answer.statusCode());
        }
    }
}
"""


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("java") is None, reason="needs java")
def test_http_client_of_java_can_post(server: Server, tmp_path: Path) -> None:
    (tmp_path / "Post.java").write_text(JAVA)
    command = ["java", str(tmp_path / "Post.java"), server.address]
    output = subprocess.run(command, capture_output=True, check=True, text=True)
    assert output.stdout.split() == ["201", "201"]
    assert server.tasks() == ["a", "b"]


def curl_speaks_http2() -> bool:
    if shutil.which("curl") is None:
        return False
    return "HTTP2" in subprocess.run(["curl", "-V"], capture_output=True, text=True).stdout


@pytest.mark.slow
@pytest.mark.skipif(not curl_speaks_http2(), reason="needs a curl that speaks HTTP/2")
def test_curl_that_asks_for_http_2_can_post(server: Server) -> None:
    command = ["curl", "--silent", "--fail", "--http2", "--json", '{"task": "a"}']
    subprocess.run([*command, f"{server.address}/todos"], capture_output=True, check=True)
    assert server.tasks() == ["a"]
