"""Whether a server that owes an answer still lives: what is silent is asked for a sign of life, then taken for lost.

A process that stands still (SIGSTOP, a frozen machine, a cut cable) leaves its connections open, and gRPC's own pings
notice it late. The watch costs one timer while something is expected, and nothing per call.
"""

from __future__ import annotations

import asyncio
import weakref
from contextvars import Context
from typing import Final, Protocol

from coherd.contract.limits import MAX_TIMEOUT_MS, whole_number

DEFAULT_SILENCE_MS: Final = 2_800
"""Longer than a busy server is silent (2 s); with what it takes to notice and to connect, clients have moved within
5 s."""
MIN_SILENCE_MS: Final = 500
LOOKS: Final = 7
"""How often it is looked within the longest silence."""
PING_AFTER: Final = 2
"""Looks at a silent server after which it is asked."""


def checked_silence(silence_ms: int) -> int:
    """A longest silence, if it is one.

    Raises:
        ValueError: it is no whole number, or out of its range.
    """
    return whole_number("silence_ms", silence_ms, MIN_SILENCE_MS, MAX_TIMEOUT_MS)


class Watched(Protocol):
    """A connection that is watched."""

    def is_owed(self) -> bool:
        """Whether its server owes an answer now."""
        ...

    def ask_for_sign(self) -> bool:
        """Ask the server for a sign of life; whether it could be asked."""
        ...

    def fall_silent(self) -> None:
        """The silence was too long; called once."""
        ...


class SignOfLife:
    """Watches one connection, as long as somebody holds it.

    Silence is counted in looks, each at most once however late it comes: a client that stood still itself takes nobody
    for lost.

    Args:
        loop: whose timers are used.
        silence_ms: longest silence.
        watched: the connection. It is not kept alive: before a fork what is idle is dropped.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, silence_ms: int, watched: Watched) -> None:
        self.heard = False
        """To be set whenever anything comes from the server."""
        self.sent = False
        """To be set whenever an answer is asked for."""
        self.is_watching = False
        """Whether `watch` need not be called."""
        self._look_s = silence_ms / 1_000 / LOOKS
        self._watched = weakref.ref(watched)
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._silent_looks = 0
        self._idle_looks = 0
        self._asked = False

    def watch(self) -> None:
        """Begin to look; it ends by itself when nothing was sent for as long as the longest silence."""
        self.is_watching = True
        self.heard = self._asked = False
        self._silent_looks = self._idle_looks = 0
        self._look_later()

    def close(self) -> None:
        """Watch no more."""
        self.is_watching = True  # nobody is to begin anew
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self) -> None:
        self._timer = self._loop.call_later(self._look_s, self._look, context=Context())

    def _look(self) -> None:
        self._timer = None
        watched = self._watched()
        if watched is None:
            return
        if self.heard:
            # What callers waited for in vain and gave up is owed until something is heard.
            self.heard, self.sent = False, watched.is_owed()
            self._silent_looks, self._idle_looks, self._asked = 0, 0, False
        elif self.sent:
            self._idle_looks = 0
            self._silent_looks += 1
            if self._silent_looks >= LOOKS:
                self.close()
                watched.fall_silent()
                return
            if self._silent_looks >= PING_AFTER and not self._asked:
                self._asked = watched.ask_for_sign()
        else:
            self._idle_looks += 1
            if self._idle_looks >= LOOKS:
                self.is_watching = False
                return
        self._look_later()
