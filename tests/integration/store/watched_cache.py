"""A cache whose coalescer is watched: what went to the store together, and what is held up."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import pytest

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import SetItem
from coherd_server.core.cache import Cache
from coherd_server.core.failure import Failure
from coherd_server.core.get import Lookup
from coherd_server.core.set_plan import SetDone
from rig.fixtures import Opener
from rig.near import cache_over
from rig.process import Node
from rig.proxy import FaultProxy
from rig.waiting import until

TURN_MS = 10_000


def key(number: int) -> ResolvedKey:
    return builtin_catalog().resolve(f"analytics:daily:user:u{number}:date:20250806")


class Watched:
    """A cache, and how many items its reader and writer got at a time."""

    def __init__(self, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
        self.coalescer = cache.coalescer
        self.cache = cache
        self.reads: list[int] = []
        self.writes: list[int] = []
        get, set_ = cache.reads.get, cache.writes.set

        async def noted_get(keys: Sequence[ResolvedKey], **how: Any) -> list[Lookup | Failure]:
            self.reads.append(len(keys))
            return await get(keys, **how)

        async def noted_set(items: Sequence[SetItem], **how: Any) -> list[SetDone | Failure]:
            self.writes.append(len(items))
            return await set_(items, **how)

        monkeypatch.setattr(cache.reads, "get", noted_get)
        monkeypatch.setattr(cache.writes, "set", noted_set)

    async def set(self, number: int, payload: bytes = b"v", **how: Any) -> SetDone | Failure:
        return await self.coalescer.set(SetItem(key(number), payload, **how), turn_ms=TURN_MS)

    async def payload(self, number: int) -> bytes:
        found = await self.coalescer.get(key(number))
        assert isinstance(found, Lookup)
        return found.validity.payload


class HeldUp(NamedTuple):
    """What `held_up` gives."""

    watched: Watched
    proxy: FaultProxy
    first: asyncio.Task[SetDone | Failure]


@asynccontextmanager
async def held_up(node: Node, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[HeldUp]:
    """A set of key 1 is under way and gets no answer while the proxy is half open."""
    async with FaultProxy(node.port) as proxy:
        watched = Watched(cache_over(await opener(proxy.url)), monkeypatch)
        await watched.set(1, b"before")
        proxy.half_open = True
        first = asyncio.create_task(watched.set(1, b"first"))
        await until("it is under way", lambda: len(watched.writes) == 2)
        yield HeldUp(watched, proxy, first)
