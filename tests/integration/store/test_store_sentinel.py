"""Failover under Sentinel: a new address, a new identity, and no use of the old primary [node-identity]."""

from __future__ import annotations

import asyncio
import time

from coherd_server.core.store import PutOutcome, Store, StoreUnavailable
from rig.entries import identity_of, put_of
from rig.fixtures import HASTY, Opener
from rig.sentinel import SentinelTrio
from rig.waiting import HANGS_S


async def change_of(store: Store, before: bytes, *, within_s: float = HANGS_S) -> bytes:
    """Wait until reads work under another identity."""
    end_s = time.monotonic() + within_s
    while True:
        try:
            if (after := await identity_of(store, "k")) != before:
                return after
        except StoreUnavailable:
            pass
        assert time.monotonic() < end_s, "no change"
        await asyncio.sleep(0.02)


async def test_ordered_failover(own_trio: SentinelTrio, opener: Opener) -> None:
    store = await opener(own_trio.url, **HASTY)
    put = await put_of(store, "k")
    assert await store.put([put]) == [PutOutcome.STORED]
    await asyncio.to_thread(own_trio.failover)
    await change_of(store, put.identity)
    assert await store.put([put]) == [PutOutcome.MOVED_IDENTITY]
    [report] = await store.inspect()
    assert report.address == f"127.0.0.1:{own_trio.primary().port}"


async def test_a_paused_primary_is_left_and_not_returned_to(own_trio: SentinelTrio, opener: Opener) -> None:
    """The dangerous case: it wakes up later, still thinks it is primary, and has what was deleted meanwhile."""
    store = await opener(own_trio.url, **HASTY)
    before = await identity_of(store, "k")
    old = own_trio.primary()
    old.pause()
    try:
        after = await change_of(store, before)
        assert await store.put([await put_of(store, "k")]) == [PutOutcome.STORED]
    finally:
        old.resume()
    for _ in range(50):
        assert await identity_of(store, "k") == after
        await asyncio.sleep(0.01)


async def test_dead_sentinels_do_no_harm_while_the_primary_lives(own_trio: SentinelTrio, opener: Opener) -> None:
    store = await opener(own_trio.url, **HASTY, check_every_ms=200)
    for sentinel in own_trio.sentinels:
        sentinel.pause()
    try:
        for _ in range(20):
            await store.read(["k"], [])
            await asyncio.sleep(0.05)
    finally:
        for sentinel in own_trio.sentinels:
            sentinel.resume()
