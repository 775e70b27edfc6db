"""A PostgreSQL server of a drill's own, to be stopped, hung, filled and promoted."""

import shutil
import subprocess
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import psutil
import psycopg

from tests.conftest import Postgres
from tests.live import free_port

# What a power cut would lose matters here, so fsync stays on.
OPTIONS = "-c listen_addresses=127.0.0.1 -c unix_socket_directories= -c wal_level=replica"


class Cluster:
    """Runs the programs of the embedded PostgreSQL, as a user who may (root may not)."""

    def __init__(self, options: str = "", folder: Path | None = None) -> None:
        self.port = free_port()
        self.folder = folder or Path(tempfile.mkdtemp(prefix="orders-api-drill-"))
        self.data = self.folder / "data"
        self.options = f"{OPTIONS} -p {self.port} {options}"
        if Postgres.server.system_user:
            shutil.chown(self.folder, Postgres.server.system_user)

    @property
    def url(self) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/postgres"

    def run(self, program: str, *arguments: str) -> None:
        result = subprocess.run(
            [Postgres.server.bin_path / program, *arguments],
            user=Postgres.server.system_user,
            cwd=self.folder,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.STDOUT,
        )
        assert result.returncode == 0, f"{program} {arguments}"

    def make(self) -> "Cluster":
        self.run("initdb", "--auth=trust", "--username=postgres", "--no-sync", f"-D{self.data}")
        return self.start()

    def standby(self) -> "Cluster":
        """Make another server that follows this one."""
        other = Cluster()
        source = f"-dhost=127.0.0.1 port={self.port} user=postgres"
        other.run("pg_basebackup", source, "-R", "-cfast", f"-D{other.data}")
        return other.start()

    def start(self) -> "Cluster":
        self.run(
            "pg_ctl", "-w", f"-D{self.data}", f"-l{self.folder}/log", f"-o{self.options}", "start"
        )
        return self

    def stop(self, mode: str = "fast") -> None:
        self.run("pg_ctl", "-w", f"-D{self.data}", f"-m{mode}", "stop")

    def catch_up(self, primary: "Cluster") -> None:
        position = primary.execute("SELECT pg_current_wal_lsn()")[0][0]
        while not self.execute(f"SELECT pg_last_wal_replay_lsn() >= '{position}'")[0][0]:
            time.sleep(0.05)

    def promote(self) -> None:
        self.run("pg_ctl", "-w", f"-D{self.data}", "promote")

    def processes(self) -> list[psutil.Process]:
        postmaster = psutil.Process(int((self.data / "postmaster.pid").read_text().split()[0]))
        return [postmaster, *postmaster.children(recursive=True)]

    def hang(self) -> None:
        for process in self.processes():
            process.suspend()

    def go_on(self) -> None:
        for process in self.processes():
            process.resume()

    def execute(self, sql: str) -> list[tuple[object, ...]]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            cursor = connection.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def remove(self) -> None:
        with suppress(FileNotFoundError, psutil.NoSuchProcess):
            for process in self.processes():
                process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)
