"""Whether a server that owes an answer still lives: what is silent is asked for a sign of life, then taken for lost.

A process that stands still (SIGSTOP, a frozen machine, a cut cable) leaves its connections open, and gRPC's own pings
notice it late. The watch costs one timer while something is expected, and nothing per call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Final

from coherd.contract.limits import MAX_TIMEOUT_MS, whole_number

DEFAULT_SILENCE_MS: Final = 3_000
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


class SignOfLife:
    """Watches one connection, in the event loop that makes it.

    Silence is counted in looks, each at most once however late it comes: a client that stood still itself takes nobody
    for lost.

    Args:
        loop: whose timers are used.
        silence_ms: longest silence.
        expects: whether an answer is owed now.
        ping: asks the server for a sign of life; whether it could be asked.
        lost: called once, when the silence was too long.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        silence_ms: int,
        expects: Callable[[], bool],
        ping: Callable[[], bool],
        lost: Callable[[], None],
    ) -> None:
        self.heard = False
        """To be set whenever anything comes from the server."""
        self._look_s = silence_ms / 1_000 / LOOKS
        self._expects = expects
        self._ping = ping
        self._lost = lost
        self._loop = loop
        self._timer: asyncio.TimerHandle | None = None
        self._closed = False

    def watch(self) -> None:
        """Something was sent: watch until something was heard and nothing is owed. Again does nothing.

        What callers waited for in vain and gave up is owed all the same.
        """
        if self._timer is None and not self._closed:
            self.heard = False
            self._look_later(0, False)

    def close(self) -> None:
        """Watch no more."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look_later(self, silent_looks: int, asked: bool) -> None:
        self._timer = self._loop.call_later(self._look_s, self._look, silent_looks, asked, context=Context())

    def _look(self, silent_looks: int, asked: bool) -> None:
        self._timer = None
        if self.heard:
            self.heard = False
            if self._expects():
                self._look_later(0, False)
            return
        silent_looks += 1
        if silent_looks >= LOOKS:
            self.close()
            self._lost()
            return
        if silent_looks >= PING_AFTER and not asked:
            asked = self._ping()
        self._look_later(silent_looks, asked)
