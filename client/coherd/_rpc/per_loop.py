"""One of something for each event loop: a client serves several loops, and forked children with loops of their own."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class PerLoop(Generic[T]):
    """Hands out what belongs to the running event loop, made when that first asks. Loops may be in different threads.

    Args:
        make: called in the loop.
    """

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self.by_loop: dict[asyncio.AbstractEventLoop, T] = {}

    def current(self) -> T:
        """What belongs to the running loop. Does no I/O."""
        loop = asyncio.get_running_loop()
        item = self.by_loop.get(loop)
        if item is None:
            for ended in [other for other in list(self.by_loop) if other.is_closed()]:
                self.by_loop.pop(ended, None)
            item = self.by_loop[loop] = self._make()
        return item

    def take_all(self) -> tuple[T | None, dict[asyncio.AbstractEventLoop, T]]:
        """Forgets all: answers what belongs to the running loop, and what belongs to others by loop."""
        others = dict(self.by_loop)
        self.by_loop.clear()
        return others.pop(asyncio.get_running_loop(), None), others
