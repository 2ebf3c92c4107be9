"""Coherd: the typed client, over the server."""

from __future__ import annotations

from datetime import timedelta

from tests.benchmarks.contenders import BATCH, PATIENCE_MS, expect
from tests.benchmarks.data import TTL_MS, daily, document

from coherd.client import CacheClient

_TTL = timedelta(milliseconds=TTL_MS)


class CoherdClient:
    """Keys are built beforehand, as for the others."""

    name = "coherd"
    get_many_name = "get_many"
    set_many_name = "set_many"

    def __init__(self, target: str, keys: int, *, sessions: bool = True) -> None:
        self._client = CacheClient.connect(target, near_cache=False, sessions=sessions, timeout_ms=PATIENCE_MS)
        self._keys = [daily(index) for index in range(keys)]
        self._absent = [daily(keys + index) for index in range(keys)]
        self._batches = [self._keys[start : start + BATCH] for start in range(0, keys - BATCH + 1, BATCH)]
        self._value = document()

    async def prepare(self) -> None:
        for index in range(len(self._batches)):
            await self.set_many(index)

    async def get(self, turn: int) -> None:
        expect(await self._client.get(self._keys[turn % len(self._keys)]) is not None)

    async def miss(self, turn: int) -> None:
        expect(await self._client.get(self._absent[turn % len(self._absent)]) is None)

    async def set(self, turn: int) -> None:
        expect(bool(await self._client.set(self._keys[turn % len(self._keys)], self._value, ttl=_TTL)))

    async def get_many(self, turn: int) -> None:
        expect(len(await self._client.get_many(self._batches[turn % len(self._batches)])) == BATCH)

    async def set_many(self, turn: int) -> None:
        keys = self._batches[turn % len(self._batches)]
        expect(all((await self._client.set_many(dict.fromkeys(keys, self._value), ttl=_TTL)).values()))

    async def close(self) -> None:
        await self._client.close()
