"""One primary: a few connections and the queue of batches between callers and them.

A caller joins the last batch that was not sent yet; a connection takes the first one when it is free. So calls of one
event-loop turn share a round trip, and while all connections are busy calls gather in the next batch, never in
one that was sent [join-before-sending].
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from functools import partial

from coherd_server.core.store import WriteBasis
from coherd_server.redis.batch import Batch, Failure
from coherd_server.redis.batch_queue import BatchQueue, JobPart, ReadPart
from coherd_server.redis.connection import Connection, ConnectionLost
from coherd_server.redis.ending import end
from coherd_server.redis.fencing import later_token
from coherd_server.redis.jobs import Job
from coherd_server.redis.node_clock import NodeClock
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_py import Address, Reply
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings

_FIRST_PAUSE_S = 0.02
_LONGEST_PAUSE_S = 0.5


class PooledConnection:
    """Where a node keeps one connection; it outlives the connection in it."""

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
        self._queue = BatchQueue(settings, cluster=cluster, why_unsent=self._why_unsent)
        self._loop = asyncio.get_running_loop()
        self._is_scheduled = False
        """What is queued is sent when this turn of the loop is over: calls of one turn share a batch."""
        self._confirming = False
        """Some connection waits for replicas."""
        self._distrusted_at_s = 0.0
        self._down_since_s: float | None = None
        self._down = Failure(f"{address}: not connected yet", sent=False)
        self._closed = False
        self.answered_at_s = float("-inf")
        """`time.monotonic` of the last complete batch or check; written by all connections."""
        self.identity: bytes | None = None
        """As last read on any of its connections."""
        self._fencing_token: bytes | None = None
        """The latest state of the fences that the node of this identity has told of."""
        self._clock = NodeClock()
        self._pool = [PooledConnection(keeper=i == 0) for i in range(settings.connections)]
        self._tasks = [asyncio.create_task(self._keep(pooled)) for pooled in self._pool]
        self._tasks.append(asyncio.create_task(self._tick()))

    # What callers use.

    def submit(
        self, names: Sequence[str], jobs: Sequence[Job], *, asking: bool = False
    ) -> tuple[list[ReadPart], list[JobPart]]:
        """Read names and do jobs: in which batches, as `BatchQueue.add` says."""
        parts = self._queue.add(names, jobs, asking=asking)
        if self._closed:
            self._queue.fail(Failure(f"{self.address}: no longer used", sent=False))
        elif (
            self._down_since_s is not None and time.monotonic() - self._down_since_s > self._settings.deadline_ms / 1000
        ):  # callers need not wait for what the keeper will find out
            self._queue.fail(self._down._replace(final=True))
        elif not self._is_scheduled:
            self._is_scheduled = True
            self._loop.call_soon(self._pump)
        return parts

    @property
    def last_used_at_s(self) -> float:
        """`time.monotonic` of when somebody last wanted something of it."""
        return self._queue.last_used_at_s

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
        if identity == self.identity:
            self._fencing_token = later_token(fencing_token, self._fencing_token)

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
        self._queue.fail(Failure(f"{self.address}: no longer used", sent=False))

    @property
    def trouble(self) -> str:
        """Why nothing is answered, for error texts."""
        return self._down.text if self._down_since_s is not None else f"{self.address}: no answer lately"

    @property
    def is_refused(self) -> bool:
        """The node refuses this server (password, mode): waiting does not help."""
        return self._down_since_s is not None and self._down.final

    def _why_unsent(self) -> str:
        return self._down.text if self._down_since_s is not None else f"{self.address}: all connections busy"

    # The connections.

    async def _tick(self) -> None:
        """Once in `check_every_ms` idle connections look at their node, too."""
        while True:
            await asyncio.sleep(self._settings.check_every_ms / 1000)
            for pooled in self._pool:
                if not pooled.busy and (pooled.keeper or pooled.connection is not None):
                    pooled.wanted.set()

    def _pump(self) -> None:
        """Give queued batches to connections that are free; let one more get ready if none is."""
        self._is_scheduled = False
        # A batch that waits for replicas leaves the other connections to the rest.
        confirmed = not self._confirming or len(self._pool) == 1
        for pooled in self._pool:
            if not self._queue.waiting:
                return
            connection = pooled.connection
            if not pooled.busy and connection is not None and self._is_ready(connection):
                batch = self._queue.take(confirmed=confirmed)
                if batch is None:
                    return
                self._carry(pooled, connection, batch)
                confirmed = not self._confirming or len(self._pool) == 1
        if self._queue.has(confirmed=confirmed):
            for pooled in self._pool:
                if not pooled.busy:
                    pooled.wanted.set()
                    return

    def _is_ready(self, connection: Connection) -> bool:
        """Whether its role, identity and clock were read within the last `check_every_ms`."""
        if not connection.is_open or not connection.scripts_loaded or connection.identity != self.identity:
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
                if pooled.keeper or self._queue.waiting:
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
        if pooled.connection is not None and self._is_ready(pooled.connection):
            return
        if pooled.connection is None or not pooled.connection.is_open:
            pooled.connection = await Connection.dial(self._target, self.address, self._settings, cluster=self._cluster)
            if pooled.keeper:
                pooled.connection.on_closed = pooled.wanted.set
        else:
            await pooled.connection.check()
        if self.identity != pooled.connection.identity:
            await self._switch(pooled.connection)
        open_ones = [other.connection for other in self._pool if other.connection is not None]
        self._clock.agree(pooled.connection, open_ones)
        self._note_answer()

    async def _switch(self, connection: Connection) -> None:
        """Take over a node's identity; before, repeat on it what was acknowledged lately [repeat-on-switch]."""
        async with self._switching:
            if self.identity == connection.identity:
                return
            if self.identity is not None:
                self.distrust()
            await self._recent_writes.repeat_on(connection, self._settings, cluster=self._cluster)
            self.identity, self._fencing_token = connection.identity, None

    def _carry(self, pooled: PooledConnection, connection: Connection, batch: Batch) -> None:
        """Send a batch over a connection that is ready."""
        reply_timeout_ms, now_ms = self._settings.reply_timeout_ms, connection.redis_now_ms()
        commands = batch.pack(connection.identity, now_ms + reply_timeout_ms, reply_timeout_ms // 2)
        if not commands:
            batch.settle([], connection.identity, now_ms)
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
                if batch.fencing_token:
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
        if self._queue.waiting and not self._is_scheduled:
            self._pump()

    def _note_answer(self) -> None:
        self.answered_at_s = time.monotonic()
        self._down_since_s = None

    def _note_down(self, lost: ConnectionLost) -> None:
        self._down = Failure(str(lost), sent=False, final=lost.refused)
        if self._down_since_s is None:
            self._down_since_s = time.monotonic()
        if lost.refused:
            self._queue.fail(self._down)
        self._on_trouble()
