"""The client suite before a fake: the same behaviour as before a real server."""

from __future__ import annotations

import pytest

from coherd.testing import FakeCache, FakeClock
from suites.client_suite import ClientSuite


class TestFakeClient(ClientSuite):
    """Each test with a fake of its own, whose clock runs: the suite lets real time pass."""

    @pytest.fixture
    def cache(self) -> FakeCache:
        return FakeCache(clock=FakeClock(runs=True), timeout_ms=5_000)
