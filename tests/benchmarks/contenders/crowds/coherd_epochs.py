"""Coherd: the named invalidation of a user."""

from __future__ import annotations

from collections.abc import Sequence

import redis.asyncio
from tests.benchmarks.contenders import PATIENCE_MS, expect
from tests.benchmarks.contenders.crowds import VALUE, Copies

from coherd.client import CacheClient
from coherd.domains.analytics import WritingStats
from coherd.domains.tags import User


class CoherdEpochs:
    """Keys of one resource whose last identifier is no tag: entries of one user then have the same stamps."""

    name = "coherd, invalidate"

    def __init__(self, target: str, url: str) -> None:
        self._client = CacheClient.connect(target, near_cache=False, timeout_ms=PATIENCE_MS)
        self._redis = redis.asyncio.Redis.from_url(url)
        self._copies = Copies(self._redis)

    async def prepare(self) -> None:
        await self._client.describe_catalog()

    async def fill(self, user: str, keys: int) -> None:
        first = WritingStats(user=user, days=1)
        expect(bool(await self._client.set(first, VALUE)))
        prefix, suffix = str(first).removesuffix("1d"), "d"
        await self._copies.spread(prefix, suffix, keys)

    async def invalidate(self, user: str) -> None:
        await self._client.invalidate(User(user))

    async def found(self, user: str, days: Sequence[int]) -> int:
        return len(await self._client.get_many([WritingStats(user=user, days=day) for day in days]))

    async def close(self) -> None:
        await self._client.close()
        await self._redis.aclose()
