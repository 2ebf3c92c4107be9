"""The stage of a run of near caches: as `coherence.soak.scene`, with proxies before store and servers."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from coherd_server.redis.names import log_name
from coherence.faults.proxy_thread import ProxyThread
from coherence.mutants.near_mutants import CLIENT_MUTANTS
from coherence.soak.scene import Scene, python_path
from coherence.traffic.near_client_process import NearConfig
from rig.cluster import Cluster
from rig.ports import reserve_port
from rig.process import Node
from rig.proxy import FaultProxy
from rig.sentinel import SentinelTrio

Rig = Node | SentinelTrio | Cluster


class NearScene(Scene):
    """Made by `near_scene`.

    Args:
        rig: the running store.
        directory: for histories and the source.
        broken: names of mutants, of servers and of clients, and of slowness (`coherence.faults.slowness`).
        seed: of every choice made at random.
        server_args: of each server.
    """

    def __init__(
        self, rig: Rig, directory: Path, *, broken: Sequence[str] = (), seed: int = 0, server_args: Sequence[str] = ()
    ) -> None:
        servers = [name for name in broken if name not in CLIENT_MUTANTS]
        super().__init__(rig, directory, broken=servers, seed=seed, server_args=server_args)
        self.to_store: list[ProxyThread[FaultProxy]] = []
        """Between each server and a single node; empty where the store tells its own addresses."""
        self.to_server: dict[str, ProxyThread[FaultProxy]] = {}
        """Between each client and its server."""
        self._client_mutants = [name for name in broken if name in CLIENT_MUTANTS]

    def _prepare(self, count: int) -> None:
        self._ports = [reserve_port() for _ in range(count)]
        self._urls = [self.rig.url] * count
        if isinstance(self.rig, Node):
            self.to_store = [ProxyThread(FaultProxy(self.rig.port)).__enter__() for _ in range(count)]
            self._urls = [f"redis://127.0.0.1:{proxy.port}" for proxy in self.to_store]

    def start_client(self, tasks: int = 5) -> str:
        """One more process, until the moment the others end, too; its name."""
        number = self._started
        self._started += 1
        name, server = f"n{number}", number % len(self.servers)
        proxy = self.to_server[name] = ProxyThread(FaultProxy(self._ports[server])).__enter__()
        config = NearConfig(
            str(self.directory),
            name,
            f"127.0.0.1:{proxy.port}",
            server,
            max(0.0, self._end_s - time.monotonic()),
            self.seed * 1000 + number,
            tasks,
            number % 4 == 3,
            self._client_mutants,
        )
        command = (sys.executable, "-m", "coherence.traffic.near_client_process", str(config.write()))
        with (self.directory / "stderr").open("ab") as errors:
            process = subprocess.Popen(command, env={**os.environ, **python_path()}, stdout=errors, stderr=errors)
        self.clients[name] = process
        return name

    def holder_of_log(self) -> Node:
        """The node that holds the log now."""
        if isinstance(self.rig, Cluster):
            return self.rig.owner_of(log_name(""))
        return self.primaries()[0]

    def close(self) -> None:
        """End everything but the store."""
        super().close()
        for proxy in (*self.to_store, *self.to_server.values()):
            proxy.__exit__()


@contextmanager
def near_scene(
    rig: Rig, *, broken: Sequence[str] = (), seed: int = 0, server_args: Sequence[str] = ()
) -> Iterator[NearScene]:
    """A scene over a running store, with a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="coherd-near-", ignore_cleanup_errors=True) as directory:
        made = NearScene(rig, Path(directory), broken=broken, seed=seed, server_args=server_args)
        try:
            yield made
        finally:
            made.close()
