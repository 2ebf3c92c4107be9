"""The clock that both sides count the leases of near caches on [lease-from-sending]."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

lease_clock_s: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Seconds since the machine started. Goes on while it sleeps, so that a lease is over when it wakes; where there is no
such clock (macOS, Windows) it stands still meanwhile."""
