"""Writes of one key take turns within a process, so that they do not fence each other off (rule 6)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable


class Turnstile:
    """Lets one write per key in at a time. Holders never wait while they hold, so nothing can deadlock."""

    def __init__(self) -> None:
        self._inside: dict[str, asyncio.Future[None] | None] = {}

    def enter(self, key: str) -> bool:
        """Whether the caller is in; if so it must `leave`."""
        if key in self._inside:
            return False
        self._inside[key] = None
        return True

    def leave(self, keys: Iterable[str]) -> None:
        """Let the next ones in."""
        for key in keys:
            left = self._inside.pop(key)
            if left is not None and not left.done():
                left.set_result(None)

    async def wait_for(self, keys: Iterable[str]) -> None:
        """Return when one of the keys, all of them inside, may be free. Cancelling it disturbs nobody."""
        loop = asyncio.get_running_loop()
        futures: set[asyncio.Future[None]] = set()
        for key in keys:
            future = self._inside[key]
            if future is None:
                future = self._inside[key] = loop.create_future()
            futures.add(future)
        await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
