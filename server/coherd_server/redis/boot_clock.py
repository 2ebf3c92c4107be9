"""The clock of leases: one that goes on while the machine sleeps [lease-from-sending]."""

from __future__ import annotations

import time


def lease_clock_s() -> float:
    """Seconds since the machine started, sleep included; where there is no such clock (macOS, Windows) without it."""
    boot_clock: int | None = getattr(time, "CLOCK_BOOTTIME", None)
    return time.monotonic() if boot_clock is None else time.clock_gettime(boot_clock)
