"""A fake server of the test's own, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fake_server import FakeServer

from coherd import CacheClient


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        yield server


@pytest.fixture
async def cache(fake: FakeServer) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(fake.target) as client:
        yield client
