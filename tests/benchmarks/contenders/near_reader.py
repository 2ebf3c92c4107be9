"""Another process with a near cache: sees how long a value is served after somebody else has invalidated it.

Argument: the server's target. For each number it is sent it first prints ``held`` once its near cache serves that
item (or ``not held``, and waits for the next), then reads it over and over and prints two moments, in nanoseconds of
`time.monotonic_ns`, which is one clock for all processes of a machine: when the last read that gave the value began,
and when the first began that did not.
"""

from __future__ import annotations

import asyncio
import sys
import time

from tests.benchmarks.contenders import PATIENCE_MS, PATIENCE_S
from tests.benchmarks.data import daily
from tests.benchmarks.without_waiting import is_held

from coherd.client import CacheClient
from coherd.domains.analytics import Daily


async def main(target: str) -> None:
    """Serve until the input ends."""
    async with CacheClient.connect(target, timeout_ms=PATIENCE_MS) as cache:
        print("ready", flush=True)
        while line := await asyncio.to_thread(sys.stdin.readline):
            key = daily(int(line))
            if not await is_held(cache, key):
                print("not held", flush=True)
                continue
            print("held", flush=True)
            async with asyncio.timeout(PATIENCE_S):
                last_ns, first_ns = await _watch(cache, key)
            print(last_ns, first_ns, flush=True)


async def _watch(cache: CacheClient, key: Daily) -> tuple[int, int]:
    last_ns = time.monotonic_ns()
    while True:
        began_ns = time.monotonic_ns()
        if await cache.get(key) is None:
            return last_ns, began_ns
        last_ns = began_ns
        await asyncio.sleep(0)  # a hit gives the event loop no turn, and pushes need one


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
