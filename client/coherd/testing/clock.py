"""The time of a fake cache."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from typing import Final

START: Final = datetime.datetime(2025, 8, 6, 12, tzinfo=datetime.UTC)
"""When a clock begins that is told nothing else."""
_MS: Final = datetime.timedelta(milliseconds=1)
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


class FakeClock:
    """Stands still until it is advanced, or runs with real time and can be advanced besides."""

    def __init__(self, start: datetime.datetime = START, *, runs: bool = False) -> None:
        """
        Args:
            start: what it shows at first, with a time zone.
            runs: go on with real time.

        Raises:
            ValueError: the start has no time zone.
        """
        if start.tzinfo is None:
            raise ValueError("the start needs a time zone")
        self._shown_ms = (start - _EPOCH) // _MS
        self._begun_s = time.monotonic() if runs else None
        self._tell: list[Callable[[], None]] = []

    @property
    def runs(self) -> bool:
        """Whether it goes on with real time."""
        return self._begun_s is not None

    @property
    def now_ms(self) -> int:
        """Unix milliseconds."""
        if self._begun_s is None:
            return self._shown_ms
        return self._shown_ms + int((time.monotonic() - self._begun_s) * 1000)

    @property
    def now(self) -> datetime.datetime:
        """The time it shows, in UTC."""
        return _EPOCH + self.now_ms * _MS

    def advance(self, by: datetime.timedelta) -> None:
        """Let time pass: whole milliseconds, >= 0. Whoever waits for it is woken in his next turn of the event loop.

        Raises:
            ValueError: time does not run backwards.
        """
        if by < datetime.timedelta(0):
            raise ValueError("time does not run backwards")
        self._shown_ms += by // _MS
        for tell in self._tell:
            tell()

    def on_advance(self, tell: Callable[[], None]) -> None:
        """Whom to tell whenever it was advanced."""
        self._tell.append(tell)
