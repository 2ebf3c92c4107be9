"""Writes of one key take turns within a process, so that they do not fence each other off (rule 6)."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable


class Turnstile:
    """Lets one write per key in at a time, and wakes one of those that wait, the longest waiting first.

    Holders never wait while they hold, so nothing can deadlock.
    """

    def __init__(self) -> None:
        self._inside: set[str] = set()
        self._waiting: dict[str, deque[asyncio.Future[None]]] = {}

    def enter(self, key: str) -> bool:
        """Whether the caller is in; if so it must `leave`."""
        if key in self._inside:
            return False
        self._inside.add(key)
        return True

    def leave(self, keys: Iterable[str]) -> None:
        """Let the next ones in."""
        for key in keys:
            self._inside.remove(key)
            self._wake_next(key)

    async def wait_for(self, keys: Iterable[str]) -> None:
        """Return when one of the keys, all of them inside, was left. Cancelling it disturbs nobody."""
        loop = asyncio.get_running_loop()
        futures: dict[str, asyncio.Future[None]] = {}
        for key in keys:
            if key not in futures:
                futures[key] = loop.create_future()
                self._waiting.setdefault(key, deque()).append(futures[key])
        try:
            await asyncio.wait(futures.values(), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            for key, future in futures.items():
                if future.done() and key not in self._inside:
                    self._wake_next(key)  # this caller was woken and will not come
            raise
        finally:
            for future in futures.values():
                future.cancel()

    def _wake_next(self, key: str) -> None:
        waiting = self._waiting.get(key)
        while waiting:
            future = waiting.popleft()
            if not future.done():
                future.set_result(None)
                break
        if not waiting:
            self._waiting.pop(key, None)
