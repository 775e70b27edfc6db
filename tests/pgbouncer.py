"""PgBouncer before a PostgreSQL server, in transaction mode.

Each transaction takes the server's next connection, so that none can rely on the one before.
TEST_PGBOUNCER names its program for a run in which the tests go through it (`tests/postgres.py`).
"""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from tests.conftest import ROOT
from tests.live import free_port
from tests.sessions import blocks

PROGRAM = os.environ.get("TEST_PGBOUNCER") or shutil.which(
    "pgbouncer", path=f"{os.environ.get('PATH')}:/usr/sbin"
)
(ADVICE,) = blocks("ini", (ROOT / "docs" / "postgresql.md").read_text("utf-8"))
CONFIGURATION = """
[databases]
* = {server}
{advice}
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
server_round_robin = 1
min_pool_size = 3
"""


class PgBouncer:
    """Runs until it is removed, as a user who may run it (root may not)."""

    def __init__(self, server: str, user: str | None) -> None:
        """Stand before the server of this URL."""
        self.user = user
        self.port = free_port()
        self.folder = Path(tempfile.mkdtemp(prefix="orders-api-pgbouncer-"))
        there = conninfo_to_dict(server)
        there.pop("dbname", None)
        configuration = CONFIGURATION.format(
            server=make_conninfo("", **there), advice=ADVICE, port=self.port
        )
        (self.folder / "pgbouncer.ini").write_text(configuration)
        if user:
            shutil.chown(self.folder, user)
        self.start()

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        assert PROGRAM
        log = self.folder / "log"
        with log.open("ab") as output:
            self.process = subprocess.Popen(
                [PROGRAM, "pgbouncer.ini"],
                cwd=self.folder,
                user=self.user,
                stdout=output,
                stderr=output,
            )
        while True:
            try:
                return psycopg.connect(self.url("postgres")).close()
            except psycopg.OperationalError as error:
                is_starting = self.process.poll() is None and "refused" in str(error)
                assert is_starting, log.read_text()
                time.sleep(0.005)

    def end(self, number: signal.Signals) -> None:
        self.process.send_signal(number)
        self.process.wait(timeout=30)

    def remove(self) -> None:
        self.end(signal.SIGKILL)
        shutil.rmtree(self.folder)
