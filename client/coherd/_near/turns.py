"""Turns of the event loop: hits alone must not keep it from running, since pushes are taken there [hits-give-turns]."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

LONGEST_S: Final = 0.005
"""Longest that hits are answered one after the other while the event loop has no turn."""
TURNS: Final = 3
"""Turns in which the loop takes what has arrived: gRPC wakes the session's reader, and that drops what is pushed."""


class Turns:
    """Whether an event loop has had a turn lately. For the loop's own thread.

    It costs a hit the comparison with `due_s`: only then, twice within `LONGEST_S`, is more to be done.

    Args:
        call_soon: of the event loop.
    """

    __slots__ = ("_asked", "_call_soon", "due_s")

    def __init__(self, call_soon: Callable[[Callable[[], object]], object]) -> None:
        self._call_soon = call_soon
        self._asked = False
        self.due_s = 0.0
        """Until then nothing is to be asked; on the clock of the near cache."""

    def owed(self, now_s: float) -> bool:
        """Whether the loop had no turn for too long, so that no hit is given before it had one. From `due_s` on, asks
        for a sign at the next turn."""
        if now_s < self.due_s:
            return False
        if self._asked:
            return True
        self._asked = True
        self.due_s = now_s + LONGEST_S / 2
        self._call_soon(self._had)
        return False

    def _had(self) -> None:
        self._asked = False
