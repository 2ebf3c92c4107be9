"""A real gunicorn that preloads its application and forks its workers."""

from __future__ import annotations

import http.client
import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from coherd_server.redis.embedded import free_port
from rig.processes import descendants, is_running
from rig.server import CoherdServer

HERE = Path(__file__).parent
TIMEOUT_S = 60.0


class Gunicorn:
    """Two workers before one application."""

    def __init__(self, target: str, folder: Path, *options: str) -> None:
        self.port = free_port()
        self._log = folder / "log"
        environ = {**os.environ, "COHERD_TARGET": target, "PYTHONPATH": str(HERE), "HOME": str(folder)}
        command = [sys.executable, "-m", "gunicorn", "wsgi_app:application", "--preload", "--workers=2"]
        command += [f"--bind=127.0.0.1:{self.port}", "--graceful-timeout=10", *options]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environ, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def page(self, name: str) -> Any:
        """What it answers; tried until there is an answer."""
        end_s = time.monotonic() + TIMEOUT_S
        pause = threading.Event()
        while time.monotonic() < end_s:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
            try:
                connection.request("GET", f"/{name}")
                answer = connection.getresponse()
                assert answer.status == 200, self.log()
                return json.loads(answer.read())
            except (OSError, http.client.HTTPException):
                assert self.process.poll() is None, self.log()
                pause.wait(0.05)
            finally:
                connection.close()
        raise TimeoutError(self.log())

    def pages(self, workers: int) -> dict[int, Any]:
        """Answers by the worker that gave them, of as many workers; each is asked for a page of its own."""
        found: dict[int, Any] = {}
        end_s = time.monotonic() + TIMEOUT_S
        with ThreadPoolExecutor(8) as threads:
            while len(found) < workers and time.monotonic() < end_s:
                for answer in threads.map(self.page, [uuid.uuid4().hex for _ in range(8)]):
                    found[answer["pid"]] = answer
        assert len(found) >= workers, self.log()
        return found

    def stop(self) -> int:
        """Graceful; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(TIMEOUT_S)


@pytest.fixture(params=[("--worker-class=sync",), ("--worker-class=gthread", "--threads=4")], ids=["sync", "gthread"])
def gunicorn(request: pytest.FixtureRequest, server: CoherdServer, tmp_path: Path) -> Iterator[Gunicorn]:
    one = Gunicorn(server.target, tmp_path, *request.param)
    yield one
    children = descendants(one.process.pid)
    try:
        code = one.stop()
    finally:
        one.process.kill()
    assert code == 0, one.log()
    assert not [pid for pid in children if is_running(pid)]
    assert "Traceback" not in one.log()


def test_workers_use_a_client_of_before_the_fork(gunicorn: Gunicorn) -> None:
    first = gunicorn.pages(2)
    for pid, answer in first.items():
        assert answer == {"pid": pid, "parent": gunicorn.process.pid, "value": [pid, True]}
    name = uuid.uuid4().hex
    assert len({json.dumps(gunicorn.page(name)["value"]) for _ in range(8)}) == 1
    lost = next(iter(first))
    os.kill(lost, signal.SIGKILL)
    later = gunicorn.pages(2)
    while lost in later:  # an answer given before it died
        later = gunicorn.pages(2)
    assert set(later) - set(first)  # forked from a parent that had used its client
    assert {answer["parent"] for answer in later.values()} == {gunicorn.process.pid}
