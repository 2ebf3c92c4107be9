"""The batches of one node that were not sent yet."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence

from coherd_server.redis.batch import Batch, Failure
from coherd_server.redis.jobs import Job
from coherd_server.redis.settings import StoreSettings

ReadPart = tuple[Sequence[str], Batch]
"""Some of the names to read, and the batch that reads them."""
JobPart = tuple[Sequence[int], Batch]
"""Where in a batch the answers to the next few jobs will be, and that batch."""


class BatchQueue:
    """Stands between callers and the connections of one node: a caller joins the last batch that was not sent yet.

    A batch that was not sent ``deadline_ms - reply_timeout_ms`` after it was opened fails unsent.

    Args:
        settings: bounds of a batch.
        cluster: a command may name keys of one slot only.
        why_unsent: told the callers of a batch that waited too long.
    """

    def __init__(self, settings: StoreSettings, *, cluster: bool, why_unsent: Callable[[], str]) -> None:
        self._settings = settings
        self._cluster = cluster
        self._why_unsent = why_unsent
        self.waiting: deque[Batch] = deque()
        """The batches, the first to be sent first; only to be looked at from outside."""
        self._timers: dict[Batch, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        self.last_used_at_s = time.monotonic()

    def add(
        self, names: Sequence[str], jobs: Sequence[Job], *, asking: bool = False
    ) -> tuple[list[ReadPart], list[JobPart]]:
        """Read names and do jobs, both in the order given; which batch brings what.

        ``asking``: they go to the importing node of a slot that moves, in batches of their own.
        """
        most_items, most_bytes = self._settings.batch_items, self._settings.batch_bytes
        reads: list[ReadPart] = []
        at = 0
        while at < len(names):
            batch = self._open(asking)
            part = names[at : at + most_items - len(batch)]
            batch.add_names(part)
            reads.append((part, batch))
            at += len(part)
        writes: list[JobPart] = []
        at = 0
        while at < len(jobs):
            confirmed = jobs[at].replicas > 0
            batch = self._open(asking, confirmed=confirmed)
            end = min(len(jobs), at + most_items - len(batch))
            places: list[int] = []
            while at < end and batch.payload_bytes < most_bytes and (jobs[at].replicas > 0) is confirmed:
                places.append(batch.add_job(jobs[at]))
                at += 1
            writes.append((places, batch))
        return reads, writes

    def _open(self, asking: bool, *, confirmed: bool = False) -> Batch:
        """The last batch of its kind if that has room, else a new one."""
        self.last_used_at_s = time.monotonic()
        if not asking:
            for last in reversed(self.waiting):
                if last.confirmed is confirmed and not last.asking:
                    if len(last) < self._settings.batch_items and last.payload_bytes < self._settings.batch_bytes:
                        return last
                    break
        batch = Batch(wide=not self._cluster, asking=asking, confirmed=confirmed)
        self.waiting.append(batch)
        wait_s = (self._settings.deadline_ms - self._settings.reply_timeout_ms) / 1000
        self._timers[batch] = self._loop.call_later(wait_s, self._expire, batch)
        return batch

    def _expire(self, batch: Batch) -> None:
        if self._timers.pop(batch, None) is not None:
            self.waiting.remove(batch)
            batch.fail(Failure(self._why_unsent(), sent=False))

    def take(self, *, confirmed: bool = True) -> Batch | None:
        """The first batch, which is in the queue no longer; with ``confirmed=False`` the first one that does not wait
        for replicas."""
        for batch in self.waiting:
            if confirmed or not batch.confirmed:
                self.waiting.remove(batch)
                self._timers.pop(batch).cancel()
                return batch
        return None

    def has(self, *, confirmed: bool = True) -> bool:
        """Whether `take` would give a batch."""
        return any(confirmed or not batch.confirmed for batch in self.waiting)

    def fail(self, failure: Failure) -> None:
        """Fail all batches."""
        while (batch := self.take()) is not None:
            batch.fail(failure)
