"""Which primary holds a name: a single server, Sentinel (`sentinel.py`) or a cluster (`cluster.py`)."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Protocol

from redis.exceptions import AskError

from coherd_server.redis.end_task import end
from coherd_server.redis.node import Node
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_py import Address
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings


class Topology(Protocol):
    """Finds primaries and keeps finding them; a `Node` belongs to the topology that gave it."""

    @property
    def one_primary(self) -> bool:
        """All names are on one primary at a time."""
        ...

    @property
    def only_node(self) -> Node | None:
        """That primary; None while it is not known, and where there are several."""
        ...

    def node_for(self, name: str) -> Node | None:
        """The primary that holds a full key name; None while none is known."""
        ...

    def nodes(self) -> Sequence[Node]:
        """All primaries known."""
        ...

    def redirect(self, error: AskError, source: Node) -> Node | None:
        """Take note of a MOVED or ASK reply of ``source``; for ASK the node to send the command to, once."""
        ...

    def refresh(self) -> None:
        """Look again soon. Cheap to call often: one look is under way at most."""
        ...

    async def start(self) -> None:
        """Find the primaries for the first time; returns also when that failed (`node_for` then gives None)."""
        ...

    def importing(self, name: str, source: Node, identity: bytes) -> Node | None:
        """The node of this identity, if the slot of the name is on its way there from ``source``, which holds it."""
        ...

    def trouble(self) -> str:
        """Why there is no node for a name, for error texts."""
        ...

    @property
    def cause(self) -> str:
        """The same without addresses."""
        ...

    async def close(self) -> None:
        """Close all nodes. Idempotent."""
        ...


class SingleTopology:
    """One server at one address, for ever."""

    one_primary = True

    def __init__(self, target: RedisTarget, settings: StoreSettings, recent_writes: RecentWrites) -> None:
        host, port = target.addresses[0] if target.addresses else ("", 0)
        address = Address(host, port, target.path)
        self.only_node = Node(target, address, settings, recent_writes, cluster=False, on_trouble=self.refresh)

    def node_for(self, name: str) -> Node | None:
        return self.only_node

    def nodes(self) -> Sequence[Node]:
        return (self.only_node,)

    def redirect(self, error: AskError, source: Node) -> Node | None:
        return None

    def importing(self, name: str, source: Node, identity: bytes) -> Node | None:
        return None

    def refresh(self) -> None:
        """Nothing to look for."""

    async def start(self) -> None:
        """Nothing to find."""

    def trouble(self) -> str:
        return self.only_node.trouble

    @property
    def cause(self) -> str:
        return self.only_node.cause

    async def close(self) -> None:
        await self.only_node.close()


class Watch:
    """Runs a look at the topology every `check_every_ms`, and at once when asked to; one at a time."""

    def __init__(self, every_ms: int) -> None:
        self._every_s = every_ms / 1000
        self._wanted = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def ask(self) -> None:
        """Look as soon as the look under way, if any, has ended."""
        self._wanted.set()

    def start(self, looker: Looker) -> None:
        self._task = asyncio.create_task(self._run(looker))

    async def _run(self, looker: Looker) -> None:
        while True:
            try:
                async with asyncio.timeout(self._every_s):
                    await self._wanted.wait()
                await asyncio.sleep(0.02)  # many connections report one loss
            except TimeoutError:
                pass
            self._wanted.clear()
            await looker.look()

    async def close(self) -> None:
        if self._task is not None:
            await end(self._task)


class Looker(Protocol):
    """A topology that is found by asking."""

    async def look(self) -> None:
        """Ask once, bounded in time; raises nothing but cancellation."""
        ...
