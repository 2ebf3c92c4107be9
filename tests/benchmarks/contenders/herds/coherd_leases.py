"""Coherd: `get_or_load`."""

from __future__ import annotations

import asyncio
from typing import Any

from tests.benchmarks.contenders import PATIENCE_MS
from tests.benchmarks.contenders.herds import Loads, expect_values
from tests.benchmarks.data import daily

from coherd.client import CacheClient
from coherd.domains.analytics import Daily


class CoherdLeases:
    """One client per process; the address is the server's target."""

    def __init__(self, address: str, callers: int, loads: Loads) -> None:
        self._client = CacheClient.connect(address, near_cache=False, timeout_ms=PATIENCE_MS)
        self._callers = callers
        self._loads = loads

    async def rush(self, item: int) -> None:
        calls = (self._client.get_or_load(daily(item), self._load) for _ in range(self._callers))
        expect_values(await asyncio.gather(*calls))

    async def close(self) -> None:
        await self._client.close()

    async def _load(self, key: Daily) -> dict[str, Any]:
        return await self._loads.load()
