"""The clock that leases of near caches are counted on."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

boottime_s: Final[Callable[[], float]] = (
    partial(time.clock_gettime, time.CLOCK_BOOTTIME) if hasattr(time, "CLOCK_BOOTTIME") else time.monotonic
)
"""Seconds; goes on while the machine sleeps, so that a lease is over when it wakes [lease-from-sending]. On macOS the
monotonic clock is all there is, and stands still meanwhile."""
