"""A client that is used in several event loops has a near cache in each, and sees its own changes in all."""

from __future__ import annotations

import asyncio
import threading
import uuid
from collections.abc import Iterator

import pytest

from coherd import CacheClient
from coherd.domains import analytics
from coherd.selectors import Tag
from rig.server import CoherdServer

TIMEOUT_S = 30.0


@pytest.fixture
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Runs in another thread. It is stopped and not closed: gRPC may still call it."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(TIMEOUT_S)


async def test_own_changes_are_seen_in_other_loops(server: CoherdServer, other_loop: asyncio.AbstractEventLoop) -> None:
    """Found by reading, 2026-11-25: the other loop's near cache served the old value until it had taken the push."""
    key = analytics.Daily(user=uuid.uuid4().hex, date="20250101")
    client = CacheClient.connect(server.target, timeout_ms=10_000)

    async def hold() -> None:
        for _ in range(1_000):
            await client.get(key)
            if client._transport.lookup_near(key) is not None:
                return
            await asyncio.sleep(0.01)
        raise AssertionError("it is never kept near")

    async def get_after(changed: threading.Event) -> object:
        changed.wait(TIMEOUT_S)  # its loop stands still: it takes no push meanwhile
        return await client.get(key)

    changes = {
        "set": lambda: client.set(key, "new"),
        "delete": lambda: client.delete(key),
        "invalidate": lambda: client.invalidate(Tag("user", key.user, "analytics")),
    }
    seen: dict[str, object] = {}
    for name, change in changes.items():
        await client.set(key, "old")
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(hold(), other_loop))
        changed = threading.Event()
        reading = asyncio.run_coroutine_threadsafe(get_after(changed), other_loop)
        await change()
        changed.set()
        seen[name] = await asyncio.wrap_future(reading)
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(client.close(), other_loop))
    await client.close()
    assert seen == {"set": "new", "delete": None, "invalidate": None}
