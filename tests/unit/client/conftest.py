"""A fake server of the test's own, and a client of it."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator
from typing import Any

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


@pytest.fixture
async def no_task_is_left() -> AsyncIterator[None]:
    """Nothing of a closed client runs on, and no error was left unseen."""
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    before = asyncio.all_tasks()
    yield
    await asyncio.sleep(0)
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks() - before]
    left = [one for one in coroutines if "/client/coherd/" in one.cr_code.co_filename]
    assert not left
    gc.collect()
    await asyncio.sleep(0)
    assert not unseen
