"""`uv run pytest -s tests/fuzz/run.py` runs Schemathesis on both databases."""

import os
import subprocess
from pathlib import Path

import pytest

from orders_api.settings import Settings
from orders_api.storage.migrations import migrate
from tests.conftest import ROOT, Postgres
from tests.live import COMMAND, running_server

COMMAND_LINE = [
    str(COMMAND.with_name("schemathesis")),
    "--config-file=tests/fuzz/schemathesis.toml",
    "run",
]
PHASES = [
    ["--phases=examples,coverage,fuzzing"],
    # It ends as soon as the same request is answered otherwise than before, as that of a
    # duplicate must be. With a limit of time it begins anew until then.
    ["--phases=stateful", "--max-time=10"],
]


def test_a_server_does_what_its_document_says(database_url: str, tmp_path: Path) -> None:
    if database_url == "sqlite://":
        database_url = f"sqlite:///{tmp_path}/orders.db"
    elif Postgres.server is None:
        pytest.skip("TEST_DATABASE_URL has no second database for a server of its own")
    else:
        database_url = Postgres.create("fuzz")
    migrate(Settings(database_url=database_url).url)
    # Where everybody local is trusted, nobody can find out whether sign-in is demanded.
    environment = {"DATABASE_URL": database_url, "TRUST_LOCAL": "false"}
    with running_server(tmp_path, **environment) as address:
        for phases in PHASES:
            result = subprocess.run(
                [*COMMAND_LINE, *phases, f"{address}/openapi.json"],
                cwd=ROOT,
                env=os.environ | environment | {"ADDRESS": address},
            )
            assert result.returncode == 0
