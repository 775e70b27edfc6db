from collections.abc import Iterator

import pytest

from tests.edge.wire import Server
from tests.live import local_server


@pytest.fixture(scope="session", params=["auto", "asyncio"])  # uvloop's, and where there is none
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    with local_server(folder, loop=request.param) as address:
        yield Server(address, folder / "server.log")


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server without rows, on either event loop. Whatever is sent, its log has no complaint."""
    logged = len(running.log())
    yield running
    complaints = [line for line in running.log()[logged:].splitlines() if '"INFO"' not in line]
    running.clear()
    assert complaints == []
