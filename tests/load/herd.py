"""A process of many callers, told by its standard input what to do; answers each line with a line of JSON.

`outage`: loads one key after the other until the breaker is open. `back`: loads until it is closed. `burst NAME`: all
callers load all keys at once; answers how many loads that took.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from typing import Any, Final

from coherd import CacheClient, OpenKey

CALLERS: Final = 50
KEYS: Final = 60
LOAD_S: Final = 0.02


class Herd:
    """The callers of one process.

    Args:
        target: of the service.
        callers: how many there are.
    """

    def __init__(self, target: str, callers: int) -> None:
        self._callers = callers
        self.loads = 0
        self.is_open = False
        self._cache = CacheClient.connect(target, near_cache=False, timeout_ms=20_000, on_event=self._happened)

    def _happened(self, event: Any) -> None:
        if event.kind in ("service_lost", "store_lost", "back"):
            self.is_open = event.kind != "back"

    async def _load(self, key: OpenKey) -> str:
        self.loads += 1
        await asyncio.sleep(LOAD_S)
        return str(key)

    async def until(self, is_open: bool) -> dict[str, Any]:
        """Ask until the breaker is open, or closed."""
        number = 0
        await self._cache.get_or_load(_key("first", 0), self._load)
        while self.is_open is not is_open:
            number += 1
            await self._cache.get_or_load(_key(f"outage{random.random()}", number), self._load)
        return {"asked": number}

    async def burst(self, name: str) -> dict[str, Any]:
        """All callers want all keys."""
        self.loads = 0

        async def call() -> None:
            for number in random.sample(range(KEYS), KEYS):
                await self._cache.get_or_load(_key(name, number), self._load)

        await asyncio.gather(*(call() for _ in range(self._callers)))
        return {"loads": self.loads, "counts": {**self._cache.load_counts.get("celery:herd", {})}}

    async def close(self) -> None:
        await self._cache.close()


def answer(line: bytes) -> dict[str, Any]:
    """What a process said."""
    said: dict[str, Any] = json.loads(line)
    return said


def _key(name: str, number: int) -> OpenKey:
    return OpenKey("celery", "herd", {"id": f"{name}-{number}"})


async def serve(target: str, callers: int) -> None:
    """Do what is said until standard input ends."""
    herd = Herd(target, callers)
    while line := await asyncio.to_thread(sys.stdin.readline):
        command, _, name = line.strip().partition(" ")
        answer = await (herd.burst(name) if command == "burst" else herd.until(command == "outage"))
        print(json.dumps(answer), flush=True)
    await herd.close()


if __name__ == "__main__":
    asyncio.run(serve(sys.argv[1], int(sys.argv[2])))
