"""One of something for each event loop: a client serves several loops, and forked children with loops of their own."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from typing import Generic, TypeVar

from coherd._rpc.loop_ends import at_end, ignore_later

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Hands out what belongs to the running event loop, made when that first asks. Loops may be in different threads.

    What belongs to a loop goes when the loop ends; at the latest, when another loop first asks.

    Args:
        make: called in the loop.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.by_loop: dict[asyncio.AbstractEventLoop, T] = {}
        self._ends: dict[asyncio.AbstractEventLoop, object] = {}
        """What notices the end of each loop."""

    def current(self) -> T:
        """What belongs to the running loop. Does no I/O."""
        loop = asyncio.get_running_loop()
        item = self.by_loop.get(loop)
        if item is None:
            self._forget_ended()
            item = self.by_loop[loop] = self._make()
            if loop not in self._ends:
                self._ends[loop] = at_end(functools.partial(self._end, loop))
        return item

    def take_all(self) -> tuple[T | None, dict[asyncio.AbstractEventLoop, T]]:
        """Forgets all: answers what belongs to the running loop, and what belongs to others by loop."""
        others = dict(self.by_loop)
        self.by_loop.clear()
        return others.pop(asyncio.get_running_loop(), None), others

    def _forget_ended(self) -> None:
        """Forgets what belongs to loops that were closed without notice."""
        for loop in [loop for loop in list(self._ends) if loop.is_closed()]:
            ignore_later(loop)  # before the running loop hears of what was under way there
            self.by_loop.pop(loop, None)
            self._ends.pop(loop, None)

    async def _end(self, loop: asyncio.AbstractEventLoop) -> None:
        self._ends.pop(loop, None)
        item = self.by_loop.pop(loop, None)
        if item is not None:
            await self.end(item)

    async def end(self, item: T) -> None:
        """What is done with what belongs to a loop that ends, in that loop."""
