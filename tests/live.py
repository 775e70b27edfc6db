"""Real servers for tests: started by the command of the README, on a free port."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2

COMMAND = Path(sys.executable).parent / "orders-api"
SERVE = (COMMAND, "serve")


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def create_user(folder: Path, environment: dict[str, str]) -> None:
    """Let `ada` sign in with the password `correct horse`."""
    subprocess.run(
        [COMMAND, "create-user", "ada", "--password-stdin"],
        cwd=folder,
        env=os.environ | environment,
        input=b"correct horse\n",
        check=True,
    )


@contextmanager
def running_server(
    folder: Path, *options: str, command: Sequence[str | Path] = SERVE, **environment: str
) -> Iterator[str]:
    """Run `orders-api serve` in `folder` until the block ends, and give its address."""
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
