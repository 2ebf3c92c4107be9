"""Gets and sets of one key that overlap, over a real store: in groups each caller gets what it would get alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from watched_cache import Watched, key

from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core import coalescer
from coherd_server.core.failure import UNAVAILABLE, Failure
from coherd_server.core.get import Lookup
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import PutOutcome, StoreUnavailable
from coherd_server.core.validity import State
from rig.fixtures import Backend, Opener
from rig.near import cache_over
from rig.process import Node
from rig.proxy import FaultProxy


@pytest.mark.usefixtures("overlapping")
async def test_each_caller_of_a_group_gets_its_own(watched: Watched) -> None:
    done = await asyncio.gather(*(watched.set(number, b"%d" % number) for number in range(50)))
    assert {one.outcome for one in done if isinstance(one, SetDone)} == {PutOutcome.STORED}
    assert watched.writes == [50]
    assert await asyncio.gather(*(watched.payload(number) for number in range(50))) == [b"%d" % n for n in range(50)]
    assert watched.reads == [50]


async def test_who_is_alone_goes_alone(watched: Watched) -> None:
    for number in range(3):
        await watched.set(number)
        await watched.payload(number)
    assert watched.writes == watched.reads == [1, 1, 1]


async def test_who_is_alone_waits_for_nobody(watched: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    """With a wait that is never over each of these calls would fail."""
    monkeypatch.setattr(coalescer, "GATHER_TURNS", 1 << 60)
    monkeypatch.setattr(coalescer, "GATHER_S", 3600.0)
    async with asyncio.timeout(60):
        for number in range(20):
            await watched.set(number)
            await watched.payload(number)


@pytest.mark.parametrize("backend", ["standalone", "cluster"], indirect=True)
async def test_calls_that_overlap_are_gathered_where_all_keys_are_on_one_node(
    backend: Backend, watched: Watched
) -> None:
    await asyncio.gather(*(watched.set(number) for number in range(10)))
    await asyncio.gather(*(watched.payload(number) for number in range(10)))
    assert sum(watched.reads) == sum(watched.writes) == 10
    together = backend.name == "standalone"
    assert (max(watched.reads) > 1, max(watched.writes) > 1) == (together, together)


async def read_in_turns(watched: Watched, count: int) -> None:
    """Gets that begin in one turn of the event loop after the other."""
    gets = []
    for number in range(count):
        gets.append(asyncio.create_task(watched.payload(number)))
        await asyncio.sleep(0)
    assert await asyncio.gather(*gets) == [b"v"] * count


async def test_calls_of_several_turns_that_overlap_are_one_group_and_one_round_trip(
    node: Node, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescer, "OVERLAP_S", 3600.0)
    watched = Watched(cache_over(await opener(node.url, check_every_ms=60_000)), monkeypatch)
    await asyncio.gather(*(watched.set(number) for number in range(coalescer.GATHER_TURNS)))
    monkeypatch.setattr(coalescer, "GATHER_S", 3600.0)  # by turns alone, however slow the machine
    before = node.client().info("commandstats")["cmdstat_mget"]["calls"]
    await read_in_turns(watched, coalescer.GATHER_TURNS // 2)
    assert watched.reads == [coalescer.GATHER_TURNS // 2]
    assert node.client().info("commandstats")["cmdstat_mget"]["calls"] - before == 1


async def test_gets_and_sets_that_overlap_share_a_round_trip(
    node: Node, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What sets were stamped with unasked is read beside them, and gets with it."""
    monkeypatch.setattr(coalescer, "OVERLAP_S", 3600.0)
    watched = Watched(cache_over(await opener(node.url, check_every_ms=60_000)), monkeypatch)
    await asyncio.gather(*(watched.set(number) for number in range(10)))
    watched.writes.clear()
    before = node.client().info("commandstats")["cmdstat_mget"]["calls"]
    await asyncio.gather(*(watched.set(n) for n in range(5)), *(watched.payload(n) for n in range(5, 10)))
    assert (watched.reads, watched.writes) == ([5], [5])
    assert node.client().info("commandstats")["cmdstat_mget"]["calls"] - before == 1


async def test_calls_that_do_not_overlap_any_more_wait_for_nobody(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    await watched.set(1)
    await asyncio.gather(watched.payload(1), watched.payload(1))
    assert watched.reads == [1, 1], "the second one found the first one under way and was gathered"
    await asyncio.sleep(2 * coalescer.OVERLAP_S)
    monkeypatch.setattr(coalescer, "GATHER_TURNS", 1 << 60)
    monkeypatch.setattr(coalescer, "GATHER_S", 3600.0)
    async with asyncio.timeout(60):
        await watched.payload(1)


async def test_nobody_waits_for_others_longer_than_a_millisecond(
    watched: Watched, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coalescer, "GATHER_TURNS", 1 << 60)
    monkeypatch.setattr(coalescer, "OVERLAP_S", 3600.0)
    await watched.set(1)
    async with asyncio.timeout(60):
        await asyncio.gather(watched.payload(1), watched.payload(1))
        await watched.payload(1)


@pytest.mark.usefixtures("overlapping")
async def test_what_comes_while_a_group_begins_is_not_forgotten(watched: Watched) -> None:
    await asyncio.gather(*(watched.set(number) for number in range(100)))
    async with asyncio.timeout(60):
        await read_in_turns(watched, 100)
    assert sum(watched.reads) == 100


@pytest.mark.usefixtures("overlapping")
async def test_what_is_wrong_with_one_is_told_to_that_one(watched: Watched) -> None:
    fine, large, long, late = await asyncio.gather(
        watched.set(1),
        watched.set(2, bytes(101)),
        watched.set(3, ttl_ms=1 << 50),
        watched.set(4),
    )
    assert isinstance(fine, SetDone)
    assert isinstance(late, SetDone)
    assert isinstance(large, Failure)
    assert large.reason == ErrorReason.ERROR_REASON_VALUE_TOO_LARGE
    assert isinstance(long, Failure)
    assert long.reason == ErrorReason.ERROR_REASON_TTL_INVALID


@pytest.mark.usefixtures("overlapping")
async def test_stale_values_are_for_those_that_take_them(watched: Watched) -> None:
    await asyncio.gather(*(watched.set(number) for number in range(2)))
    either = await asyncio.gather(
        *(watched.coalescer.get(key(number), accept_stale=accept) for number in range(2) for accept in (False, True))
    )
    assert [one.validity.state for one in either if isinstance(one, Lookup)] == [State.FRESH] * 4
    assert watched.reads == [2, 2]


@pytest.mark.parametrize("backend", ["standalone", "cluster"], indirect=True)
@pytest.mark.usefixtures("overlapping")
async def test_only_where_keys_are_on_several_nodes_a_group_that_failed_is_tried_one_by_one(
    backend: Backend, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = await opener(backend.url, backend.prefix)
    watched = Watched(cache_over(store), monkeypatch)
    asked = 0

    async def gone(*_: Any) -> Any:
        nonlocal asked
        asked += 1
        raise StoreUnavailable("gone")

    monkeypatch.setattr(store, "read", gone)
    monkeypatch.setattr(store, "ensure_epochs", gone)
    found = await asyncio.gather(*(watched.coalescer.get(key(number)) for number in range(5)))
    assert found == [UNAVAILABLE] * 5
    assert asked == (1 if backend.name == "standalone" else 6)
    asked = 0
    assert await asyncio.gather(*(watched.set(number) for number in range(5))) == [UNAVAILABLE] * 5
    assert asked == (1 if backend.name == "standalone" else 6)


@pytest.mark.usefixtures("overlapping")
async def test_who_gives_up_disturbs_nobody(watched: Watched) -> None:
    sets = [asyncio.create_task(watched.set(number, b"%d" % number)) for number in range(20)]
    await asyncio.sleep(0)
    for one in sets[::2]:
        one.cancel()
    done = await asyncio.gather(*sets, return_exceptions=True)
    assert all(isinstance(one, asyncio.CancelledError) for one in done[::2])
    assert all(isinstance(one, SetDone) for one in done[1::2])
    gets = [asyncio.create_task(watched.payload(number)) for number in range(20)]
    await asyncio.sleep(0)
    for get in gets[::2]:
        get.cancel()
    found = await asyncio.gather(*gets, return_exceptions=True)
    assert found[1::2] == [b"%d" % number for number in range(1, 20, 2)]


@pytest.mark.usefixtures("overlapping")
async def test_a_store_that_is_gone_fails_each_in_time(
    node: Node, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with FaultProxy(node.port) as proxy:
        watched = Watched(cache_over(await opener(proxy.url, reply_timeout_ms=100, deadline_ms=300)), monkeypatch)
        await watched.set(1)
        proxy.half_open = True
        async with asyncio.timeout(60):
            done = await asyncio.gather(
                *(watched.set(number) for number in range(10)),
                *(watched.coalescer.get(key(number)) for number in range(10)),
            )
    assert len(done) == 20
    assert all(isinstance(one, Failure) for one in done)
