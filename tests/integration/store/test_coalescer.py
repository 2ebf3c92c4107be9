"""Gets and sets of one key that overlap, over a real store: in groups each caller gets what it would get alone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import SetItem
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core import coalescer
from coherd_server.core.cache import Cache
from coherd_server.core.coalescer import Coalescer
from coherd_server.core.failure import OUTWAITED, UNAVAILABLE, Failure
from coherd_server.core.get import Lookup
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import PutOutcome, StoreUnavailable
from coherd_server.core.validity import State
from rig.fixtures import PATIENT, Backend, Opener
from rig.near import cache_over
from rig.process import Node
from rig.proxy import FaultProxy
from rig.waiting import until

TURN_MS = 10_000


def key(number: int) -> ResolvedKey:
    return builtin_catalog().resolve(f"analytics:daily:user:u{number}:date:20250806")


@pytest.fixture
def overlapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if calls overlapped all the time."""
    monkeypatch.setattr(Coalescer, "_is_overlapping", lambda _: True)


class Watched:
    """A cache, and how many items its reader and writer got at a time."""

    def __init__(self, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        self.coalescer = cache.coalescer
        self.cache = cache
        self.reads: list[int] = []
        self.writes: list[int] = []
        get, set_ = cache.reads.get, cache.writes.set

        async def noted_get(keys: Sequence[ResolvedKey], **how: Any) -> list[Lookup | Failure]:
            self.reads.append(len(keys))
            return await get(keys, **how)

        async def noted_set(items: Sequence[SetItem], **how: Any) -> list[SetDone | Failure]:
            self.writes.append(len(items))
            return await set_(items, **how)

        monkeypatch.setattr(cache.reads, "get", noted_get)
        monkeypatch.setattr(cache.writes, "set", noted_set)

    async def set(self, number: int, payload: bytes = b"v", **how: Any) -> SetDone | Failure:
        return await self.coalescer.set(SetItem(key(number), payload, **how), turn_ms=TURN_MS)

    async def payload(self, number: int) -> bytes:
        found = await self.coalescer.get(key(number))
        assert isinstance(found, Lookup)
        return found.validity.payload


class HeldUp(NamedTuple):
    """What `held_up` gives."""

    watched: Watched
    proxy: FaultProxy
    first: asyncio.Task[SetDone | Failure]


@pytest.fixture
async def watched(backend: Backend, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(cache_over(await opener(backend.url, backend.prefix), max_value_bytes=100), monkeypatch)


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


@pytest.mark.usefixtures("overlapping")
async def test_sets_of_one_key_take_turns_and_hold_up_no_others(watched: Watched) -> None:
    done = await asyncio.gather(*(watched.set(1, b"%d" % n) for n in range(5)), *(watched.set(n) for n in (2, 3)))
    assert {one.outcome for one in done if isinstance(one, SetDone)} == {PutOutcome.STORED}
    assert len(done) == 7
    assert sorted(watched.writes) == [1, 1, 1, 1, 3]


@asynccontextmanager
async def held_up(node: Node, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HeldUp]:
    """A set of key 1 is under way and gets no answer while the proxy is half open."""
    async with FaultProxy(node.port) as proxy:
        watched = Watched(cache_over(await opener(proxy.url, **PATIENT)), monkeypatch)
        await watched.set(1, b"before")
        proxy.half_open = True
        first = asyncio.create_task(watched.set(1, b"first"))
        await until("it is under way", lambda: len(watched.writes) == 2)
        yield HeldUp(watched, proxy, first)


@pytest.mark.usefixtures("overlapping")
async def test_who_must_wait_for_its_turn_waits_no_longer_than_it_said(
    node: Node, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it was sent, and it is told so; others of its group are not held up."""
    async with held_up(node, opener, monkeypatch) as at:
        second = await at.watched.coalescer.set(SetItem(key(1), b"second"), turn_ms=50)
        assert second == OUTWAITED
        assert not at.first.done(), "the test is void: nothing stood in the way"
        at.proxy.half_open = False
        await at.first


@pytest.mark.usefixtures("overlapping")
async def test_what_waits_for_its_turn_is_not_sent_when_its_caller_gives_up(
    node: Node, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with held_up(node, opener, monkeypatch) as at:
        second = asyncio.create_task(at.watched.set(1, b"second"))
        await until("it is under way", lambda: at.watched.writes == [1, 1, 1])
        assert not at.first.done(), "the test is void: nothing stood in the way"
        second.cancel()
        at.proxy.half_open = False
        assert isinstance(await at.first, SetDone)
        await at.watched.set(2)
        assert await at.watched.payload(1) == b"first"


@pytest.mark.parametrize("how", ["alone", "in a group", "in a frame"])
@pytest.mark.parametrize("only_if_absent", [False, True])
async def test_a_set_that_asks_first_is_not_written_when_its_caller_gave_up_meanwhile(
    node: Node, opener: Opener, monkeypatch: pytest.MonkeyPatch, how: str, only_if_absent: bool
) -> None:
    """The fence that it is told is of after the delete, which is acknowledged before: it would not keep it out."""
    monkeypatch.setattr(Coalescer, "_is_overlapping", lambda _: how == "in a group")
    async with FaultProxy(node.port) as proxy:
        watched = Watched(cache_over(await opener(proxy.url)), monkeypatch)
        hold = proxy.request_hold = asyncio.Event()
        item, given_up = SetItem(key(1), b"old", only_if_absent=only_if_absent), asyncio.Event()
        late: asyncio.Task[Any] = asyncio.create_task(
            watched.cache.writes.set([item], wanted=lambda _: not given_up.is_set())
            if how == "in a frame"
            else watched.coalescer.set(item, turn_ms=TURN_MS)
        )
        await asyncio.sleep(0.05)
        assert not late.done()
        given_up.set()
        if how != "in a frame":
            late.cancel()
        await cache_over(await opener(node.url)).changes.delete([key(1)])
        hold.set()
        proxy.request_hold = None
        await asyncio.gather(late, return_exceptions=True)
        await watched.set(2)
        await asyncio.sleep(0.1)
        assert not node.client().exists(key(1).text)


@pytest.mark.usefixtures("overlapping")
async def test_what_looks_first_or_is_large_holds_up_no_others(watched: Watched) -> None:
    sets = [watched.set(n, only_if_absent=True) for n in range(3)] + [watched.set(n) for n in range(3, 6)]
    assert all(isinstance(one, SetDone) for one in await asyncio.gather(*sets))
    assert sorted(watched.writes) == [1, 1, 1, 3]


async def test_those_that_look_first_look_at_one_time(node: Node, opener: Opener) -> None:
    writes = cache_over(await opener(node.url)).writes
    node.client().flushall()
    items = [SetItem(key(number), b"v", only_if_absent=True) for number in range(30)]
    await writes.set([SetItem(key(99), b"v")])
    before = node.client().info("commandstats")["cmdstat_mget"]["calls"]
    done = await writes.set(items)
    assert {one.outcome for one in done if isinstance(one, SetDone)} == {PutOutcome.STORED}
    assert node.client().info("commandstats")["cmdstat_mget"]["calls"] - before <= 3


async def test_each_waits_for_its_own_turn(node: Node, opener: Opener) -> None:
    async with FaultProxy(node.port) as proxy:
        writes = cache_over(await opener(proxy.url, **PATIENT)).writes
        await writes.set([SetItem(key(n), b"v") for n in range(2)])
        proxy.half_open = True
        early = asyncio.create_task(writes.set([SetItem(key(n), b"early") for n in range(2)]))
        await asyncio.sleep(0.05)
        told: dict[int, SetDone | Failure] = {}
        outwaited = asyncio.Event()

        def report(index: int, outcome: SetDone | Failure) -> None:
            told[index] = outcome
            outwaited.set()

        items = [SetItem(key(n), b"late") for n in range(2)]
        late = asyncio.create_task(writes.set(items, turns_ms=[60_000, 50], report=report))
        async with asyncio.timeout(40):
            await outwaited.wait()
        assert told == {1: OUTWAITED}
        assert not early.done(), "the test is void: nothing stood in the way"
        proxy.half_open = False
        await early
        done = await late
        assert isinstance(done[0], SetDone)
        assert done[1] == OUTWAITED


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
