"""Metrics count callers: one hit, stale hit or miss each, however their calls are shared and however often they ask."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from coherd import CacheClient
from coherd.domains import crisis
from coherd.v1 import cache_service_pb2 as pb
from rig.server import CoherdServer

CALLERS = 50


@pytest.fixture
async def clients(server: CoherdServer) -> AsyncIterator[tuple[CacheClient, CacheClient]]:
    """Two processes' worth, without near caches: ``crisis`` is kept near by nobody."""
    async with (
        CacheClient.connect(server.target, timeout_ms=60_000) as one,
        CacheClient.connect(server.target, timeout_ms=60_000) as other,
    ):
        yield one, other


async def counts(cache: CacheClient) -> pb.DomainMetrics:
    return (await cache.metrics("crisis"))["crisis"]


async def grown(cache: CacheClient, before: pb.DomainMetrics) -> tuple[int, int, int, int]:
    """Hits, misses, avoided loads and fills since then."""
    now = await counts(cache)
    fields = ("hits", "misses", "loads_avoided", "fills")
    hits, misses, avoided, fills = (getattr(now, field) - getattr(before, field) for field in fields)
    return hits, misses, avoided, fills


async def test_shared_hits_are_hits_of_each(clients: tuple[CacheClient, CacheClient], name: str) -> None:
    cache, _ = clients
    key = crisis.UserRisk(user=name)
    await cache.set(key, {"n": 1})
    before = await counts(cache)
    assert await asyncio.gather(*(cache.get_or_load(key, lambda _: {}) for _ in range(CALLERS))) == [{"n": 1}] * CALLERS
    assert await grown(cache, before) == (CALLERS, 0, 0, 0)
    before = await counts(cache)
    assert await asyncio.gather(*(cache.get(key) for _ in range(CALLERS))) == [{"n": 1}] * CALLERS
    assert await grown(cache, before) == (CALLERS, 0, 0, 0)


async def test_a_wait_for_a_load_is_one_miss(clients: tuple[CacheClient, CacheClient], name: str) -> None:
    """Of callers that come together, that join later, and of another process."""
    cache, elsewhere = clients
    key, loading, go_on = crisis.UserRisk(user=name), asyncio.Event(), asyncio.Event()

    async def load(_: object) -> dict[str, int]:
        loading.set()
        await go_on.wait()
        return {"n": 1}

    before = await counts(cache)
    together = [asyncio.create_task(cache.get_or_load(key, load)) for _ in range(5)]
    await loading.wait()
    later = [asyncio.create_task(cache.get_or_load(key, load)) for _ in range(3)]
    others = [asyncio.create_task(elsewhere.get_or_load(key, load)) for _ in range(4)]
    many = asyncio.create_task(elsewhere.get_or_load_many([key], lambda keys: {asked: {} for asked in keys}))

    async def misses() -> int:
        return (await grown(cache, before))[1]

    for _ in range(600):
        if await misses() >= 13:
            break
        await asyncio.sleep(0.05)
    go_on.set()
    assert await asyncio.gather(*together, *later, *others) == [{"n": 1}] * 12
    assert await many == {key: {"n": 1}}
    assert await grown(cache, before) == (0, 13, 8, 1)
