"""The clock that leases of near caches are counted on."""

from __future__ import annotations

import time
from typing import Final

if hasattr(time, "CLOCK_BOOTTIME"):
    _CLOCK: Final = time.CLOCK_BOOTTIME

    def boottime_s() -> float:
        """Seconds; goes on while the machine sleeps, so that a lease is over when it wakes."""
        return time.clock_gettime(_CLOCK)

else:  # macOS: its monotonic clock stands still meanwhile, and so does Coherd's server on the same machine

    def boottime_s() -> float:
        """Seconds."""
        return time.monotonic()
