"""`peek` of a fake: what was read and has not changed since, as a near cache would hold it."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from coherd import CacheClient
from coherd.domains import analytics, celery, crisis
from coherd.sync import CacheClient as BlockingClient
from coherd.testing import FakeCache

KEY = analytics.Daily(user="u1", date="20250806")


async def test_peek_finds_what_was_read_until_it_changes(coherd_cache: FakeCache) -> None:
    cache = coherd_cache
    absent = object()
    await cache.set(KEY, {"words": 1})
    assert cache.peek(KEY, default=absent) is absent, "what is set is not kept near"
    for read in (
        lambda: cache.get(KEY),
        lambda: cache.get_many([KEY]),
        lambda: cache.get_or_load(KEY, lambda _: {"words": 2}),
    ):
        await read()
        calls = len(cache.calls)
        got = cache.peek(KEY)
        assert got == {"words": 1}
        got["words"] = 7
        assert cache.peek(KEY) == {"words": 1}
        assert cache.peek(KEY, shared=True) is cache.peek(KEY, shared=True)
        assert len(cache.calls) == calls
        await cache.set(KEY, {"words": 1})
        assert cache.peek(KEY, default=absent) is absent


async def test_peek_forgets_what_is_invalidated_or_has_expired(coherd_cache: FakeCache) -> None:
    cache = coherd_cache
    for end in (lambda: cache.delete(KEY), lambda: cache.invalidate(KEY), lambda: _hours(cache)):
        await cache.set(KEY, {"words": 1})
        await cache.get(KEY)
        assert cache.peek(KEY) == {"words": 1}
        await end()
        assert cache.peek(KEY) is None


async def _hours(cache: FakeCache) -> None:
    cache.clock.advance(timedelta(hours=2))


async def test_peek_finds_a_remembered_nothing_and_nothing_of_domains_that_are_not_kept_near(
    coherd_cache: FakeCache,
) -> None:
    cache = coherd_cache
    absent = object()
    await cache.set_nothing(KEY, ttl=timedelta(minutes=1))
    await cache.get(KEY)
    assert cache.peek(KEY, default=absent) is None
    near = {name: domain.near_cache for name, domain in cache.transport.catalog.domains.items()}
    assert near["crisis"].value == "off"
    await cache.set(crisis.Trends(timeframe="7d"), {"cart": []})
    await cache.get(crisis.Trends(timeframe="7d"))
    assert cache.peek(crisis.Trends(timeframe="7d"), default=absent) is absent


async def test_peeks_are_counted_as_near_hits(coherd_cache: FakeCache) -> None:
    cache = coherd_cache
    await cache.set(KEY, {"words": 1})
    await cache.get(KEY)
    for _ in range(3):
        cache.peek(KEY)
    counts = (await cache.metrics("analytics"))["analytics"]
    assert (counts.hits, counts.near_cache_hits, counts.hit_ratio) == (1, 3, 1.0)


def test_a_blocking_client_of_a_fake_peeks_too() -> None:
    with BlockingClient(FakeCache().transport) as cache:
        cache.set(KEY, [1])
        assert cache.peek(KEY) is None
        assert cache.get(KEY) == [1]
        assert cache.peek(KEY) == [1]
        cache.delete(KEY)
        assert cache.peek(KEY) is None


def test_peek_of_the_asynchronous_client_outside_of_an_event_loop_finds_nothing() -> None:
    cache = CacheClient.connect("localhost:1")
    assert cache.peek(celery.TaskMetrics(id="t"), default=None) is None
    asyncio.run(cache.close())
