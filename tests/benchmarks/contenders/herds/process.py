"""One process of a herd: prints ``ready``, then for each number it is sent one line of JSON. Ends with its input.

Arguments: name of the library, address, callers, milliseconds of a load.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import Callable
from importlib import import_module
from typing import Final

from tests.benchmarks.contenders.herds import Herd, Loads

HERDS: Final = {
    "coherd": "coherd_leases.CoherdLeases",
    "aiocache": "aiocache_lock.AiocacheLock",
    "cashews": "cashews_lock.CashewsLock",
    "dogpile": "dogpile_lock.DogpileLock",
}
"""Module and class beside this one; a process imports its own library only."""
OWN_ITEMS: Final = 10_000_000
"""Items from here on are asked for by one process only, to warm it up."""


async def main(name: str, address: str, callers: int, load_ms: int) -> None:
    """Serve until the input ends."""
    loads = Loads(load_ms)
    herd = _herd_of(name)(address, callers, loads)
    await herd.rush(OWN_ITEMS + os.getpid())
    print("ready", flush=True)
    while line := await asyncio.to_thread(sys.stdin.readline):
        before, started_s = loads.count, time.perf_counter()
        await herd.rush(int(line))
        took_ms = (time.perf_counter() - started_s) * 1_000
        print(json.dumps({"loads": loads.count - before, "took_ms": took_ms}), flush=True)
    await herd.close()


def _herd_of(name: str) -> Callable[[str, int, Loads], Herd]:
    module, _, made = HERDS[name].partition(".")
    herd: Callable[[str, int, Loads], Herd] = getattr(
        import_module(f"tests.benchmarks.contenders.herds.{module}"), made
    )
    return herd


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
