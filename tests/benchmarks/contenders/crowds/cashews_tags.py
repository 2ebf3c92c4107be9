"""cashews: its tags, which are sets of keys."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import redis.asyncio
from cashews import Cache
from tests.benchmarks.contenders.crowds import VALUE, Copies
from tests.benchmarks.data import TTL_MS

TAG_SETS: Final = "_tag:"
"""What it puts before a tag to name the set."""


class CashewsTags:
    """``delete_tags``."""

    name = "cashews, delete_tags"

    def __init__(self, url: str) -> None:
        self._cache = Cache()
        self._cache.setup(url, suppress=False)
        self._cache.register_tag("user:{user}", key_template="stats:{user}:{day}")
        self._redis = redis.asyncio.Redis.from_url(url)
        self._copies = Copies(self._redis)

    async def prepare(self) -> None:
        await self._cache.init()

    async def fill(self, user: str, keys: int) -> None:
        tag = f"user:{user}"
        await self._cache.set(_key(user, 1), VALUE, expire=TTL_MS / 1000, tags=[tag])
        await self._copies.spread(f"stats:{user}:", "", keys, tag_set=TAG_SETS + tag)

    async def invalidate(self, user: str) -> None:
        await self._cache.delete_tags(f"user:{user}")

    async def found(self, user: str, days: Sequence[int]) -> int:
        values = await self._cache.get_many(*(_key(user, day) for day in days))
        return sum(value is not None for value in values)

    async def close(self) -> None:
        await self._cache.close()
        await self._redis.aclose()


def _key(user: str, day: int) -> str:
    return f"stats:{user}:{day}"
