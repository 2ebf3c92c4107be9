"""The primary behind Sentinel: discovered, and re-discovered on loss, READONLY, change of role, and every second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AskError

from coherd_server.redis.node import Node
from coherd_server.redis.recent_writes import RecentWrites
from coherd_server.redis.redis_py import CONNECTION_ERRORS, Address
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Watch


class SentinelTopology:
    """One primary at a time, at the address the sentinels name."""

    one_primary = True

    def __init__(self, target: RedisTarget, settings: StoreSettings, recent_writes: RecentWrites) -> None:
        self._recent_writes = recent_writes
        self._target = target
        self._settings = settings
        self.only_node: Node | None = None
        self._retired: set[asyncio.Task[None]] = set()
        self._watch = Watch(settings.check_every_ms)
        timeout_s = settings.connect_timeout_ms / 1000
        options: dict[str, object] = {
            "username": target.sentinel_username,
            "password": target.sentinel_password,
            "socket_timeout": timeout_s,
            "socket_connect_timeout": timeout_s,
            "retry": Retry(NoBackoff(), 0),
            "protocol": 2,
        }
        if target.tls:
            options |= {"ssl": True, **dict(target.tls_options)}
        make = cast(Callable[..., Sentinel], Sentinel)  # its constructor is not annotated
        self._sentinel = make(list(target.addresses), sentinel_kwargs=options)

    def node_for(self, name: str) -> Node | None:
        return self.only_node

    def nodes(self) -> Sequence[Node]:
        return () if self.only_node is None else (self.only_node,)

    def redirect(self, error: AskError, source: Node) -> Node | None:
        return None

    def refresh(self) -> None:
        self._watch.ask()

    async def start(self) -> None:
        await self.look()
        self._watch.start(self)

    def trouble(self) -> str:
        return f"{self._target.describe()}: no sentinel names a primary"

    async def look(self) -> None:
        """Ask the sentinels in turn; keep what is known when none answers."""
        try:
            host, port = await self._sentinel.discover_master(cast(str, self._target.service))
            address = Address(str(host), int(port))
        except CONNECTION_ERRORS:
            return
        if self.only_node is not None and self.only_node.address == address:
            return
        old = self.only_node
        self.only_node = Node(
            self._target, address, self._settings, self._recent_writes, cluster=False, on_trouble=self.refresh
        )
        if old is not None:
            task = asyncio.create_task(old.close())
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    async def close(self) -> None:
        await self._watch.close()
        for client in self._sentinel.sentinels:
            await client.aclose()
        if self.only_node is not None:
            await self.only_node.close()
        await asyncio.gather(*self._retired)
