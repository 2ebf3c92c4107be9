"""cashews on Redis as it comes: its own serializer (pickle)."""

from __future__ import annotations

from cashews import Cache
from tests.benchmarks.contenders import BATCH, batches, expect
from tests.benchmarks.data import TTL_MS, daily, document


class CashewsLibrary:
    """Without its client-side cache: that one is compared with the near cache."""

    name = "cashews"
    get_many_name = "get_many"
    set_many_name = "set_many"

    def __init__(self, url: str, keys: int) -> None:
        self._cache = Cache()
        self._cache.setup(url, suppress=False)
        self._keys = [f"cashews:{daily(index)}" for index in range(keys)]
        self._absent = [f"cashews:{daily(keys + index)}" for index in range(keys)]
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
        expect(await self._cache.set(self._keys[turn % len(self._keys)], self._value, expire=TTL_MS / 1000))

    async def get_many(self, turn: int) -> None:
        keys = self._batches[turn % len(self._batches)]
        found = dict(zip(keys, await self._cache.get_many(*keys), strict=True))
        expect(len(found) == BATCH and None not in found.values())

    async def set_many(self, turn: int) -> None:
        keys = self._batches[turn % len(self._batches)]
        await self._cache.set_many(dict.fromkeys(keys, self._value), expire=TTL_MS / 1000)

    async def close(self) -> None:
        await self._cache.close()
