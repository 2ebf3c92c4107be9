"""The client suite for the blocking client: the same, but for what a plain loader in its caller's thread cannot do."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coherd import LoadTimeout
from coherd.domains import content
from suites.client_suite import ClientSuite, own


class BlockingClientSuite(ClientSuite):
    """Give a fixture ``cache``, a `rig.awaited.Awaited` over a blocking client."""

    async def test_loads_past_their_time_are_given_up(self, cache: Any) -> None:
        key, ended = content.Topics(user=own()), asyncio.Event()

        async def hang(_: object) -> None:
            await ended.wait()

        stuck = asyncio.create_task(cache.get_or_load(key, hang, load_timeout_ms=50))
        await asyncio.sleep(0.3)
        assert not stuck.done()  # its thread is in the loader
        assert await cache.get_or_load(key, lambda _: "there") == "there"  # and others go on
        ended.set()
        with pytest.raises(LoadTimeout):
            await stuck
        assert await cache.get(key) == "there"
