"""aiocache: `cached_stampede`, its decorator against herds, with its own lease time (2 s)."""

from __future__ import annotations

import asyncio
from typing import Any

import aiocache
from tests.benchmarks.contenders.herds import TTL_S, Loads, expect_values


class AiocacheLock:
    """The address is the port of Redis."""

    def __init__(self, address: str, callers: int, loads: Loads) -> None:
        @aiocache.cached_stampede(
            ttl=TTL_S,
            cache=aiocache.Cache.REDIS,
            endpoint="127.0.0.1",
            port=int(address),
            pool_max_size=callers,  # as its documentation asks for where calls come together
            key_builder=lambda function, item: f"aiocache:{item}",
        )
        async def value(item: int) -> dict[str, Any]:
            return await loads.load()

        self._value: Any = value
        self._callers = callers

    async def rush(self, item: int) -> None:
        expect_values(await asyncio.gather(*(self._value(item) for _ in range(self._callers))))

    async def close(self) -> None:
        await self._value.cache.close()
