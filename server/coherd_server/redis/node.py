"""One primary: a few connections and the queue of batches between callers and them.

A caller joins the last batch that was not sent yet; a connection takes the first one when it is free. So calls of one
event-loop turn share a round trip, and while all connections are busy calls gather in the next batch, never in
one that was sent [join-before-sending]. Where calls have just overlapped, those of some more turns do.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

from redis.exceptions import AskError, ResponseError

from coherd_server.core.store import WriteBasis
from coherd_server.redis.batch import Batch, Failure, Job
from coherd_server.redis.connection import Address, Connection, ConnectionLost, Reply
from coherd_server.redis.crowd import Crowd
from coherd_server.redis.ending import end
from coherd_server.redis.fences import later
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.scripts import LATE
from coherd_server.redis.settings import StoreSettings

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5
_LOOKS = 8
_DRIFT_MS = 5
"""Two clocks are that much apart at most after `_LOOKS` looks at one of them, if nobody has set it."""


class PooledConnection:
    """One connection of a node."""

    __slots__ = ("busy", "connection", "keeper", "wanted")

    def __init__(self, *, keeper: bool) -> None:
        self.keeper = keeper
        """Connects, and stays connected, without being asked to."""
        self.connection: Connection | None = None
        self.busy = False
        """Carries a batch, or is being made ready."""
        self.wanted = asyncio.Event()
        """Set to have it made ready."""
        if keeper:
            self.wanted.set()


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
    ) -> None:
        self.address = address
        self._target = target
        self._settings = settings
        self._recent_writes = recent_writes
        self._switching = asyncio.Lock()
        self._cluster = cluster
        self._on_trouble = on_trouble
        self._queue: deque[Batch] = deque()
        self._timers: dict[Batch, asyncio.TimerHandle] = {}
        self._loop = asyncio.get_running_loop()
        self.crowd = Crowd(self._pump, self._queued, self._is_busy)
        """Says when what is queued is sent."""
        self._confirming = False
        """some connection waits for replicas."""
        self._distrusted_at_s = 0.0
        self._down_since_s: float | None = None
        self._down = Failure(f"{address}: not connected yet", sent=False)
        self._closed = False
        self.answered_at_s = float("-inf")
        """`time.monotonic` of the last complete batch or check; written by all connections."""
        self.last_used_at_s = time.monotonic()
        self.identity: bytes | None = None
        """As last read on any of its connections."""
        self._fencing_token: bytes | None = None
        """The latest state of the fences that the node of this identity has told of."""
        self._looks: deque[tuple[bytes, float]] = deque(maxlen=_LOOKS)
        """Whose clock was read, and how far it was ahead of `time.monotonic`."""
        self._pool = [PooledConnection(keeper=i == 0) for i in range(settings.connections)]
        self._tasks = [asyncio.create_task(self._keep(pooled)) for pooled in self._pool]
        self._tasks.append(asyncio.create_task(self._tick()))

    # What callers use.

    def read(self, names: Sequence[str], *, asking: bool = False) -> list[tuple[Sequence[str], Batch]]:
        """Read names; parts of them by the batch they went into."""
        parts: list[tuple[Sequence[str], Batch]] = []
        at = 0
        while at < len(names):
            batch = self._open_batch(asking)
            part = names[at : at + self._settings.batch_items - len(batch)]
            batch.add_names(part)
            parts.append((part, batch))
            at += len(part)
        self._call_connection()
        return parts

    def submit(self, jobs: Sequence[Job], *, asking: bool = False) -> list[tuple[Sequence[int], Batch]]:
        """Do jobs, in the order given; positions of their answers, by the batch they went into."""
        parts: list[tuple[Sequence[int], Batch]] = []
        most_bytes = self._settings.batch_bytes
        at = 0
        while at < len(jobs):
            confirmed = jobs[at].replicas > 0
            batch = self._open_batch(asking, confirmed=confirmed)
            end = min(len(jobs), at + self._settings.batch_items - len(batch))
            places: list[int] = []
            while at < end and batch.payload_bytes < most_bytes and (jobs[at].replicas > 0) is confirmed:
                places.append(batch.add_job(jobs[at]))
                at += 1
            parts.append((places, batch))
        self._call_connection()
        return parts

    def remembered(self) -> WriteBasis | None:
        """The node and its fences as far as is known without asking; None where that is not enough to write by."""
        if self._fencing_token is None or self.identity is None:
            return None
        for pooled in self._pool:
            connection = pooled.connection
            if connection is not None and connection.is_open and connection.identity == self.identity:
                return WriteBasis(self.identity, connection.redis_now_ms(), self._fencing_token)
        return None

    def learn(self, identity: bytes, fencing_token: bytes) -> None:
        """A connection of this identity has told of the fences."""
        if identity == self.identity and fencing_token:
            self._fencing_token = later(fencing_token, self._fencing_token)

    def distrust(self) -> None:
        """Every connection reads role and identity again before it carries another batch."""
        self._distrusted_at_s = time.monotonic()

    async def close(self) -> None:
        """Close all connections; what waits fails unsent, what is under way fails with unknown outcome. Idempotent."""
        self._closed = True
        await asyncio.gather(*map(end, self._tasks))
        for pooled in self._pool:
            if pooled.connection is not None:
                pooled.connection.close()
        self._fail_queue(Failure(f"{self.address}: no longer used", sent=False))

    @property
    def trouble(self) -> str:
        """Why nothing is answered, for error texts."""
        return self._down.text if self._down_since_s is not None else f"{self.address}: no answer lately"

    @property
    def is_refused(self) -> bool:
        """The node refuses this server (password, mode): waiting does not help."""
        return self._down_since_s is not None and self._down.final

    # The queue.

    def _has_room(self, batch: Batch) -> bool:
        return len(batch) < self._settings.batch_items and batch.payload_bytes < self._settings.batch_bytes

    def _open_batch(self, asking: bool, *, confirmed: bool = False) -> Batch:
        self.last_used_at_s = time.monotonic()
        if not asking:
            alike = (one for one in reversed(self._queue) if one.confirmed is confirmed and not one.asking)
            last = next(alike, None)
            if last is not None and self._has_room(last):
                return last
        batch = Batch(wide=not self._cluster, asking=asking, confirmed=confirmed)
        self._queue.append(batch)
        wait_s = (self._settings.deadline_ms - self._settings.reply_timeout_ms) / 1000
        self._timers[batch] = self._loop.call_later(wait_s, self._expire, batch)
        return batch

    def _expire(self, batch: Batch) -> None:
        if self._timers.pop(batch, None) is not None:
            self._queue.remove(batch)
            text = self._down.text if self._down_since_s is not None else f"{self.address}: all connections busy"
            batch.fail(Failure(text, sent=False))

    def _next(self) -> Batch | None:
        """The first batch that may be sent: one that waits for replicas leaves the other connections to the rest."""
        if not self._confirming or len(self._pool) == 1:
            return self._queue[0] if self._queue else None
        return next((batch for batch in self._queue if not batch.confirmed), None)

    def _take(self, batch: Batch) -> None:
        self._queue.remove(batch)
        self._timers.pop(batch).cancel()

    def _fail_queue(self, failure: Failure) -> None:
        while self._queue:
            batch = self._queue[0]
            self._take(batch)
            batch.fail(failure)

    def _call_connection(self) -> None:
        if self._closed:
            self._fail_queue(Failure(f"{self.address}: no longer used", sent=False))
        elif self._known_down():
            self._fail_queue(self._down._replace(final=True))
        else:
            self.crowd.send_soon()

    def _known_down(self) -> bool:
        """Down for longer than a deadline: callers need not wait for what the keeper will find out."""
        since_s = self._down_since_s
        return since_s is not None and time.monotonic() - since_s > self._settings.deadline_ms / 1000

    # The connections.

    async def _tick(self) -> None:
        """Once in `check_every_ms` idle connections look at their node, too."""
        while True:
            await asyncio.sleep(self._settings.check_every_ms / 1000)
            for pooled in self._pool:
                if not pooled.busy and (pooled.keeper or pooled.connection is not None):
                    pooled.wanted.set()

    def _queued(self) -> int | None:
        return len(self._queue[0]) if self._queue else None

    def _is_busy(self) -> bool:
        return any(pooled.busy for pooled in self._pool)

    def _pump(self) -> None:
        """Give queued batches to connections that are free; let one more get ready if none is."""
        for pooled in self._pool:
            if not self._queue:
                return
            if not pooled.busy and self._is_ready(pooled):
                self._carry(pooled)
        if self._next() is not None:
            for pooled in self._pool:
                if not pooled.busy:
                    pooled.wanted.set()
                    return

    def _is_ready(self, pooled: PooledConnection) -> bool:
        """Whether role, identity and clock of its connection were read within the last `check_every_ms`."""
        connection = pooled.connection
        if (
            connection is None
            or not connection.is_open
            or not connection.scripts_loaded
            or self.identity != connection.identity
        ):
            return False
        oldest_s = max(time.monotonic() - self._settings.check_every_ms / 1000, self._distrusted_at_s)
        return connection.checked_at_s > oldest_s

    async def _keep(self, pooled: PooledConnection) -> None:
        """Make a connection ready whenever it is asked for. The keeper connects, and stays connected, unasked."""
        pause_s = _FIRST_PAUSE_S
        while True:
            await pooled.wanted.wait()
            pooled.wanted.clear()
            if pooled.busy:
                continue
            pooled.busy = True
            try:
                await self._make_ready(pooled)
            except ConnectionLost as lost:
                pooled.connection = None
                self._note_down(lost)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, _LONGEST_PAUSE_S)
                if pooled.keeper or self._queue:
                    pooled.wanted.set()
            else:
                pause_s = _FIRST_PAUSE_S
            finally:
                pooled.busy = False
            self._pump()

    async def _make_ready(self, pooled: PooledConnection) -> None:
        """Raises:
        ConnectionLost: the node does not answer, or not as it should.
        """
        if self._is_ready(pooled):
            return
        if pooled.connection is None or not pooled.connection.is_open:
            pooled.connection = await Connection.dial(self._target, self.address, self._settings, cluster=self._cluster)
            if pooled.keeper:
                pooled.connection.on_closed = pooled.wanted.set
        else:
            await pooled.connection.check()
        if self.identity != pooled.connection.identity:
            await self._switch(pooled.connection)
        self._agree_on_time(pooled.connection)
        self._note_answer()

    def _agree_on_time(self, checked: Connection) -> None:
        """All connections to the node tell the time as the best of the last few looks at its clock had it.

        Else what is written over one and read over another, or after a slower look, had more left to live than it
        was given.
        """
        at_most_ms = checked.offset_ms + checked.round_trip_ms + _DRIFT_MS
        if any(offset_ms > at_most_ms for _, offset_ms in self._looks):  # its clock was set back
            self._looks.clear()
        self._looks.append((checked.identity, checked.offset_ms))
        best_ms = max(offset_ms for identity, offset_ms in self._looks if identity == checked.identity)
        for pooled in self._pool:
            if pooled.connection is not None and pooled.connection.identity == checked.identity:
                pooled.connection.offset_ms = best_ms

    async def _switch(self, connection: Connection) -> None:
        """Take over a node's identity; before, repeat on it what was acknowledged lately [repeat-on-switch].

        Names that a cluster keeps elsewhere are refused there with MOVED, which is as it should be.
        """
        async with self._switching:
            if self.identity == connection.identity:
                return
            if self.identity is not None:
                self.distrust()
            jobs = self._recent_writes.recent()
            step = self._settings.batch_items
            for at in range(0, len(jobs), step):
                batch = Batch(wide=not self._cluster)
                for job in jobs[at : at + step]:
                    batch.add_job(job._replace(replicas=0))
                timeout_ms = self._settings.reply_timeout_ms
                commands = batch.pack(connection.identity, connection.redis_now_ms() + timeout_ms, timeout_ms // 2)
                replies = await connection.exchange(commands, timeout_ms=timeout_ms)
                refused = (isinstance(one, ResponseError) and not isinstance(one, AskError) for one in replies)
                if any(refused) or LATE in replies:
                    connection.close()
                    raise ConnectionLost(f"{self.address}: refused to repeat what was acknowledged", sent=True)
            self.identity, self._fencing_token = connection.identity, None

    def _carry(self, pooled: PooledConnection) -> None:
        """Send the first batch that may be sent over a connection that is ready."""
        connection, batch = pooled.connection, self._next()
        if connection is None or batch is None:
            return
        self._take(batch)
        reply_timeout_ms = self._settings.reply_timeout_ms
        commands = batch.pack(connection.identity, connection.redis_now_ms() + reply_timeout_ms, reply_timeout_ms // 2)
        if not commands:
            batch.settle([], connection.identity, connection.redis_now_ms())
            return
        pooled.busy = True
        self._confirming = self._confirming or batch.confirmed
        connection.send(commands, partial(self._carried, pooled, connection, batch), timeout_ms=reply_timeout_ms)

    def _carried(
        self, pooled: PooledConnection, connection: Connection, batch: Batch, outcome: list[Reply] | ConnectionLost
    ) -> None:
        """Settle a batch with what came back."""
        pooled.busy = False
        self._confirming = self._confirming and not batch.confirmed
        if isinstance(outcome, ConnectionLost):
            batch.fail(Failure(str(outcome), sent=outcome.sent))
            self.distrust()
            self._on_trouble()
        else:
            try:
                batch.settle(outcome, connection.identity, connection.redis_now_ms())
                self.learn(connection.identity, batch.fencing_token)
            except TypeError:
                batch.fail(Failure(f"{self.address}: unexpected reply", sent=True))
                connection.close()
            else:
                self._note_answer()
        if batch.redirected or batch.late:
            self.distrust()
        if batch.scripts_missing:
            connection.scripts_loaded = False
        if batch.readonly:
            self._on_trouble()
        if self._queue and not self.crowd.is_scheduled:
            self._pump()

    def _note_answer(self) -> None:
        self.answered_at_s = time.monotonic()
        self._down_since_s = None

    def _note_down(self, lost: ConnectionLost) -> None:
        self._down = Failure(str(lost), sent=False, final=lost.refused)
        if self._down_since_s is None:
            self._down_since_s = time.monotonic()
        if lost.refused:
            self._fail_queue(self._down)
        self._on_trouble()
