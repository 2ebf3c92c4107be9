"""Two servers before one store: what one acknowledged, the other never contradicts (P1); restarts and prefixes."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import Caller, text_key
from rig.fixtures import RigPool
from rig.server import CoherdServer
from rig.stand import CallerMaker, Stand
from rig.waiting import wait_until

ROUNDS = 60


@pytest.fixture
def second(stand: Stand) -> Iterator[Caller]:
    """A caller of another server on the stand's store."""
    with (
        CoherdServer("--redis", stand.backend.url, "--key-prefix", stand.backend.prefix) as server,
        Caller(server.target) as caller,
    ):
        yield caller


class Read(NamedTuple):
    """One read of a recorded history."""

    started_s: float
    round: int | None


def check_no_resurrection(reads: list[Read], acknowledged_s: list[float]) -> None:
    """P1: no read that starts after round n was invalidated returns what was stored in round n or before."""
    for read in reads:
        if read.round is not None:
            assert read.started_s <= acknowledged_s[read.round], f"round {read.round} was read after its invalidation"


def test_no_read_elsewhere_returns_what_was_invalidated(stand: Stand, second: Caller, name: str) -> None:
    key = f"session:data:id:{name}"
    selectors = [
        {"named": {"name": "user", "value": name}},
        {"key": {"text": key}},
        {"tag": {"domain": "session", "identifier": "user", "value": name}},
    ]
    reads: list[Read] = []
    acknowledged_s: list[float] = []
    over = threading.Event()

    def keep_reading(caller: Caller) -> None:
        while not over.is_set():
            started_s = time.monotonic()
            value = caller.value(key)
            reads.append(Read(started_s, None if value is None else int(value)))

    threads = [threading.Thread(target=keep_reading, args=(caller,)) for caller in (second, stand.caller)]
    for thread in threads:
        thread.start()
    try:
        for number in range(ROUNDS):
            writer, other = (stand.caller, second) if number % 2 else (second, stand.caller)
            writer.set(key, str(number).encode(), extra_tags={"user": name})
            assert other.value(key) == str(number).encode(), "an acknowledged set is seen by every server"
            other.invalidate(selectors[number % 3])  # type: ignore[arg-type]
            acknowledged_s.append(time.monotonic())
            assert writer.value(key) is None
    finally:
        over.set()
        for thread in threads:
            thread.join()
    assert len([read for read in reads if read.round is not None]) > ROUNDS // 4, "the readers must have seen values"
    check_no_resurrection(reads, acknowledged_s)


def test_the_check_finds_a_resurrection() -> None:
    with pytest.raises(AssertionError, match="round 0"):
        check_no_resurrection([Read(1.0, 0), Read(3.0, 0)], [2.0])


def test_a_restarted_server_serves_what_was_stored(rig_pool: RigPool, connect: CallerMaker, name: str) -> None:
    arguments = ("--redis", rig_pool.get("standalone").url, "--key-prefix", f"{name}:")
    key = f"psychology:profile:user:{name}"
    with CoherdServer(*arguments) as first:
        connect(first.target).set(key, b"kept", version=3)
        connect(first.target).value(key)
        assert first.stop() == 0
    with CoherdServer(*arguments) as again:
        caller = connect(again.target)
        assert caller.value(key) == b"kept"
        assert caller.set(key, b"old", version=2) == "OLDER_VERSION"
        counts = caller.call("Metrics", pb.MetricsRequest(domains=["psychology"])).domains[0]
        assert (counts.sets, counts.hits) == (1, 2), "counts survive too"


def test_prefixes_are_worlds_apart(rig_pool: RigPool, connect: CallerMaker, name: str) -> None:
    rig = rig_pool.get("standalone")
    key = f"psychology:profile:user:{name}"
    with (
        CoherdServer("--redis", rig.url, "--key-prefix", f"a{name}:") as one,
        CoherdServer("--redis", rig.url, "--key-prefix", f"b{name}:") as two,
    ):
        a, b = connect(one.target), connect(two.target)
        a.set(key, b"a")
        assert b.miss(key) == "ABSENT"
        b.set(key, b"b")
        assert (a.value(key), b.value(key)) == (b"a", b"b")
        a.invalidate({"named": {"name": "user", "value": name}})
        a.invalidate({"domain": {"domain": "psychology"}})
        assert (a.value(key), b.value(key)) == (None, b"b")
        b.delete(key)
        for caller, sets in ((a, 1), (b, 1)):
            wait_until(
                "each counts its own",
                lambda caller=caller, sets=sets: (
                    caller.call("Metrics", pb.MetricsRequest(domains=["psychology"])).domains[0].sets == sets
                ),
            )
        names = rig.client().keys(f"*{name}*")  # type: ignore[union-attr]
        assert names
        assert all(one.startswith((f"a{name}:".encode(), f"b{name}:".encode())) for one in names)


def test_counts_are_whole_over_servers(single: Stand, connect: CallerMaker, name: str) -> None:
    arguments = ("--redis", single.backend.url, "--key-prefix", single.backend.prefix)
    with CoherdServer(*arguments) as server:
        check_counts(single.caller, connect(server.target), name)


def check_counts(first: Caller, second: Caller, name: str) -> None:
    """Both tell the sum of what both did."""

    def counts(caller: Caller) -> pb.DomainMetrics:
        found: pb.DomainMetrics = caller.call("Metrics", pb.MetricsRequest(domains=["ai_model"])).domains[0]
        return found

    before = counts(second)
    keys = [f"ai_model:prompt:hash:{name}{index}:model:m" for index in range(10)]
    for key in keys:
        first.set(key, b"12345")
    for key in keys:
        second.value(key)
        first.value(key)
    second.call("BatchGet", pb.BatchGetRequest(keys=[text_key(key + "x") for key in keys]))

    def grown() -> bool:
        now = counts(second)
        return (now.sets - before.sets, now.hits - before.hits, now.misses - before.misses) == (10, 20, 10)

    wait_until("the sum over both", grown)
    now = counts(first)
    assert (now.read_bytes - before.read_bytes, now.written_bytes - before.written_bytes) == (100, 50)
    assert now.hit_ratio == pytest.approx((now.hits + now.stale_hits) / (now.hits + now.stale_hits + now.misses))
    assert now.read_latency.count > 0
    assert 0 < now.read_latency.p50_us <= now.read_latency.p90_us <= now.read_latency.p99_us
