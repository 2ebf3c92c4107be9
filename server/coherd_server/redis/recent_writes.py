"""What was acknowledged lately, to be done again on a primary that may not have it [repeat-on-switch].

A failover can lose the last writes of the old primary, and the old one may go on acknowledging until its replacement is
noticed. So before a server serves from a node with another identity, it repeats there what it acknowledged in the
last `WINDOW_S`: invalidations with fresh epochs, deletes as deletes, stored values as deletes: a hit lost, never an old
value.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from typing import Final

import structlog
from redis.exceptions import AskError, ResponseError

from coherd_server.redis.batch import Batch
from coherd_server.redis.causes import describe_refusal
from coherd_server.redis.connection import Connection, ConnectionLost
from coherd_server.redis.jobs import Job
from coherd_server.redis.scripts import LATE
from coherd_server.redis.settings import StoreSettings

_log = structlog.get_logger("coherd.store")
WINDOW_S: Final = 10.0
"""Longer than a switch can go unnoticed: a check every second, and a reply time-out on top."""
MOST_JOBS: Final = 200_000
"""Bound on what is remembered; what is dropped before its time is over is logged."""


Repetition = Callable[[str], Job]
"""Makes the job that does a change again, out of the full name of what it changed."""


class RecentWrites:
    """Remembers what was acknowledged lately: of each name the latest change."""

    def __init__(self) -> None:
        self._noted: dict[str, tuple[float, Repetition]] = {}
        self._overflown_at_s = float("-inf")

    def note(self, names: Collection[str], repetition: Repetition) -> None:
        """Remember that these were acknowledged just now, and how each is repeated."""
        now_s = time.monotonic()
        noted = self._noted
        for name in names:
            noted.pop(name, None)  # the order is that of time
        noted.update(dict.fromkeys(names, (now_s, repetition)))
        self._trim(now_s)

    def recent(self) -> list[Job]:
        """What repeats all that was acknowledged within the window, the oldest first."""
        self._trim(time.monotonic())
        return [repetition(name) for name, (_, repetition) in self._noted.items()]

    async def repeat_on(self, connection: Connection, settings: StoreSettings, *, cluster: bool) -> None:
        """Do them again on a node. Names that a cluster keeps elsewhere are refused there with MOVED, as it should be.

        Raises:
            ConnectionLost: the node does not answer, or refused some of it; the connection is closed.
        """
        jobs, timeout_ms = self.recent(), settings.reply_timeout_ms
        for at in range(0, len(jobs), settings.batch_items):
            batch = Batch(wide=not cluster)
            for job in jobs[at : at + settings.batch_items]:
                batch.add_job(job._replace(replicas=0))
            commands = batch.pack(connection.identity, connection.redis_now_ms() + timeout_ms, timeout_ms // 2)
            replies = await connection.exchange(commands, timeout_ms=timeout_ms)
            errors = [
                reply for reply in replies if isinstance(reply, ResponseError) and not isinstance(reply, AskError)
            ]
            if errors or LATE in replies:
                connection.close()
                why = f": {describe_refusal(errors[0])}" if errors else ""
                text = f"refused to repeat what was acknowledged{why}"
                raise ConnectionLost(connection.address, text, sent=True)

    def _trim(self, now_s: float) -> None:
        noted = self._noted
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
