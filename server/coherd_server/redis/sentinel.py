"""The primary behind Sentinel: discovered, and re-discovered on loss, READONLY, change of role, and every second."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import cast

from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import NoBackoff
from redis.exceptions import AskError

from coherd_server.redis.journal import Journal
from coherd_server.redis.link import Link
from coherd_server.redis.redis_url import RedisTarget
from coherd_server.redis.settings import StoreSettings
from coherd_server.redis.topology import Watch
from coherd_server.redis.wire import CONNECTION_ERRORS, Address


class SentinelTopology:
    """One primary at a time, at the address the sentinels name."""

    wide = True

    def __init__(self, target: RedisTarget, settings: StoreSettings, journal: Journal) -> None:
        self._journal = journal
        self._target = target
        self._settings = settings
        self._link: Link | None = None
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

    def link_for(self, name: str) -> Link | None:
        return self._link

    def links(self) -> Sequence[Link]:
        return () if self._link is None else (self._link,)

    def redirect(self, error: AskError, source: Link) -> Link | None:
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
            found = await self._sentinel.discover_master(cast(str, self._target.service))
            address = Address(str(found[0]), int(found[1]))
        except CONNECTION_ERRORS:
            return
        if self._link is not None and self._link.address == address:
            return
        old, self._link = (
            self._link,
            Link(self._target, address, self._settings, self._journal, cluster=False, on_trouble=self.refresh),
        )
        if old is not None:
            task = asyncio.create_task(old.close())
            self._retired.add(task)
            task.add_done_callback(self._retired.discard)

    async def close(self) -> None:
        await self._watch.close()
        for client in self._sentinel.sentinels:
            await client.aclose()
        if self._link is not None:
            await self._link.close()
        await asyncio.gather(*self._retired)
