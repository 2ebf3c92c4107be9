"""`--workers 2`: both serve on one port, counts are whole, whoever dies is replaced."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import Caller
from rig.own_catalog import OwnCatalog
from rig.processes import command, connections, descendants
from rig.server import CoherdServer
from rig.stand import CallerMaker
from rig.waiting import wait_until


@pytest.fixture(scope="module")
def pair() -> Iterator[CoherdServer]:
    """A server of two workers."""
    with CoherdServer("--workers", "2", "--log-format", "json") as server:
        yield server


def workers_of(server: CoherdServer) -> set[int]:
    """Pids of its workers."""
    return {pid for pid in descendants(server.process.pid) if "spawn_main" in command(pid)}


def port_of(server: CoherdServer) -> int:
    """Its port."""
    return int(server.target.rsplit(":", 1)[1])


def reached(server: CoherdServer, connect: CallerMaker) -> set[int]:
    """The workers that new connections come to; every one of them answers."""
    callers = [connect(server.target) for _ in range(24)]
    for caller in callers:
        assert caller.health() == "SERVING"
    found = {pid for pid in workers_of(server) if connections(pid, port_of(server))}
    for caller in callers:
        caller.close()
    return found


def test_both_serve(pair: CoherdServer, connect: CallerMaker) -> None:
    assert "2 workers" in pair.banner[0]
    assert len(workers_of(pair)) == 2
    assert reached(pair, connect) == workers_of(pair)


def test_counts_are_whole(pair: CoherdServer, connect: CallerMaker) -> None:
    callers = [connect(pair.target) for _ in range(12)]
    callers[0].set("celery:own:id:1", b"12345")
    for caller in callers:
        for _ in range(5):
            assert caller.value("celery:own:id:1") == b"12345"
            assert caller.value("celery:own:id:2") is None

    def whole(caller: Caller) -> bool:
        counts = caller.call("Metrics", pb.MetricsRequest(domains=["celery"])).domains[0]
        return (counts.sets, counts.hits, counts.misses, counts.read_bytes) == (1, 60, 60, 300)

    for caller in callers[:4]:
        wait_until("every worker tells the sum", lambda caller=caller: whole(caller))


def test_who_is_killed_is_replaced(pair: CoherdServer, connect: CallerMaker) -> None:
    """Also both at once."""
    before = workers_of(pair)
    for pid in before:
        os.kill(pid, signal.SIGKILL)

    def whole_again() -> bool:
        now = workers_of(pair)
        return len(now) == 2 and not now & before and reached(pair, connect) == now

    wait_until("two workers serve again", whole_again)
    settled = workers_of(pair)
    time.sleep(1.5)  # longer than a replacement takes: what came stays
    assert workers_of(pair) == settled
    assert pair.process.poll() is None
    assert "a worker ended" in pair.errors()
    assert "Traceback" not in pair.errors()


def test_a_worker_that_cannot_start_again_says_why(tmp_path: Path, connect: CallerMaker) -> None:
    """Once, not every second; and it starts when it can."""
    catalog = OwnCatalog(tmp_path).file
    with CoherdServer("--workers", "2", "--log-format", "json", "--catalog", str(catalog)) as server:
        catalog.rename(tmp_path / "away")
        os.kill(min(workers_of(server)), signal.SIGKILL)
        wait_until("the reason is told", lambda: "could not start; trying again" in server.errors())
        tried: set[int] = set()

        def tried_again() -> bool:
            tried.update(workers_of(server))
            return len(tried) >= 4  # the one that was left, and three that tried

        wait_until("it tries again and again", tried_again)
        lines = [json.loads(line) for line in server.errors().splitlines() if "could not start" in line]
        assert len(lines) == 1
        assert f"{catalog}: cannot be read: No such file" in lines[0]["reason"]
        (tmp_path / "away").rename(catalog)
        wait_until("both serve again", lambda: len(reached(server, connect)) == 2)
        assert "workers start again" in server.errors()


@pytest.mark.parametrize("workers", ["1", "2"])
def test_sighup_ends_nothing(connect: CallerMaker, workers: str) -> None:
    """Whoever is sent it: server, workers, Valkey."""
    with CoherdServer("--workers", workers, "--log-format", "json") as server:
        children = descendants(server.process.pid)
        for pid in [server.process.pid, *children]:
            os.kill(pid, signal.SIGHUP)
        wait_until(
            "it is told", lambda: server.errors().count("SIGHUP does nothing") == int(workers) + (workers != "1")
        )
        assert set(descendants(server.process.pid)) == set(children)
        assert connect(server.target).set("celery:own:id:1") == "STORED"
        assert server.stop() == 0
