import sys
from collections.abc import Iterator

import pytest

from tests.edge.wire import Server
from tests.live import SERVE, running_server

# As on a machine without uvloop.
WITHOUT_UVLOOP = (
    "import sys; sys.modules['uvloop'] = None; from orders_api.cli.commands import app; app()"
)
COMMANDS = {"uvloop": SERVE, "asyncio": (sys.executable, "-c", WITHOUT_UVLOOP, "serve")}


@pytest.fixture(scope="session", params=COMMANDS)
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    with running_server(folder, command=COMMANDS[request.param]) as address:
        yield Server(address, folder / "server.log")


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server without rows, on either event loop. Whatever is sent, its log has no complaint."""
    logged = len(running.log())
    yield running
    complaints = [line for line in running.log()[logged:].splitlines() if '"INFO"' not in line]
    running.clear()
    assert complaints == []
