"""Values that stay in the process: each hit makes its key of its identifiers, and gives a value the caller may change,
or, where the name says so, one that all share.

A hit takes microseconds, so a call is a burst of `BURST` of them, in one coroutine. No hit gives the event loop a turn,
so each burst does: what keeps the values coherent runs there.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from cashews import Cache
from tests.benchmarks.contenders import PATIENCE_MS, PATIENCE_S, Preparing, expect
from tests.benchmarks.data import KEYS_PER_USER, TTL_MS, document
from tests.benchmarks.result import NotMeasured
from tests.benchmarks.without_waiting import is_held

from coherd.client import CacheClient
from coherd.domains.analytics import Daily
from coherd.sync import CacheClient as BlockingClient

BURST: Final = 500
PARTS: Final = [(f"u{index // KEYS_PER_USER:07}", f"202508{index % KEYS_PER_USER + 1:02}") for index in range(BURST)]
"""User and date of the keys: one burst reads each once."""


class Hot(Preparing, Protocol):
    """One that keeps values in the process."""

    name: str

    async def burst(self, turn: int) -> None:
        """`BURST` hits."""
        ...


class CoherdHot:
    """The asynchronous client, its near cache as the catalog says (analytics: push)."""

    name = "coherd, async"

    def __init__(self, target: str) -> None:
        self._client = CacheClient.connect(target, timeout_ms=PATIENCE_MS)

    async def prepare(self) -> None:
        await self._client.set_many({Daily(user=user, date=date): document() for user, date in PARTS})
        for user, date in PARTS:
            if not await is_held(self._client, Daily(user=user, date=date)):
                raise NotMeasured("this version of the client keeps no near cache")

    async def burst(self, turn: int) -> None:
        get = self._client.get
        found = 0
        for user, date in PARTS:
            if await get(Daily(user=user, date=date)) is not None:
                found += 1
        expect(found == BURST)
        await asyncio.sleep(0)

    async def close(self) -> None:
        await self._client.close()


class CoherdShared(CoherdHot):
    """Callers that share one value, as those of cashews do."""

    name = "coherd, async, shared"

    async def burst(self, turn: int) -> None:
        get = self._client.get
        found = 0
        for user, date in PARTS:
            if await get(Daily(user=user, date=date), shared=True) is not None:
                found += 1
        expect(found == BURST)
        await asyncio.sleep(0)


class CoherdPeek(CoherdHot):
    """The same by the plain method. What a starved loop makes it miss is looked up again."""

    name = "coherd, peek, shared"

    async def burst(self, turn: int) -> None:
        peek = self._client.peek
        for user, date in PARTS:
            while peek(Daily(user=user, date=date), shared=True) is None:
                await self._client.get(Daily(user=user, date=date))  # after a lapse nothing is held until it is read
        await asyncio.sleep(0)


class CoherdHotBlocking:
    """The blocking client; what its near cache holds is found in the calling thread."""

    name = "coherd, blocking"

    def __init__(self, target: str) -> None:
        self._client = BlockingClient.connect(target, timeout_ms=PATIENCE_MS)

    async def prepare(self) -> None:
        await asyncio.to_thread(self._fill)

    def _fill(self) -> None:
        keys = [Daily(user=user, date=date) for user, date in PARTS]
        self._client.set_many({key: document() for key in keys})
        end_s = time.monotonic() + PATIENCE_S
        while missing := [key for key in keys if self._client._near_hit(key) is None]:
            if time.monotonic() > end_s:
                raise NotMeasured("the blocking client does not hold what it has read")
            self._client.get_many(missing)
            time.sleep(0.05)

    async def burst(self, turn: int) -> None:
        get = self._client.get
        found = 0
        for user, date in PARTS:
            if get(Daily(user=user, date=date)) is not None:
                found += 1
        expect(found == BURST)
        await asyncio.sleep(0)

    async def close(self) -> None:
        await asyncio.to_thread(self._client.close)


class CashewsHot:
    """Its client-side cache: Redis tells it what has changed."""

    name = "cashews, client side"

    def __init__(self, url: str) -> None:
        self._cache = Cache()
        self._cache.setup(url, client_side=True, suppress=False)

    async def prepare(self) -> None:
        await self._cache.init()
        for user, date in PARTS:
            await self._cache.set(f"daily:{user}:{date}", document(), expire=TTL_MS / 1000)

    async def burst(self, turn: int) -> None:
        get = self._cache.get
        found = 0
        for user, date in PARTS:
            if await get(f"daily:{user}:{date}") is not None:
                found += 1
        expect(found == BURST)
        await asyncio.sleep(0)

    async def close(self) -> None:
        await self._cache.close()
