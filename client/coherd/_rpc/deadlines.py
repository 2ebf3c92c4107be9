"""Time limits of much that was asked for without a timer for each.

Operations with one time limit end in the order they began, so they stand in a queue per limit, and one timer waits for
the first of each. What was answered meanwhile is dropped when it comes to the front.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Collection
from contextvars import Context
from typing import Final, Generic, TypeVar

T = TypeVar("T")

MOST_LIMITS: Final = 64
"""Queues that are kept; operations with one more limit each get a timer of their own."""
SPARE: Final = 1_024
"""Answered operations that a queue may hold besides one for each that is open."""


class Deadlines(Generic[T]):
    """The time limits of what one session has asked for, in its event loop.

    Args:
        open_ones: what is not answered yet.
        expire: called with what is open and whose time is up.
    """

    def __init__(self, open_ones: Collection[T], expire: Callable[[T], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._open_ones = open_ones
        self._expire = expire
        self._queues: dict[int, deque[tuple[float, T]]] = {}
        self._timers: dict[int, asyncio.TimerHandle] = {}

    def add(self, one: T, limit_ms: int) -> None:
        """Something that begins now."""
        queue = self._queues.get(limit_ms)
        if queue is None:
            if len(self._queues) >= MOST_LIMITS:
                self._forget_empty()
            if len(self._queues) >= MOST_LIMITS:
                self._loop.call_later(limit_ms / 1000, self._end, one, context=Context())
                return
            queue = self._queues[limit_ms] = deque()
        open_ones = self._open_ones
        while queue and queue[0][1] not in open_ones:
            queue.popleft()
        if len(queue) > 2 * len(open_ones) + SPARE:  # the first of them is open for long
            left = [entry for entry in queue if entry[1] in open_ones]
            queue.clear()
            queue.extend(left)
        queue.append((self._loop.time() + limit_ms / 1000, one))
        if limit_ms not in self._timers:
            self._timers[limit_ms] = self._loop.call_at(queue[0][0], self._look, limit_ms, context=Context())

    def close(self) -> None:
        """No more timers."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()
        self._queues.clear()

    def _end(self, one: T) -> None:
        if one in self._open_ones:
            self._expire(one)

    def _look(self, limit_ms: int) -> None:
        del self._timers[limit_ms]
        queue, now_s = self._queues[limit_ms], self._loop.time()
        while queue:
            until_s, one = queue[0]
            if one in self._open_ones:
                if until_s > now_s:
                    self._timers[limit_ms] = self._loop.call_at(until_s, self._look, limit_ms)
                    return
                self._expire(one)
            queue.popleft()

    def _forget_empty(self) -> None:
        for limit_ms in [limit_ms for limit_ms, queue in self._queues.items() if not queue]:
            if limit_ms not in self._timers:
                del self._queues[limit_ms]
