"""Writes of one key take turns within a process, so that they do not fence each other off [late-write-fence]."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Collection, Iterable


class KeyQueue:
    """Lets one write per key in at a time. A key that is left goes to the longest waiting, past all newcomers.

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

    def enter_all(self, keys: Collection[str]) -> bool:
        """Whether the caller is in for all of these, each named once. If so it must `leave` them, else it is in for
        none."""
        asked = set(keys)
        if len(asked) != len(keys) or not self._inside.isdisjoint(asked):
            return False
        self._inside |= asked
        return True

    def is_taken(self, key: str) -> bool:
        """Somebody is in."""
        return key in self._inside

    def leave(self, keys: Iterable[str]) -> None:
        """Let the next ones in."""
        if not self._waiting:
            self._inside.difference_update(keys)
            return
        for key in keys:
            self._hand_over(key)

    async def wait_for(self, keys: Iterable[str]) -> set[str]:
        """Wait until one of the keys, all of them inside, is left; those the caller is in for now and must `leave`.

        Cancelling it disturbs nobody.
        """
        loop = asyncio.get_running_loop()
        futures: dict[str, asyncio.Future[None]] = {}
        for key in keys:
            if key not in futures:
                futures[key] = loop.create_future()
                self._waiting.setdefault(key, deque()).append(futures[key])
        try:
            await asyncio.wait(futures.values(), return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:
            self.leave([key for key, future in futures.items() if future.done()])
            raise
        finally:
            entered = {key for key, future in futures.items() if not future.cancel()}
        return entered

    def _hand_over(self, key: str) -> None:
        waiting = self._waiting.get(key)
        while waiting:
            future = waiting.popleft()
            if not future.done():
                future.set_result(None)
                break
        else:
            self._inside.remove(key)
        if not waiting:
            self._waiting.pop(key, None)
