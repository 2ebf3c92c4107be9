"""Waiters of another server are woken by what ends their wait: with the timer that stands behind them switched off."""

from __future__ import annotations

import asyncio
import os
import uuid
from typing import Any

import pytest

from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import FillItem, LeaseItem, SetItem
from coherd_server.core import lease
from coherd_server.core.cache import Cache, build_cache
from coherd_server.core.counters import Counters
from coherd_server.core.get import Lookup
from coherd_server.core.lease_attempt import Granted
from rig.fixtures import Backend
from rig.near import NearOpener

WITHIN_S = 60.0
"""Generous: without being woken they would wait `WAIT_MS`."""
WAIT_MS = 100_000


@pytest.fixture(autouse=True)
def no_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease, "LOOK_AGAIN_S", 1_000.0)
    monkeypatch.setattr(lease, "LONGEST_LOOK_S", 1_000.0)


@pytest.fixture
async def caches(backend: Backend, members: NearOpener) -> tuple[Cache, Cache]:
    """The verbs of two servers on one store."""
    two = [await members(backend.url, backend.prefix) for _ in range(2)]
    one, other = [build_cache(at.store, at.publisher, Counters(), max_value_bytes=1_000) for at in two]
    return one, other


async def until_marked(backend: Backend, key: str) -> None:
    """Until the store remembers that somebody waits for the key."""
    name = f"{backend.prefix}coherd:waiting:{{{backend.prefix}{key}}}"
    with backend.client() as client:
        async with asyncio.timeout(WITHIN_S):
            while not await asyncio.to_thread(client.exists, name):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)


@pytest.mark.parametrize("change", ["fill", "set", "delete", "release", "invalidate"])
async def test_what_ends_a_wait_wakes_the_waiters(backend: Backend, caches: tuple[Cache, Cache], change: str) -> None:
    one, other = caches
    key = builtin_catalog().resolve(f"analytics:daily:user:{uuid.uuid4().hex}:date:20250806")
    token = os.urandom(16)

    async def wait() -> Any:
        return await other.leases.lease(LeaseItem(key, os.urandom(16), 60_000, WAIT_MS))

    async with asyncio.timeout(3 * WITHIN_S):
        granted = await one.leases.lease(LeaseItem(key, token, 60_000))
        assert isinstance(granted, Granted)
        waiting = [asyncio.create_task(wait()) for _ in range(3)]
        await until_marked(backend, key.text)
        assert not any(waiter.done() for waiter in waiting)
        match change:
            case "fill":
                await one.fills.fill(FillItem(SetItem(key, b"new"), token, granted.grant))
            case "set":
                await one.writes.set([SetItem(key, b"new")])
            case "delete":
                await one.changes.delete([key])
            case "release":
                await one.leases.release(key, token, 0)
            case "invalidate":
                await one.changes.invalidate({key.tags[0][1]: key.domain})
        async with asyncio.timeout(WITHIN_S):
            if change in ("fill", "set"):
                answers = await asyncio.gather(*waiting)
                assert [isinstance(answer, Lookup) and answer.validity.payload for answer in answers] == [b"new"] * 3
                return
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        assert [type(waiter.result()) for waiter in waiting if waiter.done()] == [Granted]
        for cache in caches:
            cache.leases.close()
        await asyncio.gather(*waiting)
