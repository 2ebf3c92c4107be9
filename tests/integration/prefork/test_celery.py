"""A real Celery prefork worker whose plain tasks use the blocking client and the familiar names."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coherd import OpenKey
from coherd.compat.sync import UnifiedCacheService
from coherd.sync import CacheClient
from rig.processes import descendants, is_running
from rig.server import CoherdServer
from rig.valkey import standalone

HERE = Path(__file__).parent
TIMEOUT_S = 200.0


class Worker:
    """``celery worker`` with two children."""

    def __init__(self, target: str, folder: Path, broker_url: str) -> None:
        self._log = folder / "log"
        self.environ = {**os.environ, "COHERD_TARGET": target, "BROKER_URL": broker_url, "PYTHONPATH": str(HERE)}
        command = [sys.executable, "-m", "celery", "-A", "celery_tasks", "worker", "--pool=prefork", "--concurrency=2"]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat", "--loglevel=INFO"]
        command += ["--max-tasks-per-child=3"]
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env={**self.environ, "IN_WORKER": "1"},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )

    def log(self) -> str:
        """What it has written."""
        return self._log.read_text(errors="replace")

    def send(self, *calls: str) -> None:
        """Send tasks, each as Python, from a process of its own, as a web server would."""
        script = "import celery_tasks as t\n" + "".join(f"t.{call}\n" for call in calls)
        command = [sys.executable, "-c", script]
        subprocess.run(command, env=self.environ, check=True, timeout=TIMEOUT_S, capture_output=True)

    def stop(self) -> int:
        """Warm shut-down; the exit code."""
        if self.process.poll() is None:
            self.process.terminate()
        return self.process.wait(TIMEOUT_S)


@pytest.fixture(scope="module")
def worker(server_pool: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Worker]:
    # A store is the broker: through files, a worker may find one that is begun and not written yet, and ends.
    with standalone() as broker:
        one = Worker(server_pool.get("standalone").target, tmp_path_factory.mktemp("celery"), broker.url)
        yield one
        children = descendants(one.process.pid)
        try:
            code = one.stop()
        finally:
            one.process.kill()
        assert code == 0, one.log()
        assert not [pid for pid in children if is_running(pid)]
        assert "Traceback" not in one.log()


@pytest.fixture
def cache(server: CoherdServer) -> Iterator[CacheClient]:
    with CacheClient.connect(server.target, timeout_ms=60_000) as client:
        yield client


def answer(cache: CacheClient, task_id: str, worker: Worker) -> Any:
    """What a task has left."""
    end_s = time.monotonic() + TIMEOUT_S
    pause = threading.Event()
    while time.monotonic() < end_s:
        found = cache.get(OpenKey("content", "drafts", {"task": task_id}))
        found = found or UnifiedCacheService(cache).get_session_data(task_id)
        if found is not None:
            return found
        assert worker.process.poll() is None, worker.log()
        pause.wait(0.05)
    raise TimeoutError(worker.log())


def names(count: int) -> list[str]:
    """Identifiers nobody else uses."""
    return [uuid.uuid4().hex for _ in range(count)]


def test_plain_tasks_use_the_familiar_names(worker: Worker, cache: CacheClient) -> None:
    tasks = names(8)
    worker.send(*(f"familiar.delay({task!r})" for task in tasks))
    answers = [answer(cache, task, worker) for task in tasks]
    assert {each["ppid"] for each in answers} == {worker.process.pid}
    assert {each["parent"]["pid"] for each in answers} == {worker.process.pid}
    # Eight tasks, at most three a child: the parent forked anew after its clients had been used.
    assert len({each["pid"] for each in answers}) >= 3


def test_one_child_loads_for_both(worker: Worker, cache: CacheClient) -> None:
    shared, one, other = names(3)
    worker.send(f"load.delay({shared!r}, {one!r})", f"load.delay({shared!r}, {other!r})")
    answers = [answer(cache, task, worker) for task in (one, other)]
    assert len({each["pid"] for each in answers}) == 2
    assert len({each["loaded_by"] for each in answers}) == 1


def test_a_time_limit_interrupts_a_task_that_waits(worker: Worker, cache: CacheClient) -> None:
    shared, task = names(2)
    started, ended = threading.Event(), threading.Event()

    def load(_: object) -> str:
        started.set()
        assert ended.wait(TIMEOUT_S)
        return "loaded elsewhere"

    key = OpenKey("content", "drafts", {"shared": shared})
    loading = threading.Thread(target=cache.get_or_load, args=(key, load), kwargs={"load_timeout_ms": 300_000})
    loading.start()
    try:
        assert started.wait(TIMEOUT_S)
        worker.send(f"limited.delay({shared!r}, {task!r})")
        found = answer(cache, task, worker)
    finally:
        ended.set()
        loading.join(TIMEOUT_S)
    assert found["answer"] == "interrupted"
    assert found["took_s"] < 60
    assert cache.get(key) == "loaded elsewhere"
