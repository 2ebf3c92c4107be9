"""The limit of a whole `get_or_load`: whatever it waits for, its caller waits no longer, and the load goes on."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from fake_server import PATIENT_MS, FakeServer, Fault

import coherd.sync
from coherd import BatchError, CacheClient, LoadPolicy, LoadTimeout, OpenKey
from coherd.testing import FakeCache
from rig.waiting import until

KEY, OTHER = OpenKey("celery", "own", {"id": "1"}), OpenKey("celery", "own", {"id": "2"})
SHORT_MS = 150


@pytest.fixture
def gate() -> asyncio.Event:
    """Loads wait for it."""
    return asyncio.Event()


async def test_a_load_that_takes_longer_goes_on_and_is_stored(
    fake: FakeServer, cache: CacheClient, gate: asyncio.Event
) -> None:
    async def load(_: Any) -> int:
        await gate.wait()
        return 3

    with pytest.raises(LoadTimeout):
        await cache.get_or_load(KEY, load, total_timeout_ms=SHORT_MS)
    gate.set()
    await until("it is stored", lambda: fake.fills)
    assert await cache.get(KEY) == 3


async def test_somebody_elses_load_is_not_waited_for_longer(fake: FakeServer, cache: CacheClient) -> None:
    fake.grant(KEY, b"x" * 16)
    with pytest.raises(LoadTimeout):
        await cache.get_or_load(KEY, lambda _: 1, total_timeout_ms=SHORT_MS)
    with pytest.raises(BatchError) as caught:
        await cache.get_or_load_many([KEY], lambda keys: dict.fromkeys(keys, 1), total_timeout_ms=SHORT_MS)
    assert isinstance(caught.value.errors[KEY], LoadTimeout)


async def test_a_service_that_does_not_answer_is_not_waited_for_longer(fake: FakeServer, cache: CacheClient) -> None:
    fake.fail("Lease", Fault(gate=asyncio.Event()))
    fake.fail("BatchLease", Fault(gate=asyncio.Event()))
    with pytest.raises(LoadTimeout):
        await cache.get_or_load(KEY, lambda _: 1, total_timeout_ms=SHORT_MS, on_unavailable="raise")
    with pytest.raises(coherd.CacheError):
        await cache.get_or_load_many(
            [KEY], lambda keys: dict.fromkeys(keys, 1), total_timeout_ms=SHORT_MS, on_unavailable="raise"
        )


async def test_the_stale_value_is_returned_if_there_is_one(
    fake: FakeServer, cache: CacheClient, gate: asyncio.Event
) -> None:
    async def load(_: Any) -> int:
        await gate.wait()
        return 3

    fake.put(KEY, KEY.codec.encode(2), fresh_s=-1.0)
    assert await cache.get_or_load(KEY, load, stale="wait", total_timeout_ms=SHORT_MS) == 2
    with pytest.raises(LoadTimeout):
        await cache.get_or_load(KEY, load, stale="wait", total_timeout_ms=SHORT_MS, on_load_error="raise")
    gate.set()


async def test_it_is_the_clients_too_and_that_of_cached_functions(fake: FakeServer, gate: asyncio.Event) -> None:
    loading = LoadPolicy(total_timeout_ms=SHORT_MS)
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS, loading=loading) as cache:

        @cache.cached(lambda: KEY)
        async def load() -> int:
            await gate.wait()
            return 3

        with pytest.raises(LoadTimeout):
            await load()

        async def load_all(keys: list[Any]) -> dict[Any, int]:
            await gate.wait()
            return dict.fromkeys(keys, 1)

        with pytest.raises(LoadTimeout):
            await cache.get_or_load_many([OTHER], load_all)
        gate.set()
        await until("they are stored", lambda: fake.calls["Fill"] == 2)


def test_a_blocking_caller_leaves_too() -> None:
    """Its loader runs in a thread of its own."""
    gate, ended = threading.Event(), threading.Event()

    def load(_: Any) -> int:
        gate.wait()
        ended.set()
        return 1

    with coherd.sync.CacheClient(FakeCache().transport) as cache:
        with pytest.raises(LoadTimeout):
            cache.get_or_load(KEY, load, total_timeout_ms=SHORT_MS)
        assert not ended.is_set()
        gate.set()
        ended.wait()


async def test_the_fake_cache_has_it(gate: asyncio.Event) -> None:
    async def load(_: Any) -> int:
        await gate.wait()
        return 3

    async with FakeCache() as cache:
        with pytest.raises(LoadTimeout):
            await cache.get_or_load(KEY, load, total_timeout_ms=SHORT_MS)
        gate.set()


@pytest.mark.parametrize("total_timeout_ms", [0, -1, 2**31, 1.5, True])
def test_a_limit_out_of_range_is_refused(total_timeout_ms: Any) -> None:
    with pytest.raises(ValueError, match="total_timeout_ms"):
        LoadPolicy(total_timeout_ms=total_timeout_ms)
