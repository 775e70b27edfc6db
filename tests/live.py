"""Real servers for tests, on a free port.

`running_server` starts the command of the README, and `local_server` what that runs, but in a
thread of this process, in a tenth of the time. Both write `server.log` in their folder.
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest
import uvicorn
from typer.testing import CliRunner

from orders_api.app import create_app
from orders_api.cli import commands
from orders_api.logs import JsonFormatter
from orders_api.settings import Settings

http = httpx2.Client(verify=False)  # to read the certificates takes 20 ms
COMMAND = Path(sys.executable).parent / "orders-api"
SERVE = (COMMAND, "serve")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def create_user(folder: Path, environment: dict[str, str]) -> None:
    """Let `ada` sign in with the password `correct horse`."""
    arguments = ["create-user", "ada", "--password-stdin"]
    environment = {"DATABASE_URL": f"sqlite:///{folder}/orders.db"} | environment
    result = CliRunner().invoke(commands.app, arguments, input="correct horse\n", env=environment)
    assert result.exit_code == 0, result.output


class Server(uvicorn.Server):
    """Uvicorn's, but it looks more often whether it should end, and whether it may."""

    async def main_loop(self) -> None:
        while not await self.on_tick(0):  # noqa: ASYNC110  # another thread sets what it looks at
            await asyncio.sleep(0.01)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for server in self.servers:
            server.close()
        for listener in sockets or []:
            listener.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110 - as uvicorn does
            await asyncio.sleep(0.002)  # and not for 0.1 s
        await self.lifespan.shutdown()


@contextmanager
def local_server(folder: Path, loop: str = "auto", **environment: str) -> Iterator[str]:
    """Serve as `orders-api serve` does in `folder` until the block ends; yield the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    served = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DATABASE_URL", f"sqlite:///{folder}/orders.db")
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(uvicorn, "run", lambda _, **options: served.append(options))
        commands.serve(port=free_port())
        (options,) = served
        # The logging of this process is pytest's.
        options |= {"log_config": None, "loop": loop}
        server = Server(uvicorn.Config(create_app(Settings()), **options))
    log = logging.FileHandler(folder / "server.log")
    log.setFormatter(JsonFormatter())
    loggers = [logging.getLogger(name) for name in ("orders_api", "uvicorn.error", "asyncio")]
    for logger in loggers:
        logger.addHandler(log)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        while not server.started:
            assert thread.is_alive(), "the server ended"
            time.sleep(0.005)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.should_exit = True
        thread.join()
        for logger in loggers:
            logger.removeHandler(log)
        log.close()


@contextmanager
def served_by(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Run a server that is not ours, with a handler of the test's, and yield its address."""
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def running_server(
    folder: Path, *options: str, command: Sequence[str | Path] = SERVE, **environment: str
) -> Iterator[str]:
    """Run `orders-api serve` in `folder` until the block ends, and yield its address."""
    address = f"http://127.0.0.1:{free_port()}"
    log = folder / "server.log"
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [*command, "--port", address.rpartition(":")[2], *options],
            cwd=folder,
            env=os.environ | environment,
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            wait_until_healthy(address + environment.get("API_PREFIX", ""), process)
            yield address
        except BaseException:
            sys.stderr.write(log.read_text())
            raise
        finally:
            process.send_signal(signal.SIGTERM)


def wait_until_healthy(address: str, process: subprocess.Popen[bytes]) -> None:
    with httpx2.Client() as client:  # to make one takes ten times as long as to send a request
        for _ in range(600):
            try:
                if client.get(f"{address}/health").status_code == 200:
                    return
            except httpx2.TransportError:
                assert process.poll() is None, "the server ended"
            time.sleep(0.05)
    raise AssertionError("the server did not start within 30 seconds")
