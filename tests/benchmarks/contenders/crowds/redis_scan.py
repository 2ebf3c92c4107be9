"""redis-py, as one does without tags: walk over the keyspace and unlink what matches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import orjson
import redis.asyncio
from tests.benchmarks.contenders.crowds import VALUE, Copies
from tests.benchmarks.data import TTL_MS

COUNT: Final = 1_000
"""Keys looked at per step; also keys of one UNLINK."""


class RedisScan:
    """``SCAN MATCH`` and ``UNLINK``."""

    name = "redis-py, SCAN and UNLINK"

    def __init__(self, url: str) -> None:
        self._redis = redis.asyncio.Redis.from_url(url)
        self._copies = Copies(self._redis)

    async def prepare(self) -> None:
        await self._redis.ping()

    async def fill(self, user: str, keys: int) -> None:
        await self._redis.set(_key(user, 1), orjson.dumps(VALUE), px=TTL_MS)
        await self._copies.spread(f"stats:{user}:", "", keys)

    async def invalidate(self, user: str) -> None:
        cursor = 0
        while True:
            cursor, keys = await self._redis.scan(cursor, match=f"stats:{user}:*", count=COUNT)
            if keys:
                await self._redis.unlink(*keys)
            if not cursor:
                return

    async def found(self, user: str, days: Sequence[int]) -> int:
        raws = await self._redis.mget([_key(user, day) for day in days])
        return sum(raw is not None for raw in raws)

    async def close(self) -> None:
        await self._redis.aclose()


def _key(user: str, day: int) -> str:
    return f"stats:{user}:{day}"
