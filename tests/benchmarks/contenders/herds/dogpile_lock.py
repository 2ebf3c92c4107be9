"""dogpile.cache on Redis with `distributed_lock`, configured as its documentation does; one thread per caller."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from dogpile.cache import make_region
from tests.benchmarks.contenders.herds import TTL_S, Loads, expect_values


class DogpileLock:
    """The address is the port of Redis."""

    def __init__(self, address: str, callers: int, loads: Loads) -> None:
        self._region = make_region().configure(
            "dogpile.cache.redis",
            expiration_time=TTL_S,
            arguments={
                "host": "127.0.0.1",
                "port": int(address),
                "redis_expiration_time": 2 * TTL_S,
                "distributed_lock": True,
                "thread_local_lock": False,
                "connection_kwargs": {"max_connections": callers},  # redis-py refuses more threads than its pool has
            },
        )
        self._callers = callers
        self._loads = loads
        self._threads = ThreadPoolExecutor(callers)

    async def rush(self, item: int) -> None:
        loop = asyncio.get_running_loop()
        get = self._region.get_or_create
        calls = (
            loop.run_in_executor(self._threads, get, f"dogpile:{item}", self._loads.load_blocking)
            for _ in range(self._callers)
        )
        expect_values(await asyncio.gather(*calls))

    async def close(self) -> None:
        self._threads.shutdown()
