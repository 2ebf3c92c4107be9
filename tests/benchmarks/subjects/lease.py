"""What the lease costs: a miss that is guarded, with a loader that takes no time, against one that is not."""

from __future__ import annotations

from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Any, Final

import orjson
import redis.asyncio
from tests.benchmarks.contenders import PATIENCE_MS, expect
from tests.benchmarks.data import TTL_MS, daily, document
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Row, speed_row
from tests.benchmarks.rounds import Turn, run_rounds
from tests.benchmarks.stage import servers
from tests.benchmarks.subjects.single import ALONE, TOGETHER

from coherd.client import CacheClient
from coherd.domains.analytics import Daily

_TTL: Final = timedelta(milliseconds=TTL_MS)


class _Misses:
    """Every turn is about a key that nobody has asked for before."""

    def __init__(self, target: str, url: str) -> None:
        self.client = CacheClient.connect(target, near_cache=False, timeout_ms=PATIENCE_MS)
        self.redis = redis.asyncio.Redis.from_url(url)
        self._value = document()

    async def leased(self, turn: int) -> None:
        expect(await self.client.get_or_load(daily(turn), self._load, ttl=_TTL) is not None)

    async def plain(self, turn: int) -> None:
        key = daily(turn)
        expect(await self.client.get(key) is None)
        expect(bool(await self.client.set(key, await self._load(key), ttl=_TTL)))

    async def direct(self, turn: int) -> None:
        key = f"direct:{daily(turn)}"
        expect(await self.redis.get(key) is None)
        expect(await self.redis.set(key, orjson.dumps(self._value), px=TTL_MS) is True)

    async def _load(self, key: Daily) -> dict[str, Any]:
        return self._value


async def lease(plan: Plan) -> list[Row]:
    """`get_or_load` of what is not there, against a get and a set."""
    rows: list[Row] = []
    for concurrency in (ALONE, TOGETHER):
        async with AsyncExitStack() as stack:
            valkey, server = servers(stack)  # anew: run_rounds counts its turns from the start
            on = _Misses(server.target, valkey.url)
            stack.push_async_callback(on.client.close)
            stack.push_async_callback(on.redis.aclose)
            turns = [
                Turn("get_or_load", on.leased, concurrency),
                Turn("coherd, get and set", on.plain, concurrency),
                Turn("redis-py, GET and SET", on.direct, concurrency),
            ]
            ours, *others = await run_rounds(turns, plan)
        what = f"miss under a lease, {concurrency} caller{'s' if concurrency > 1 else ''}"
        rows += [speed_row("lease", what, theirs.turn.name, ours, theirs, None) for theirs in others]
    return rows
