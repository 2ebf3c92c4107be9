"""The client suite over unary calls, before a real server on every kind of store."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from coherd import CacheClient
from rig.server import CoherdServer
from suites.client_suite import ClientSuite


class TestUnaryClient(ClientSuite):
    """Each test with a client of its own."""

    @pytest.fixture
    async def cache(self, any_server: CoherdServer) -> AsyncIterator[CacheClient]:
        async with CacheClient.connect(any_server.target, timeout_ms=5_000) as client:
            yield client
