"""Two PostgreSQL servers, and Patroni, which promotes one when the other is gone."""

import json
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import psutil

from tests.conftest import Postgres
from tests.live import free_port

MISSING = [name for name in ("etcd", "patroni", "haproxy") if shutil.which(name) is None]
TRUST = [f"host {databases} all 127.0.0.1/32 trust" for databases in ("all", "replication")]
ROLES = {"superuser": {"username": "postgres"}, "replication": {"username": "replicator"}}
DCS = {
    "ttl": 20,  # seconds until a leader that is gone is missed; the least that Patroni takes
    "loop_wait": 1,
    "retry_timeout": 3,
    "synchronous_mode": True,
    "postgresql": {"parameters": {"max_connections": 60}},
}
HAPROXY = """
defaults
    mode tcp
    timeout connect 2s
    timeout client 1h
    timeout server 1h
listen leader
    bind 127.0.0.1:{port}
    option httpchk GET /primary
    default-server check inter 500ms fall 2 rise 1 on-marked-down shutdown-sessions
    server a 127.0.0.1:{a.port} port {a.api}
    server b 127.0.0.1:{b.port} port {b.api}
"""


class Node:
    """A PostgreSQL server, and the Patroni that runs it."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.port, self.api = free_port(), free_port()

    def configuration(self, folder: Path, etcd: str) -> dict[str, Any]:
        address, api = f"127.0.0.1:{self.port}", f"127.0.0.1:{self.api}"
        return {
            "scope": "orders",
            "name": self.name,
            "restapi": {"listen": api, "connect_address": api},
            "etcd3": {"host": etcd},
            "bootstrap": {"dcs": DCS, "initdb": ["no-sync"]},
            "postgresql": {
                "listen": address,
                "connect_address": address,
                "bin_dir": str(Postgres.server.bin_path),
                "data_dir": str(folder / self.name),
                "pgpass": str(folder / f"{self.name}.pgpass"),
                "pg_hba": TRUST,
                "authentication": ROLES,
                "parameters": {"unix_socket_directories": ""},
            },
        }


class Patroni:
    """etcd, HAProxy and two nodes with synchronous replication."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="orders-api-patroni-"))
        self.user = Postgres.server.system_user
        if self.user:
            shutil.chown(self.folder, self.user)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}
        clients, peers = (f"127.0.0.1:{free_port()}" for _ in range(2))
        self.start(
            "etcd",
            "--data-dir=etcd",
            f"--listen-client-urls=http://{clients}",
            f"--advertise-client-urls=http://{clients}",
            f"--listen-peer-urls=http://{peers}",
            f"--initial-advertise-peer-urls=http://{peers}",
            f"--initial-cluster=default=http://{peers}",
        )
        self.nodes = {name: Node(name) for name in ("a", "b")}
        for name, node in self.nodes.items():
            configuration = json.dumps(node.configuration(self.folder, clients))
            (self.folder / f"{name}.json").write_text(configuration)
            self.start("patroni", f"{name}.json")
        self.port = free_port()
        haproxy = HAPROXY.format(port=self.port, **self.nodes)
        (self.folder / "haproxy.cfg").write_text(haproxy)
        self.start("haproxy", "-f", "haproxy.cfg")

    def start(self, program: str, *arguments: str) -> None:
        name = f"{program} {arguments[0]}"
        with (self.folder / "log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [program, *arguments], cwd=self.folder, user=self.user, stdout=log, stderr=log
            )

    def roles(self) -> dict[str, str]:
        """Return which node has which role."""
        for node in self.nodes.values():
            try:
                cluster = httpx2.get(f"http://127.0.0.1:{node.api}/cluster").json()
            except httpx2.TransportError:
                continue
            return {one["role"]: one["name"] for one in cluster["members"]}
        return {}

    def wait_until(self, condition: Callable[[dict[str, str]], bool]) -> dict[str, str]:
        """Wait until the roles of the nodes are as they should be, and return them."""
        deadline = time.monotonic() + 60
        while not condition(roles := self.roles()):
            assert time.monotonic() < deadline, (self.folder / "log").read_text()
            time.sleep(0.1)
        return roles

    def kill(self, node: str) -> None:
        """End a node at once, as if its machine had lost power."""
        patroni = psutil.Process(self.processes[f"patroni {node}.json"].pid)
        postmaster = psutil.Process(
            int((self.folder / node / "postmaster.pid").read_text().split()[0])
        )
        for process in (patroni, postmaster, *postmaster.children(recursive=True)):
            process.kill()

    def remove(self) -> None:
        for process in self.processes.values():
            process.send_signal(signal.SIGTERM)  # which ends PostgreSQL too
        for process in self.processes.values():
            process.wait(timeout=60)
        shutil.rmtree(self.folder)
