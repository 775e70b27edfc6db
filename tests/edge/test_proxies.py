"""Requests that come through a proxy which keeps its connections to the server."""

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.edge.test_upgrade import H2C, curl_speaks_http2, smuggling
from tests.edge.wire import Server, chunked, get, todo
from tests.live import create_user, free_port, http, running_server
from tests.test_proxy import NGINX, running_nginx, wait_for

pytestmark = pytest.mark.slow

HAPROXY = shutil.which("haproxy", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
PROXIES = [
    pytest.param("nginx", marks=pytest.mark.skipif(NGINX is None, reason="needs nginx")),
    pytest.param("haproxy", marks=pytest.mark.skipif(HAPROXY is None, reason="needs haproxy")),
]

# It passes an Upgrade on, and uses a connection to the server for the next client.
CONFIGURATION = """
defaults
    mode http
    timeout connect 10s
    timeout client 10s
    timeout server 10s
    http-reuse always
    option forwardfor
frontend front
    bind 127.0.0.1:{port}
    default_backend back
backend back
    server api {server} maxconn 1
"""


@contextmanager
def running_haproxy(folder: Path, server: str) -> Iterator[tuple[str, int]]:
    port = free_port()
    text = CONFIGURATION.format(port=port, server=server.removeprefix("http://"))
    (folder / "haproxy.cfg").write_text(text)
    assert HAPROXY
    command = [HAPROXY, "-db", "-q", "-f", str(folder / "haproxy.cfg")]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield "127.0.0.1", port
        finally:
            process.terminate()


@pytest.fixture(scope="module", params=PROXIES)
def proxied(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Server, Server, str]]:
    """The server, the proxy before it, and what makes a request one of a user."""
    folder = tmp_path_factory.mktemp(request.param)
    running = running_nginx if request.param == "nginx" else running_haproxy
    create_user(folder, {})
    with running_server(folder) as address, running(folder, address) as (host, port):
        form = {"username": "ada", "password": "correct horse"}
        token = http.post(f"{address}/token", data=form).json()["access_token"]
        log = folder / "server.log"
        proxy = Server(f"http://{host}:{port}", log)
        yield Server(address, log), proxy, f"Authorization: Bearer {token}"


def test_no_request_becomes_another(proxied: tuple[Server, Server, str]) -> None:
    server, proxy, user = proxied
    head, body = smuggling(*H2C, user, "Connection: close")
    for packets in ((head, body), (head + body,)):
        (answer,) = proxy.exchange(*packets, ends=False)
        assert answer.status == 400
        # The next client is answered with what it asks for.
        (answer,) = proxy.exchange(get("/health", "Connection: close"), ends=False)
        assert answer.json() == {"status": "ok"}
    assert server.tasks() == []


def test_request_with_an_upgrade_is_answered_as_it_stands(
    proxied: tuple[Server, Server, str],
) -> None:
    server, proxy, user = proxied
    for make in (todo, chunked):
        sent = make("a", *H2C, user, "Connection: close")
        for cut in (len(sent), -1, -14):
            (answer,) = proxy.exchange(sent[:cut], sent[cut:], ends=False)
            assert answer.status == 201
    if curl_speaks_http2():
        command = ["curl", "--silent", "--fail", "--http2", "--header", user, "--json"]
        subprocess.run([*command, '{"task": "a"}', f"{proxy.address}/todos"], check=True,
                       stdout=subprocess.DEVNULL)  # fmt: skip
    assert set(server.tasks()) == {"a"}
    server.clear()
