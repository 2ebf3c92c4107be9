"""The client suite before a real server on every kind of store: over the session, with and without a near cache, and
over unary calls."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from coherd import CacheClient, FailurePolicy
from rig.server import CoherdServer
from suites.client_suite import ClientSuite

PATIENT = FailurePolicy(silence_ms=60_000)
"""A server on a busy machine is silent for long."""


class TestNearClient(ClientSuite):
    """As `connect` makes it by default."""

    @pytest.fixture
    async def cache(self, any_server: CoherdServer) -> AsyncIterator[CacheClient]:
        async with CacheClient.connect(any_server.target, timeout_ms=60_000, failures=PATIENT) as client:
            yield client


class TestSessionClient(ClientSuite):
    """Without a near cache every call reaches the server."""

    @pytest.fixture
    async def cache(self, server: CoherdServer) -> AsyncIterator[CacheClient]:
        async with CacheClient.connect(server.target, near_cache=False, timeout_ms=60_000, failures=PATIENT) as client:
            yield client


class TestUnaryClient(ClientSuite):
    """As in other languages, and where a proxy lets no streams pass."""

    @pytest.fixture
    async def cache(self, any_server: CoherdServer) -> AsyncIterator[CacheClient]:
        async with CacheClient.connect(
            any_server.target, sessions=False, timeout_ms=60_000, failures=PATIENT
        ) as client:
            yield client
