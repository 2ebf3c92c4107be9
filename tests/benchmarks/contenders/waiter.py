"""A process whose callers wait for what another one loads: ``waiter KIND ADDRESS``.

A line ``NAME COUNT`` makes it ask for that many keys at once. It answers when it had each value: a JSON list of
readings of the host's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Final

import redis.asyncio
from tests.benchmarks.contenders import PATIENCE_MS, expect

from coherd.client import CacheClient
from coherd.domains.content import Topics

LOCK_TIMEOUT_S: Final = 60.0
Wait = Callable[[Topics], Awaitable[object]]


def key(name: str, number: int) -> Topics:
    """A key of a round."""
    return Topics(user=f"{name}-{number}")


async def _load(_: object) -> str:
    return "loaded a second time"


async def _coherd(target: str) -> None:
    async with CacheClient.connect(target, timeout_ms=PATIENCE_MS) as cache:
        await cache.describe_catalog()  # connected
        await _serve(lambda one: cache.get_or_load(one, _load))


async def _lock(port: str) -> None:
    client = redis.asyncio.Redis(port=int(port), decode_responses=True)

    async def wait(one: Topics) -> object:
        async with client.lock(f"lock:{one}", timeout=LOCK_TIMEOUT_S):
            return await client.get(f"own:{one}")

    await client.ping()
    await _serve(wait)
    await client.aclose()


async def _serve(wait: Wait) -> None:
    async def one(name: str, number: int) -> float:
        expect(await wait(key(name, number)) == "loaded")
        return time.monotonic()

    print("ready", flush=True)
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        name, count = line.split()
        print(json.dumps(await asyncio.gather(*(one(name, number) for number in range(int(count))))), flush=True)


if __name__ == "__main__":
    asyncio.run({"coherd": _coherd, "lock": _lock}[sys.argv[1]](sys.argv[2]))
