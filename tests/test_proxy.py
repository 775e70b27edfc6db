"""nginx with the configuration of docs/deploy.md; what it does does not depend on the database."""

import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from tests.conftest import ROOT
from tests.live import free_port, http, running_server
from tests.samples import STORE, Json
from tests.sessions import blocks

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(NGINX is None, reason="needs nginx (Debian: apt-get install nginx-light)"),
]

# All that it writes is in its folder, and its patience is short.
CONFIGURATION = """
daemon off;
pid nginx.pid;
error_log error.log;
events {{}}
http {{
    access_log off;
    client_body_temp_path body; proxy_temp_path proxy; fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi; scgi_temp_path scgi;
    client_body_buffer_size 4m;  # if root starts it, another user works, who cannot write there
    {site}
}}
"""


@contextmanager
def running_nginx(folder: Path, server: str) -> Iterator[tuple[str, int]]:
    (site,) = blocks("nginx", (ROOT / "docs" / "deploy.md").read_text("utf-8"))
    port = free_port()
    site = site.replace("127.0.0.1:8000", server.removeprefix("http://"))
    site = site.replace("listen 80", f"listen 127.0.0.1:{port}")
    site = re.sub(r"(client_\w+_timeout) 10s", r"\1 1s", site)
    (folder / "nginx.conf").write_text(CONFIGURATION.format(site=site))
    assert NGINX
    command = [NGINX, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-e", "error.log"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            wait_for(port, process)
            yield "127.0.0.1", port
        finally:
            process.terminate()


def wait_for(port: int, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        assert process.poll() is None, "nginx ended"
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            time.sleep(0.05)
        else:
            return
    raise AssertionError("nginx did not start within 30 seconds")


def answer_to(address: tuple[str, int], begun: bytes) -> bytes:
    """Send a part of a request and then nothing more, and return what comes until the end."""
    with socket.create_connection(address, timeout=30) as connection:
        connection.sendall(begun)
        return b"".join(iter(lambda: connection.recv(65536), b""))


def line_of(request_id: str, log: Path) -> Json:
    """Return a request's line in the log, which is written when the answer is already sent."""
    for _ in range(600):
        for line in log.read_text().splitlines():
            if f'"requestId": "{request_id}"' in line and line.endswith("}"):
                found: Json = json.loads(line)
                return found
        time.sleep(0.05)
    raise AssertionError(f"{request_id} is not in the log")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("proxy")


@pytest.fixture(scope="module")
def nginx(folder: Path) -> Iterator[tuple[str, int]]:
    with (
        running_server(folder) as server,
        httpx2.Client(base_url=server) as client,
        running_nginx(folder, server) as address,
    ):
        for _ in range(2):
            client.post("/stores", json=STORE).raise_for_status()
        yield address


def test_request_comes_through_with_the_headers_of_the_proxy(
    nginx: tuple[str, int], folder: Path
) -> None:
    url = f"http://127.0.0.1:{nginx[1]}"
    forged = {"X-Forwarded-For": "192.0.2.9", "Forwarded": "for=192.0.2.9", "X-Request-ID": "abc-1"}
    response = http.get(f"{url}/stores?limit=1", headers=forged)
    assert response.links["next"]["url"].startswith(f"{url}/stores?limit=1&after=")
    assert line_of("abc-1", folder / "server.log")["client"] == "127.0.0.1"


def test_nobody_is_local_behind_the_proxy(nginx: tuple[str, int]) -> None:
    assert http.get(f"http://127.0.0.1:{nginx[1]}/todos").status_code == 401


def test_body_over_the_limit_has_the_answer_of_the_server(nginx: tuple[str, int]) -> None:
    body = b" " * 1_100_000
    response = http.post(f"http://127.0.0.1:{nginx[1]}/stores", content=body)
    assert response.status_code == 413
    assert response.headers["content-type"] == "application/problem+json"
    assert http.post(str(response.url), content=body * 2).status_code == 413


def test_client_that_does_not_finish_its_request_is_cut_off(nginx: tuple[str, int]) -> None:
    head = b"POST /stores HTTP/1.1\r\nHost: localhost\r\n"
    assert answer_to(nginx, head) == b""
    answer = answer_to(nginx, head + b"Content-Length: 9\r\n\r\n{")
    assert answer == b"" or answer.startswith(b"HTTP/1.1 408 ")
