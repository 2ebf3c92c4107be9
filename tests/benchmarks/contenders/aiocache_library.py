"""aiocache on Redis as it comes: its own serializer (the standard library's JSON)."""

from __future__ import annotations

import aiocache
from tests.benchmarks.contenders import BATCH, batches, expect
from tests.benchmarks.data import TTL_MS, daily, document


class AiocacheLibrary:
    """Its Redis cache."""

    name = "aiocache"
    get_many_name = "multi_get"
    set_many_name = "multi_set"

    def __init__(self, redis_port: int, keys: int) -> None:
        self._cache = aiocache.Cache(aiocache.Cache.REDIS, endpoint="127.0.0.1", port=redis_port, namespace="aiocache")
        self._keys = [str(daily(index)) for index in range(keys)]
        self._absent = [str(daily(keys + index)) for index in range(keys)]
        self._batches = batches(self._keys)
        self._value = document()

    async def prepare(self) -> None:
        for index in range(len(self._batches)):
            await self.set_many(index)

    async def get(self, turn: int) -> None:
        expect(await self._cache.get(self._keys[turn % len(self._keys)]) is not None)

    async def miss(self, turn: int) -> None:
        expect(await self._cache.get(self._absent[turn % len(self._absent)]) is None)

    async def set(self, turn: int) -> None:
        expect(await self._cache.set(self._keys[turn % len(self._keys)], self._value, ttl=TTL_MS // 1000))

    async def get_many(self, turn: int) -> None:
        keys = self._batches[turn % len(self._batches)]
        found = dict(zip(keys, await self._cache.multi_get(keys), strict=True))
        expect(len(found) == BATCH and None not in found.values())

    async def set_many(self, turn: int) -> None:
        keys = self._batches[turn % len(self._batches)]
        expect(await self._cache.multi_set([(key, self._value) for key in keys], ttl=TTL_MS // 1000))

    async def close(self) -> None:
        await self._cache.close()
