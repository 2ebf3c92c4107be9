"""A fake server of the test's own, and a client of it."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
from fake_server import PATIENT_MS, FakeServer

from coherd import CacheClient
from coherd._rpc import session_link


@pytest.fixture(autouse=True)
def patient_links(monkeypatch: pytest.MonkeyPatch) -> None:
    """No session is given up, and no call sent another way, since the machine is slow."""
    monkeypatch.setattr(session_link, "DIAL_TIMEOUT_S", 60.0)
    monkeypatch.setattr(session_link, "LONGEST_WAIT_S", 60.0)


@pytest.fixture
async def fake() -> AsyncIterator[FakeServer]:
    async with FakeServer() as server:
        yield server


@pytest.fixture
async def cache(fake: FakeServer) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS) as client:
        yield client
