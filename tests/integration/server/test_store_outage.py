"""Redis gone while serving: errors in time and of the right kind, health that says so, and recovery by itself."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest
from grpc_health.v1 import health_pb2

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import Caller, Problem, problem_in, problem_of, reason_in, text_key
from rig.cluster import cluster
from rig.process import Node
from rig.server import CoherdServer
from rig.stand import CallerMaker
from rig.valkey import standalone
from rig.waiting import wait_until

TIMEOUT = ("--redis-timeout", "400ms")
WITHIN_S = 10.0
"""A call waits at most twice the time-out; the rest is for a busy machine."""
SECRET = "s3cretperson"
KEY = f"psychology:profile:user:{SECRET}"
CELERY = f"celery:task_metrics:id:{SECRET}"
READS: list[tuple[str, Any]] = [
    ("Get", pb.GetRequest(key=text_key(KEY))),
    ("Metrics", pb.MetricsRequest()),
    ("/coherd.domains.psychology.v1.PsychologyCache/Profile", b"\x0a\x04abcd"),
]
WRITES: list[tuple[str, Any]] = [
    ("Set", pb.SetRequest(key=text_key(KEY), value=SECRET.encode())),
    ("Delete", pb.DeleteRequest(key=text_key(KEY))),
    ("Touch", pb.TouchRequest(key=text_key(KEY))),
    ("Invalidate", pb.InvalidateRequest(selectors=[{"named": {"name": "user", "value": SECRET}}])),
    ("Invalidate", pb.InvalidateRequest(selectors=[{"key": text_key(KEY)}])),
]


def check(problem: Problem, *, unknown_allowed: bool) -> None:
    """UNAVAILABLE with advice, or where it may have taken effect: UNKNOWN."""
    if problem.reason == "OUTCOME_UNKNOWN" and unknown_allowed:
        assert (problem.code, problem.retry_ms) == ("UNKNOWN", None)
    else:
        assert (problem.code, problem.reason) == ("UNAVAILABLE", "STORE_UNAVAILABLE")
        assert problem.retry_ms == 200
    assert problem.domain == "coherd"
    assert SECRET.encode() not in problem.everything


def stored(caller: Caller, key: str, value: bytes = b"before") -> None:
    """Store it, however late the store answers at times."""
    wait_until("it is stored", lambda: caller.set(key, value) == "STORED")


def everything_fails(caller: Caller) -> None:
    """Every verb fails in time and as it must; batches item by item."""
    for rpc, request in [*READS, *WRITES]:
        started_s = time.monotonic()
        problem = caller.refused(rpc, request)
        assert time.monotonic() - started_s < WITHIN_S, rpc
        check(problem, unknown_allowed=(rpc, request) in WRITES)
    keys = [text_key(KEY), text_key("nowhere:x"), text_key(CELERY)]
    items = [pb.SetRequest(key=key, value=b"v") for key in keys]
    for rpc, batch in (("BatchGet", pb.BatchGetRequest(keys=keys)), ("BatchSet", pb.BatchSetRequest(items=items))):
        first, bad, last = caller.call(rpc, batch).results
        assert reason_in(bad) == "DOMAIN_UNKNOWN"
        for one in (first, last):
            assert reason_in(one) in ("STORE_UNAVAILABLE", *(("OUTCOME_UNKNOWN",) if rpc == "BatchSet" else ()))
            assert one.error.retry_after_ms == (200 if reason_in(one) == "STORE_UNAVAILABLE" else 0)


@contextmanager
def watching(caller: Caller) -> Iterator[list[str]]:
    """The statuses a health watcher is sent."""
    seen: list[str] = []
    watch = caller.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        health_pb2.HealthCheckRequest.SerializeToString,
        health_pb2.HealthCheckResponse.FromString,
    )(health_pb2.HealthCheckRequest(service="coherd.v1.CacheService"))

    def collect() -> None:
        try:
            for status in watch:
                seen.append(health_pb2.HealthCheckResponse.ServingStatus.Name(status.status))
        except grpc.RpcError:
            pass

    thread = threading.Thread(target=collect)
    thread.start()
    try:
        yield seen
    finally:
        watch.cancel()
        thread.join()


def gone(node: Node, how: str) -> None:
    """Take it away."""
    node.kill() if how == "killed" else node.pause()


def back(node: Node, how: str) -> None:
    """Give it back."""
    node.restart() if how == "killed" else node.resume()


@pytest.mark.parametrize("how", ["killed", "stopped"])
def test_single(connect: CallerMaker, how: str) -> None:
    with standalone() as node, CoherdServer("--redis", node.url, *TIMEOUT, "--log-format", "json") as server:
        caller = connect(server.target)
        for key in (KEY, CELERY):
            stored(caller, key)
        both = (caller.health, lambda: caller.health("coherd.v1.CacheService"))
        wait_until("health is good", lambda: {health() for health in both} == {"SERVING"})
        with watching(caller) as seen:
            wait_until("the watcher starts", lambda: seen == ["SERVING"])
            gone(node, how)
            everything_fails(caller)
            services = ("", "coherd.v1.CacheService", "coherd.domains.psychology.v1.PsychologyCache")
            wait_until("health says so", lambda: {caller.health(service) for service in services} == {"NOT_SERVING"})
            wait_until("the watcher is told", lambda: seen == ["SERVING", "NOT_SERVING"])
            everything_fails(caller)
            back(node, how)
            wait_until("health is back", lambda: {caller.health(service) for service in services} == {"SERVING"})
            wait_until("the watcher is told", lambda: seen == ["SERVING", "NOT_SERVING", "SERVING"])
        wait_until("it stores again", lambda: caller.set(KEY, b"after") == "STORED")
        assert caller.value(KEY) == b"after"
        log = server.errors()
        assert "the store does not answer" in log
        assert "the store answers again" in log
        assert SECRET not in log
        assert '"level": "error"' not in log
        assert server.stop() == 0


def test_a_short_deadline_is_kept(connect: CallerMaker) -> None:
    """The server answers within the caller's deadline, so that the caller learns whether anything was changed."""
    with standalone() as node, CoherdServer("--redis", node.url, "--redis-timeout", "20s") as server:
        caller = connect(server.target)
        caller.set(KEY, b"v")
        node.pause()
        try:
            read, *writes = [caller.hold(rpc, request, timeout_s=3) for rpc, request in (READS[0], *WRITES[:2])]
            check(problem_of(read), unknown_allowed=False)
            assert [problem_of(call).reason for call in writes] == ["OUTCOME_UNKNOWN"] * 2
        finally:
            node.resume()
        wait_until("it answers again", lambda: caller.get(KEY))


def test_redis_gone_for_good_does_not_hold_up_the_end(connect: CallerMaker) -> None:
    with standalone() as node, CoherdServer("--redis", node.url, *TIMEOUT) as server:
        stored(connect(server.target), KEY)
        node.pause()
        started_s = time.monotonic()
        assert server.stop() == 0
        assert time.monotonic() - started_s < 50
        node.resume()


def test_a_stopped_primary_of_a_cluster_fails_only_its_own_keys(connect: CallerMaker) -> None:
    with cluster(primaries=3, replicas=0) as rig, CoherdServer("--redis", rig.url, *TIMEOUT) as server:
        caller = connect(server.target)
        keys = [f"celery:own:id:{index}" for index in range(60)]
        for key in keys:
            stored(caller, key, key.encode())
        tags = [f"coherd:epoch:{tag}" for tag in ("celery", "celery:own")]
        needed = {rig.owner_of(tag).port for tag in tags}
        victim = next(node for node in rig.nodes if node.port not in needed)
        lost = {key for key in keys if rig.owner_of(key) is victim}
        assert 0 < len(lost) < len(keys)
        victim.pause()
        try:
            request = pb.BatchGetRequest(keys=map(text_key, keys))

            def partly() -> bool:
                started_s = time.monotonic()
                results = caller.call("BatchGet", request).results
                assert time.monotonic() - started_s < 2 * WITHIN_S
                for key, one in zip(keys, results, strict=True):
                    if key in lost:
                        assert (reason_in(one), one.error.retry_after_ms) == ("STORE_UNAVAILABLE", 200)
                    else:
                        assert one.hit.value == key.encode()
                return True

            partly()
            partly()
            items = [pb.SetRequest(key=text_key(key), value=b"new") for key in keys]
            for key, one in zip(keys, caller.call("BatchSet", pb.BatchSetRequest(items=items)).results, strict=True):
                if key in lost:
                    assert reason_in(one) in ("STORE_UNAVAILABLE", "OUTCOME_UNKNOWN")
                else:
                    assert one.set.outcome == pb.SET_OUTCOME_STORED
        finally:
            victim.resume()
        wait_until("all answer again", lambda: all(caller.get(key) for key in keys))
        assert caller.value(next(key for key in keys if key not in lost)) == b"new"


def test_unavailable_at_memory_limit(connect: CallerMaker) -> None:
    """Full and not evicting: sets say so with advice; reads, deletes and invalidations work."""
    with (
        standalone("--maxmemory", "4mb", "--maxmemory-policy", "noeviction") as node,
        CoherdServer("--redis", node.url) as server,
    ):
        caller = connect(server.target)
        caller.set(CELERY, b"kept")
        problem: Problem | None = None
        for index in range(100):
            try:
                caller.set(f"{CELERY}{index}", bytes(100_000))
            except grpc.RpcError as error:
                problem = problem_in(error)
                break
        assert problem is not None, "it must get full"
        assert (problem.code, problem.reason, problem.retry_ms) == ("RESOURCE_EXHAUSTED", "STORE_FULL", 1_000)
        assert caller.value(CELERY) == b"kept"
        caller.invalidate({"resource": {"domain": "celery", "resource": "task_metrics"}})
        assert caller.value(CELERY) is None
        assert caller.delete(f"{CELERY}0")
