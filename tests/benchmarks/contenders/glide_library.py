"""valkey-glide: the vendor's client on a core of its own threads, with the codec of Coherd's client (orjson)."""

from __future__ import annotations

import asyncio

import orjson
from glide import ExpirySet, ExpiryType, GlideClient, GlideClientConfiguration, NodeAddress
from tests.benchmarks.contenders import BATCH, expect
from tests.benchmarks.data import TTL_MS, daily, document

_EXPIRY = ExpirySet(ExpiryType.MILLSEC, TTL_MS)


class GlideLibrary:
    """It shares one connection between all tasks."""

    name = "valkey-glide"

    def __init__(self, redis_port: int, keys: int) -> None:
        self._config = GlideClientConfiguration([NodeAddress("127.0.0.1", redis_port)])
        self._keys = [f"glide:{daily(index)}" for index in range(keys)]
        self._absent = [f"glide:{daily(keys + index)}" for index in range(keys)]
        self._value = document()
        self._client: GlideClient | None = None

    async def prepare(self) -> None:
        self._client = await GlideClient.create(self._config)
        for start in range(0, len(self._keys), BATCH):
            await asyncio.gather(*(self.set(start + place) for place in range(BATCH)))

    async def get(self, turn: int) -> None:
        raw = await self._connected.get(self._keys[turn % len(self._keys)])
        expect(raw is not None and orjson.loads(raw) is not None)

    async def miss(self, turn: int) -> None:
        expect(await self._connected.get(self._absent[turn % len(self._absent)]) is None)

    async def set(self, turn: int) -> None:
        key, value = self._keys[turn % len(self._keys)], orjson.dumps(self._value)
        expect(await self._connected.set(key, value, expiry=_EXPIRY) == "OK")

    async def close(self) -> None:
        if self._client is not None:
            await self._client.close()

    @property
    def _connected(self) -> GlideClient:
        if self._client is None:
            raise AssertionError("prepare comes first")
        return self._client
