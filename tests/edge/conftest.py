import os
from collections.abc import Iterator

import pytest

from tests.edge.wire import Server
from tests.live import local_server


# uvloop, and where there is none the other, on which the same code runs.
@pytest.fixture(scope="session", params=["auto", pytest.param("asyncio", marks=pytest.mark.slow)])
def running(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp(request.param)
    # On a busy machine a statement may take long, which is no complaint of these tests.
    with local_server(folder, loop=request.param, SLOW_STATEMENT_MS="60000") as address:
        yield Server(address, folder / "server.log")


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server without rows, on either event loop. Whatever is sent, its log has no complaint."""
    with running.log_file.open() as log:
        log.seek(0, os.SEEK_END)
        yield running
        complaints = [line for line in log if '"INFO"' not in line]
    running.clear()
    assert complaints == []
