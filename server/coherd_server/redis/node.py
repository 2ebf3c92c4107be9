"""One primary: the batches between callers and its connections (`pool.py`).

A caller joins the last batch that was not sent yet; a connection takes the first one when it is free. So calls of one
event-loop turn share a round trip, and while all connections are busy calls gather in the next batch, never in
one that was sent [join-before-sending].
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import structlog

from coherd_server.core.store import WriteBasis
from coherd_server.log import Repeated
from coherd_server.redis.batch import Batch, Failure
from coherd_server.redis.causes import cause_of
from coherd_server.redis.connection import Connection, ConnectionLost
from coherd_server.redis.fencing import later_token
from coherd_server.redis.jobs import Job
from coherd_server.redis.pool import Pool, PooledConnection
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_py import Address, Reply
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings

_log = structlog.get_logger("coherd.store")
SILENT_CHECKS: Final = 1.5
"""A node is silent that has not answered for so many intervals of its checks."""
ReadPart = tuple[Sequence[str], Batch]
"""Some of the names to read, and the batch that reads them."""
JobPart = tuple[Sequence[int], Batch]
"""Where in a batch the answers to the next few jobs will be, and that batch."""


class Node:
    """All traffic to one primary at one address.

    Every batch is answered or failed within ``deadline_ms``: one that was not sent ``deadline_ms - reply_timeout_ms``
    after it was opened fails unsent and is never sent later.
    """

    def __init__(
        self,
        target: RedisTarget,
        address: Address,
        settings: StoreSettings,
        recent_writes: RecentWrites,
        *,
        cluster: bool,
        on_trouble: Callable[[], None],
        explain: Callable[[str], str] = str,
    ) -> None:
        self.address = address
        self._explain = explain
        """Adds what is known elsewhere to why a connection cannot be made."""
        self._settings = settings
        self._cluster = cluster
        self._on_trouble = on_trouble
        self._waiting: deque[Batch] = deque()
        """The batches that were not sent yet, the first to be sent first."""
        self._timers: dict[Batch, asyncio.TimerHandle] = {}
        """Of those batches."""
        self._loop = asyncio.get_running_loop()
        self._is_scheduled = False
        """What waits is sent when this turn of the loop is over: calls of one turn share a batch."""
        self._confirming = False
        """Some connection waits for replicas."""
        self._down_since_s: float | None = None
        self._down = Failure(f"{address}: not connected yet", sent=False, cause="not connected yet")
        self._unconnected = Repeated(_log, severity=logging.WARNING)
        self._refused = Repeated(_log, severity=logging.WARNING)
        self._closed = False
        self.last_used_at_s = time.monotonic()
        """`time.monotonic` of when somebody last wanted something of it."""
        self.answered_at_s = float("-inf")
        """`time.monotonic` of the last complete batch or check; written by all connections."""
        self._pool = Pool(target, address, settings, recent_writes, self, cluster=cluster)

    # What callers use.

    def submit(
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
        if self._closed:
            self._fail(Failure(f"{self.address}: no longer used", sent=False))
        elif (
            self._down_since_s is not None and time.monotonic() - self._down_since_s > self._settings.deadline_ms / 1000
        ):  # callers need not wait for what the pool will find out
            self._fail(self._down._replace(final=True))
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self.pump)
        return reads, writes

    @property
    def identity(self) -> bytes | None:
        """As last read on any of its connections."""
        return self._pool.identity

    def remembered(self) -> WriteBasis | None:
        """The node and its fences as far as is known without asking; None where that is not enough to write by."""
        pool = self._pool
        if pool.fencing_token is None or pool.identity is None:
            return None
        for pooled in pool.connections:
            connection = pooled.connection
            if connection is not None and connection.is_open and connection.identity == pool.identity:
                return WriteBasis(pool.identity, connection.redis_now_ms(), pool.fencing_token)
        return None

    def learn(self, identity: bytes, fencing_token: bytes) -> None:
        """A connection of this identity has told of the fences."""
        if identity == self._pool.identity:
            self._pool.fencing_token = later_token(fencing_token, self._pool.fencing_token)

    def distrust(self) -> None:
        """Every connection reads role and identity again before it carries another batch."""
        self._pool.distrust()

    async def close(self) -> None:
        """Close all connections; what waits fails unsent, what is under way fails with unknown outcome. Idempotent."""
        self._closed = True
        await self._pool.close()
        self._fail(Failure(f"{self.address}: no longer used", sent=False))

    @property
    def trouble(self) -> str:
        """Why nothing is answered, for error texts."""
        return self._down.text if self._down_since_s is not None else f"{self.address}: no answer lately"

    @property
    def cause(self) -> str:
        """The same without the address."""
        return self._down.cause if self._down_since_s is not None else "no answer lately"

    @property
    def is_silent(self) -> bool:
        """It has not answered lately, although it is asked every `check_every_ms`."""
        return self.answered_at_s < time.monotonic() - SILENT_CHECKS * self._settings.check_every_ms / 1000

    @property
    def is_refused(self) -> bool:
        """The node refuses this server (password, mode): waiting does not help."""
        return self._down_since_s is not None and self._down.final

    # What waits.

    @property
    def is_waiting(self) -> bool:
        """See `Traffic.is_waiting`."""
        return bool(self._waiting)

    def _open(self, asking: bool, *, confirmed: bool = False) -> Batch:
        """The last batch of its kind if that has room, else a new one."""
        self.last_used_at_s = time.monotonic()
        if not asking:
            for last in reversed(self._waiting):
                if last.confirmed is confirmed and not last.asking:
                    if len(last) < self._settings.batch_items and last.payload_bytes < self._settings.batch_bytes:
                        return last
                    break
        batch = Batch(wide=not self._cluster, asking=asking, confirmed=confirmed)
        self._waiting.append(batch)
        wait_s = (self._settings.deadline_ms - self._settings.reply_timeout_ms) / 1000
        self._timers[batch] = self._loop.call_later(wait_s, self._expire, batch)
        return batch

    def _expire(self, batch: Batch) -> None:
        if self._timers.pop(batch, None) is not None:
            self._waiting.remove(batch)
            busy = "all connections to it are busy"
            is_up = self._down_since_s is None
            batch.fail(Failure(f"{self.address}: {busy}", sent=False, cause=busy) if is_up else self._down)

    def _first(self, *, confirmed: bool) -> Batch | None:
        """The first batch that waits; with ``confirmed=False`` the first one that does not wait for replicas."""
        for batch in self._waiting:
            if confirmed or not batch.confirmed:
                return batch
        return None

    def _fail(self, failure: Failure) -> None:
        """Fail all batches that wait."""
        while self._waiting:
            batch = self._waiting.popleft()
            self._timers.pop(batch).cancel()
            batch.fail(failure)

    # The connections.

    def pump(self) -> None:
        """Give batches that wait to connections that are free; let one more get ready if none is."""
        self._is_scheduled = False
        connections = self._pool.connections
        alone = len(connections) == 1
        for pooled in connections:
            if not self._waiting:
                return
            # A batch that waits for replicas leaves the other connections to the rest.
            batch = self._first(confirmed=not self._confirming or alone)
            if batch is None:
                return
            self._carry(batch, pooled)
        if self._first(confirmed=not self._confirming or alone) is not None:
            for pooled in connections:
                if not pooled.busy:
                    pooled.wanted.set()
                    return

    def _carry(self, batch: Batch, pooled: PooledConnection) -> None:
        """Send a batch over a connection, if that is free and ready."""
        connection, pool = pooled.connection, self._pool
        if pooled.busy or connection is None or not connection.is_ready(pool.identity, pool.distrusted_at_s):
            return
        self._waiting.remove(batch)
        self._timers.pop(batch).cancel()
        reply_timeout_ms, now_ms = self._settings.reply_timeout_ms, connection.redis_now_ms()
        commands = batch.pack(connection.identity, now_ms + reply_timeout_ms, reply_timeout_ms // 2)
        if not commands:
            batch.settle([], connection.identity, now_ms)
            return
        pooled.busy = True
        self._confirming = self._confirming or batch.confirmed
        connection.send(commands, partial(self._carried, pooled, connection, batch), timeout_ms=reply_timeout_ms)

    def _carried(
        self,
        pooled: PooledConnection,
        connection: Connection,
        batch: Batch,
        outcome: list[Reply] | ConnectionLost,
        redis_now_ms: int,
    ) -> None:
        """Settle a batch with what came back."""
        pooled.busy = False
        self._confirming = self._confirming and not batch.confirmed
        if isinstance(outcome, ConnectionLost):
            batch.fail(Failure(str(outcome), sent=outcome.sent, cause=outcome.cause))
            self.distrust()
            self._on_trouble()
        else:
            self.note_answer()
            try:
                batch.settle(outcome, connection.identity, redis_now_ms)
                if batch.fencing_token:
                    self.learn(connection.identity, batch.fencing_token)
            except TypeError:
                batch.fail(Failure(f"{self.address}: unexpected reply", sent=True))
                connection.close()
        if batch.redirected or batch.late:
            self.distrust()
        if batch.scripts_missing:
            connection.scripts_loaded = False
        if batch.readonly:
            self._on_trouble()
        if batch.refused is not None and (cause := cause_of(batch.refused)) is not None:
            self._refused.tell("the store refuses commands", node=str(self.address), reason=cause.text)
        if self._waiting and not self._is_scheduled:
            self.pump()

    def note_answer(self) -> None:
        """See `Traffic.note_answer`."""
        self.answered_at_s = time.monotonic()
        self._down_since_s = None

    def note_down(self, lost: ConnectionLost) -> None:
        """See `Traffic.note_down`."""
        cause = self._explain(lost.cause)
        self._down = Failure(f"{self.address}: {cause}", sent=False, final=lost.refused, cause=cause)
        if self.answered_at_s > 0:  # else whoever opens the store tells why
            self._unconnected.tell("no connection to the store", node=str(self.address), reason=cause)
        if self._down_since_s is None:
            self._down_since_s = time.monotonic()
        if lost.refused:
            self._fail(self._down)
        self._on_trouble()
