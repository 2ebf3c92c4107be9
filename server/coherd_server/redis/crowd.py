"""When what is queued for a node leaves: at once for a caller that is alone, together where calls overlap (ADR 15)."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from typing import Final

CROWD_S: Final = 0.01
"""So long after calls that overlapped a batch waits for more of them. A caller that is alone waits for nobody."""
GATHER_TURNS: Final = 20
"""Turns of the event loop that it waits, some microseconds each where nothing else happens."""
GATHER_S: Final = 0.001
"""Longest wait."""
GATHER_ITEMS: Final = 10
"""Names and jobs of a batch that does not wait: those of several operations, as a frame brings them."""


class Crowd:
    """Decides when to send. Lives on one event loop.

    Args:
        send: sends what is queued.
        queued: names and jobs of the batch that would leave first; None: there is none.
        is_busy: whether a call is under way.
    """

    def __init__(self, send: Callable[[], None], queued: Callable[[], int | None], is_busy: Callable[[], bool]) -> None:
        self._send = send
        self._queued = queued
        self._is_busy = is_busy
        self._loop = asyncio.get_running_loop()
        self._until_s = -math.inf
        self._due: dict[Callable[[], None], None] = {}
        self.is_scheduled = False
        """``send`` is about to be called."""

    @property
    def is_on(self) -> bool:
        """Calls have just overlapped."""
        return time.monotonic() < self._until_s

    def when_gathered(self, call: Callable[[], None]) -> None:
        """See `coherd_server.core.store.Store.when_gathered`."""
        if self._due:
            self._until_s = time.monotonic() + CROWD_S
        self._due[call] = None
        self.send_soon()

    def send_soon(self) -> None:
        """Send what is queued when this turn of the loop is over: calls of one turn share a batch.

        In a crowd when some more turns are over: each is short where nothing else is to be done, and brings other calls
        where something is.
        """
        if self.is_scheduled:
            return
        self.is_scheduled = True
        now_s = time.monotonic()
        if self._is_busy():
            self._until_s = now_s + CROWD_S
        if self.is_on:
            self._loop.call_soon(self._gather, GATHER_TURNS, now_s + GATHER_S)
        else:
            self._loop.call_soon(self._gathered)

    def _gather(self, turns: int, until_s: float) -> None:
        queued = self._queued()
        few = bool(self._due) if queued is None else queued < GATHER_ITEMS
        if turns and few and time.monotonic() < until_s:
            self._loop.call_soon(self._gather, turns - 1, until_s)
        else:
            self._gathered()

    def _gathered(self) -> None:
        """Send, but first what begins now and is to go with it."""
        due, self._due = self._due, {}
        if not due:
            self._leave()
            return
        try:
            for call in due:
                call()
        finally:
            self._loop.call_soon(self._leave)  # behind what they have begun

    def _leave(self) -> None:
        self.is_scheduled = False
        if self._due:
            self.send_soon()
        self._send()
