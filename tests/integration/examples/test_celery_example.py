"""The example of Celery tasks, as its README says: a worker, and tasks sent to it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from coherd.domains import analytics
from coherd.sync import CacheClient
from rig.server import CoherdServer
from rig.waiting import wait_until

EXAMPLE = Path(__file__).parents[3] / "examples" / "celery"
TIMEOUT_S = 200.0


def test_the_worker_does_what_the_readme_promises(server: CoherdServer, tmp_path: Path) -> None:
    promised = (EXAMPLE / "README.md").read_text().split("```text\n")[1].split("```")[0].splitlines()
    environ = {**os.environ, "COHERD_TARGET": server.target, "BROKER_FOLDER": str(tmp_path / "broker")}
    environ["PYTHONDONTWRITEBYTECODE"] = "1"
    log = tmp_path / "log"
    stats = analytics.WritingStats(user="user123", days=30)

    def send(call: str) -> None:
        command = [sys.executable, "-c", f"import tasks; tasks.{call}"]
        subprocess.run(command, cwd=EXAMPLE, env=environ, check=True, timeout=TIMEOUT_S)

    command = [sys.executable, "-m", "celery", "-A", "tasks", "worker", "--pool=prefork", "--concurrency=2"]
    with log.open("wb") as out, CacheClient.connect(server.target, timeout_ms=60_000) as cache:
        cache.delete(stats)
        for call, line, stored in (
            ("writing_stats.delay('user123', 30)", promised[0], {"words": 810}),
            ("forget.delay('user123')", promised[1], None),
        ):
            send(call)  # before the worker runs: it may find a file that is begun and not written yet, and ends
            worker = subprocess.Popen([*command, "--loglevel=INFO"], cwd=EXAMPLE, env=environ, stdout=out, stderr=out)
            try:
                wait_until(line, lambda line=line: line in log.read_text(), timeout_s=TIMEOUT_S)
                assert cache.get(stats) == stored
                worker.terminate()
                assert worker.wait(TIMEOUT_S) == 0
            finally:
                worker.kill()
                worker.wait()
