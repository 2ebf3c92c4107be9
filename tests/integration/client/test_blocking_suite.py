"""The client suite over the blocking client: before a real server, and before a fake."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from coherd.sync import CacheClient
from coherd.testing import FakeCache, FakeClock
from rig.awaited import Awaited
from rig.server import CoherdServer
from suites.blocking_suite import BlockingClientSuite


class TestBlockingClient(BlockingClientSuite):
    """Each test with a client of its own."""

    @pytest.fixture
    async def cache(self, server: CoherdServer) -> AsyncIterator[Any]:
        with CacheClient.connect(server.target, timeout_ms=60_000) as client:
            async with Awaited(client) as awaited:
                yield awaited


class TestBlockingClientOfAFake(BlockingClientSuite):
    """Each test with a fake of its own, whose clock runs."""

    @pytest.fixture
    async def cache(self) -> AsyncIterator[Any]:
        with CacheClient(FakeCache(clock=FakeClock(runs=True)).transport, timeout_ms=60_000) as client:
            async with Awaited(client) as awaited:
                yield awaited
