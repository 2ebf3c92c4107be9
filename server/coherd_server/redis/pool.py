"""The connections to one primary: made, kept ready, and made anew; what they carry is the node's (`node.py`)."""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from coherd_server.redis.connection import Connection, ConnectionLost
from coherd_server.redis.end_task import end
from coherd_server.redis.node_clock import NodeClock
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_py import Address
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings

FIRST_PAUSE_S: Final = 0.02
LONGEST_PAUSE_S: Final = 0.5
TICKS: Final = 4
"""How often within `check_every_ms` it is looked whether a connection is to be checked again."""


class PooledConnection:
    """Where a pool keeps one connection; it outlives the connection in it."""

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


class Traffic(Protocol):
    """What goes over the connections of a pool."""

    @property
    def is_waiting(self) -> bool:
        """Whether something waits to be sent."""
        ...

    def pump(self) -> None:
        """Send what waits over connections that are free."""
        ...

    def note_answer(self) -> None:
        """The node has just answered, and as it should."""
        ...

    def note_down(self, lost: ConnectionLost) -> None:
        """A connection was lost, or could not be made."""
        ...


class Pool:
    """The connections of one node.

    Args:
        target: how the node is reached and logged in to.
        address: of the node.
        settings: bounds and times.
        recent_writes: repeated on a node with another identity before anything else goes there.
        traffic: what they carry; told of what becomes of them.
        cluster: the node is one of a cluster.
    """

    def __init__(
        self,
        target: RedisTarget,
        address: Address,
        settings: StoreSettings,
        recent_writes: RecentWrites,
        traffic: Traffic,
        *,
        cluster: bool,
    ) -> None:
        self.identity: bytes | None = None
        """As last read on any of the connections."""
        self.fencing_token: bytes | None = None
        """The latest state of the fences that the node of this identity has told of."""
        self.distrusted_at_s = 0.0
        """`time.monotonic` of when the checks of before were found to be too old."""
        self._target = target
        self._address = address
        self._settings = settings
        self._recent_writes = recent_writes
        self._traffic = traffic
        self._cluster = cluster
        self._switching = asyncio.Lock()
        self._clock = NodeClock()
        self.connections = [PooledConnection(keeper=i == 0) for i in range(settings.connections)]
        self._tasks = [asyncio.create_task(self._keep(pooled)) for pooled in self.connections]
        self._tasks.append(asyncio.create_task(self._tick()))

    def distrust(self) -> None:
        """Every connection reads role and identity again before it carries another batch."""
        self.distrusted_at_s = time.monotonic()

    async def close(self) -> None:
        """Close all connections; what is under way is lost. Idempotent."""
        await asyncio.gather(*map(end, self._tasks))
        for pooled in self.connections:
            if pooled.connection is not None:
                pooled.connection.close()

    async def _tick(self) -> None:
        """Once in `check_every_ms` idle connections look at their node, too; at most a part of that later, since a
        node is silent soon after (`coherd_server.redis.node.SILENT_CHECKS`)."""
        while True:
            await asyncio.sleep(self._settings.check_every_ms / 1000 / TICKS)
            for pooled in self.connections:
                if not pooled.busy and (pooled.keeper or pooled.connection is not None):
                    pooled.wanted.set()

    async def _keep(self, pooled: PooledConnection) -> None:
        """Make a connection ready whenever it is asked for. The keeper connects, and stays connected, unasked."""
        pause_s = FIRST_PAUSE_S
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
                self._traffic.note_down(lost)
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
                if pooled.keeper or self._traffic.is_waiting:
                    pooled.wanted.set()
            else:
                pause_s = FIRST_PAUSE_S
            finally:
                pooled.busy = False
            self._traffic.pump()

    async def _make_ready(self, pooled: PooledConnection) -> None:
        """Raises:
        ConnectionLost: the node does not answer, or not as it should.
        """
        if pooled.connection is not None and pooled.connection.is_ready(self.identity, self.distrusted_at_s):
            return
        if pooled.connection is None or not pooled.connection.is_open:
            pooled.connection = await Connection.dial(
                self._target, self._address, self._settings, cluster=self._cluster
            )
            if pooled.keeper:
                pooled.connection.on_closed = pooled.wanted.set
        else:
            await pooled.connection.check()
        if self.identity != pooled.connection.identity:
            await self._switch(pooled.connection)
        open_ones = [other.connection for other in self.connections if other.connection is not None]
        self._clock.agree(pooled.connection, open_ones)
        self._traffic.note_answer()

    async def _switch(self, connection: Connection) -> None:
        """Take over a node's identity; before, repeat on it what was acknowledged lately [repeat-on-switch]."""
        async with self._switching:
            if self.identity == connection.identity:
                return
            if self.identity is not None:
                self.distrust()
            await self._recent_writes.repeat_on(connection, self._settings, cluster=self._cluster)
            self.identity, self.fencing_token = connection.identity, None
