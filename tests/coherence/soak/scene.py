"""The stage of a run: a store, servers before it, client processes, and the directory they record into."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Final, Literal

import redis

from coherence.faults.late_proxy import LateProxy
from coherence.faults.proxy_thread import ProxyThread
from coherence.history import History, Recorder
from coherence.traffic.client_process import ClientConfig
from coherence.traffic.keyspace import COUNTED
from coherence.traffic.source import Source
from rig.cluster import Cluster, cluster
from rig.ports import release_port, reserve_port
from rig.process import Node
from rig.sentinel import SentinelTrio, sentinel_trio
from rig.server import CoherdServer
from rig.valkey import redis7, standalone

Topology = Literal["standalone", "sentinel", "cluster", "redis7"]
TESTS: Final = Path(__file__).parents[2]


def python_path() -> dict[str, str]:
    """Environment in which a child finds the tests' modules."""
    rest = os.environ.get("PYTHONPATH", "")
    return {"PYTHONPATH": f"{TESTS}{os.pathsep}{rest}" if rest else str(TESTS)}


class Scene:
    """Made by `scene`. Faults act on it; `history` is what was recorded so far.

    Args:
        rig: the running store.
        directory: for histories and the source; emptied by nobody.
        broken: names of mutants, and of slowness (`coherence.faults.slowness`), of its servers.
        seed: of every choice made at random.
    """

    def __init__(
        self,
        rig: Node | SentinelTrio | Cluster,
        directory: Path,
        *,
        broken: Sequence[str] = (),
        seed: int = 0,
        server_args: Sequence[str] = (),
    ) -> None:
        self.rig = rig
        self.directory = directory
        self.rng = random.Random(seed)
        self.seed = seed
        self.recorder = Recorder(directory / "faults.jsonl", "faults")
        self.source = Source(directory / "source", COUNTED)
        self.servers: list[CoherdServer] = []
        self.clients: dict[str, subprocess.Popen[bytes]] = {}
        self.late: ProxyThread[LateProxy] | None = None
        """Between the first server and a single node."""
        self._broken = ",".join(broken)
        self._server_args = server_args
        self._ports: list[int] = []
        self._end_s = 0.0
        self._started = 0
        self._urls: list[str] = []

    # Servers.

    def start_servers(self, count: int) -> None:
        """Start them in parallel; each on a port it keeps when it is started again."""
        self._prepare(count)
        with ThreadPoolExecutor(count) as pool:
            self.servers = list(pool.map(self._server, range(count)))

    def _prepare(self, count: int) -> None:
        """Ports, and the way to the store."""
        self._ports = [reserve_port() for _ in range(count)]
        self._urls = [self.rig.url] * count
        if isinstance(self.rig, Node):
            self.late = ProxyThread(LateProxy(self.rig.port))
            self.late.__enter__()
            self._urls[0] = f"redis://127.0.0.1:{self.late.port}"

    def _server(self, number: int) -> CoherdServer:
        return CoherdServer(
            *("--redis", self._urls[number], "--listen", f"127.0.0.1:{self._ports[number]}"),
            *("--log-format", "json", *self._server_args),
            environ=python_path(),
            module=("coherence.mutants.mutant_server", self._broken) if self._broken else ("coherd.cli",),
        )

    def restart_server(self, number: int) -> None:
        """Start a server again that was killed."""
        self.servers[number] = self._server(number)

    # Clients.

    def start_clients(self, count: int, seconds: float, tasks: int = 6) -> None:
        """Start processes that run until the same moment."""
        self._end_s = time.monotonic() + seconds
        for _ in range(count):
            self.start_client(tasks)

    def start_client(self, tasks: int = 6) -> str:
        """One more process, until the moment the others end, too; its name."""
        number = self._started
        self._started += 1
        config = ClientConfig(
            str(self.directory),
            f"c{number}",
            number,
            [f"127.0.0.1:{port}" for port in self._ports],
            max(0.0, self._end_s - time.monotonic()),
            self.seed * 1000 + number,
            tasks,
        )
        command = (sys.executable, "-m", "coherence.traffic.client_process", str(config.write()))
        with (self.directory / "stderr").open("ab") as errors:
            process = subprocess.Popen(command, env={**os.environ, **python_path()}, stdout=errors, stderr=errors)
        self.clients[config.process] = process
        return config.process

    @property
    def remaining_s(self) -> float:
        """Until the clients end."""
        return self._end_s - time.monotonic()

    def wait(self, *, slack_s: float = 200.0) -> None:
        """Until all clients have ended.

        Raises:
            AssertionError: one ended with an error.
        """
        for name, process in self.clients.items():
            process.send_signal(signal.SIGCONT)
            code = process.wait(max(0.0, self.remaining_s) + slack_s)
            if code not in (0, -signal.SIGKILL):
                raise AssertionError(f"client {name} ended with {code}:\n{(self.directory / 'stderr').read_text()}")

    def history(self) -> History:
        """What was recorded so far."""
        return History.load(self.directory)

    # The store.

    def primaries(self) -> list[Node]:
        """Every primary now."""
        if isinstance(self.rig, Cluster):
            return [node for node in self.rig.nodes if _role(node) == "master"]
        return [self.rig.primary()] if isinstance(self.rig, SentinelTrio) else [self.rig]

    def on_primaries(self, *command: Any) -> list[Any]:
        """One command on each primary."""
        return [node.client().execute_command(*command) for node in self.primaries()]

    def close(self) -> None:
        """End everything but the store."""
        for process in self.clients.values():
            if process.poll() is None:
                process.kill()
            process.wait()
        for server in self.servers:
            if server.process.poll() is None:
                server.process.send_signal(signal.SIGCONT)
                server.kill()
        if self.late is not None:
            self.late.__exit__()
        self.source.close()
        for port in self._ports:
            release_port(port)


def _role(node: Node) -> str:
    try:
        return str(node.client().info("replication")["role"])
    except redis.RedisError:
        return "?"


@contextmanager
def store_of(topology: Topology) -> Iterator[Node | SentinelTrio | Cluster]:
    """A store of a kind, running."""
    with ExitStack() as stack:
        makers: dict[str, Any] = {
            "standalone": standalone,
            "sentinel": sentinel_trio,
            "cluster": cluster,
            "redis7": redis7,
        }
        yield stack.enter_context(makers[topology]())


@contextmanager
def scene(
    rig: Node | SentinelTrio | Cluster, *, broken: Sequence[str] = (), seed: int = 0, server_args: Sequence[str] = ()
) -> Iterator[Scene]:
    """A scene over a running store, with a directory of its own."""
    with tempfile.TemporaryDirectory(prefix="coherd-history-", ignore_cleanup_errors=True) as directory:
        made = Scene(rig, Path(directory), broken=broken, seed=seed, server_args=server_args)
        try:
            yield made
        finally:
            made.close()


@contextmanager
def recorded(scene: Scene, kind: str, *hit: str) -> Iterator[None]:
    """The fault in the history."""
    begun = scene.recorder.begin("fault", key=kind, tags=hit)
    try:
        yield
    finally:
        scene.recorder.end(begun, "done")
