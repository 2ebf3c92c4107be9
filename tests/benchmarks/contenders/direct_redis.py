"""redis-py's asyncio client as it comes, with the codec of Coherd's client (orjson)."""

from __future__ import annotations

import orjson
import redis.asyncio
from tests.benchmarks.contenders import BATCH, batches, expect
from tests.benchmarks.data import TTL_MS, daily, document


class DirectRedis:
    """No invalidation, no tags, no types: the floor."""

    name = "redis-py"
    get_many_name = "MGET"
    set_many_name = "pipelined SET"

    def __init__(self, url: str, keys: int) -> None:
        self._client = redis.asyncio.Redis.from_url(url)
        self._keys = [f"direct:{daily(index)}" for index in range(keys)]
        self._absent = [f"direct:{daily(keys + index)}" for index in range(keys)]
        self._batches = batches(self._keys)
        self._value = document()

    async def prepare(self) -> None:
        for index in range(len(self._batches)):
            await self.set_many(index)

    async def get(self, turn: int) -> None:
        raw = await self._client.get(self._keys[turn % len(self._keys)])
        expect(raw is not None and orjson.loads(raw) is not None)

    async def miss(self, turn: int) -> None:
        expect(await self._client.get(self._absent[turn % len(self._absent)]) is None)

    async def set(self, turn: int) -> None:
        stored = await self._client.set(self._keys[turn % len(self._keys)], orjson.dumps(self._value), px=TTL_MS)
        expect(stored is True)

    async def get_many(self, turn: int) -> None:
        keys = self._batches[turn % len(self._batches)]
        raws = await self._client.mget(keys)
        found = {key: orjson.loads(raw) for key, raw in zip(keys, raws, strict=True) if raw is not None}
        expect(len(found) == BATCH)

    async def set_many(self, turn: int) -> None:
        async with self._client.pipeline(transaction=False) as pipeline:  # MSET has no expiry
            for key in self._batches[turn % len(self._batches)]:
                pipeline.set(key, orjson.dumps(self._value), px=TTL_MS)
            expect(all(await pipeline.execute()))

    async def close(self) -> None:
        await self._client.aclose()
