"""One server process on loopback, controlled by its pid."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from coherd_server.redis.embedded import ending_with_parent
from rig.ports import release_port, reserve_port
from rig.waiting import wait_until


class Node:
    """A server process. Without persistence unless ``args`` say otherwise; its directory survives `restart`."""

    def __init__(self, binary: str, args: Sequence[str] = (), *, config: str | None = None) -> None:
        self.port = reserve_port()
        self.login = ""
        """What `url` says before the host: ``user:password@``."""
        self.directory = Path(tempfile.mkdtemp(prefix="coherd-rig-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._command = [binary]
        if config is not None:
            path = self.directory / "server.conf"
            path.write_text(config)
            self._command += [str(path), "--sentinel"]
        self._command += ["--port", str(self.port), "--bind", "127.0.0.1", "--dir", str(self.directory)]
        if config is None:
            self._command += ["--save", "", "--appendonly", "no", "--repl-diskless-sync-delay", "0", *args]

    @property
    def url(self) -> str:
        return f"redis://{self.login}127.0.0.1:{self.port}"

    @property
    def pid(self) -> int:
        assert self._process is not None, "not started"
        return self._process.pid

    def launch(self) -> None:
        """Start without waiting, so that many start in parallel."""
        with (self.directory / "log").open("ab") as log:
            self._process = subprocess.Popen(
                ending_with_parent(self._command), stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def wait_ready(self) -> None:
        """Also a refusal for want of a password is an answer."""

        def answers() -> bool:
            try:
                return bool(self.client().ping())
            except redis.AuthenticationError:
                return True

        wait_until(f"port {self.port} answers", answers)

    def client(self, **options: Any) -> redis.Redis:
        """A synchronous client: no retries."""
        return redis.Redis(
            port=self.port,
            socket_timeout=20,
            socket_connect_timeout=20,
            retry=Retry(NoBackoff(), 0),
            protocol=2,
            **options,
        )

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def kill(self) -> None:
        """SIGKILL: nothing is saved, nobody is told."""
        self.signal(signal.SIGKILL)
        assert self._process is not None
        self._process.wait(60)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.signal(signal.SIGCONT)

    def restart(self) -> None:
        """SIGKILL where it runs, then start again on the same port and directory."""
        if self._process is not None and self._process.poll() is None:
            self.kill()
        self.launch()
        self.wait_ready()

    def close(self) -> None:
        if self._process is not None and self._process.poll() is None:
            self.kill()
        release_port(self.port)
        shutil.rmtree(self.directory, ignore_errors=True)


def start_all(nodes: Sequence[Node]) -> None:
    """Start in parallel and wait for all."""
    for node in nodes:
        node.launch()
    for node in nodes:
        node.wait_ready()
