"""What was acknowledged lately, to be done again on a primary that may not have it [repeat-on-switch].

A failover can lose the last writes of the old primary, and the old one may go on acknowledging until its replacement is
noticed. So before a server serves from a node with another identity, it repeats there what it acknowledged in the
last `WINDOW_S`: invalidations with fresh epochs, deletes as deletes, stored values as deletes: a hit lost, never an old
value.
"""

from __future__ import annotations

import time
from collections.abc import Iterable
from typing import Final

import structlog

from coherd_server.redis.batch import Job

_log = structlog.get_logger("coherd.store")
WINDOW_S: Final = 10.0
"""Longer than a switch can go unnoticed: a check every second, and a reply time-out on top."""
MOST_JOBS: Final = 200_000
"""Bound on what is remembered; what is dropped before its time is over is logged."""


class RecentWrites:
    """Remembers one job per name, the latest."""

    def __init__(self) -> None:
        self._jobs: dict[str, tuple[float, Job]] = {}
        self._overflown_at_s = float("-inf")

    def note(self, jobs: Iterable[Job]) -> None:
        """Remember what was acknowledged just now, as the job that repeats it."""
        now_s = time.monotonic()
        noted = self._jobs
        for job in jobs:
            name = job.keys[0]
            noted.pop(name, None)
            noted[name] = (now_s, job)
        self._trim(now_s)

    def recent(self) -> list[Job]:
        """What was acknowledged within the window, the oldest first."""
        self._trim(time.monotonic())
        return [job for _, job in self._jobs.values()]

    def _trim(self, now_s: float) -> None:
        noted = self._jobs
        while noted:
            name = next(iter(noted))
            at_s = noted[name][0]
            if now_s - at_s <= WINDOW_S:
                if len(noted) <= MOST_JOBS:
                    return
                if now_s - self._overflown_at_s > WINDOW_S:
                    self._overflown_at_s = now_s
                    _log.warning("more writes than are repeated after a failover", remembered=MOST_JOBS)
            del noted[name]
