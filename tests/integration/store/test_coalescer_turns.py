"""Writes of one key take turns: who waits for an earlier one, for how long, and who need not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from watched_cache import TURN_MS, Watched, held_up, key

from coherd.catalog.requests import SetItem
from coherd_server.core.coalescer import Coalescer
from coherd_server.core.failure import OUTWAITED, Failure
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import PutOutcome
from rig.fixtures import Opener
from rig.near import cache_over
from rig.process import Node
from rig.proxy import FaultProxy
from rig.waiting import until


@pytest.mark.usefixtures("overlapping")
async def test_sets_of_one_key_take_turns_and_hold_up_no_others(watched: Watched) -> None:
    done = await asyncio.gather(*(watched.set(1, b"%d" % n) for n in range(5)), *(watched.set(n) for n in (2, 3)))
    assert {one.outcome for one in done if isinstance(one, SetDone)} == {PutOutcome.STORED}
    assert len(done) == 7
    assert sorted(watched.writes) == [1, 1, 1, 1, 3]


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
        writes = cache_over(await opener(proxy.url)).writes
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
