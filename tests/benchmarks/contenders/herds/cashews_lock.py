"""cashews: its decorator with `lock=True`; it lets the callers of one process share a call by itself."""

from __future__ import annotations

import asyncio
from typing import Any

from cashews import Cache
from tests.benchmarks.contenders.herds import TTL_S, Loads, expect_values


class CashewsLock:
    """The address is the port of Redis."""

    def __init__(self, address: str, callers: int, loads: Loads) -> None:
        self._cache = Cache()
        self._cache.setup(f"redis://127.0.0.1:{address}", suppress=False)

        @self._cache(ttl=TTL_S, key="cashews:{item}", lock=True)
        async def value(item: int) -> dict[str, Any]:
            return await loads.load()

        self._value: Any = value
        self._callers = callers

    async def rush(self, item: int) -> None:
        expect_values(await asyncio.gather(*(self._value(item) for _ in range(self._callers))))

    async def close(self) -> None:
        await self._cache.close()
