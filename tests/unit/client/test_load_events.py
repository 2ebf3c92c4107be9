"""What happens to loads is counted and told; values that cannot be stored cost their callers nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_server import FakeServer, Fault
from loaders import AWAY, KEY, Loader, serve_stale

from coherd import CacheClient, ErrorReason, InvalidRequest, LoadEvent
from coherd.domains import content
from rig.waiting import until

pytestmark = pytest.mark.usefixtures("no_task_is_left")

TOO_LARGE = ErrorReason.ERROR_REASON_VALUE_TOO_LARGE
RESOURCE = "content:topics"


@pytest.fixture
def events() -> list[LoadEvent]:
    return []


@pytest.fixture
async def cache(fake: FakeServer, events: list[LoadEvent]) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(fake.target, timeout_ms=60_000, on_event=events.append) as client:
        yield client


async def test_a_value_that_is_too_large_is_returned_counted_and_told_once(
    cache: CacheClient, fake: FakeServer, events: list[LoadEvent], caplog: pytest.LogCaptureFixture
) -> None:
    large = "x" * (2 << 20)
    keys = [content.Topics(user=f"u{number}") for number in range(2, 4)]
    assert await cache.get_or_load(KEY, Loader(large)) == large
    assert await cache.get_or_load(KEY, Loader(large)) == large
    assert await cache.get_or_load_many(keys, lambda some: dict.fromkeys(some, large)) == dict.fromkeys(keys, large)
    assert events == [LoadEvent("uncached", RESOURCE, "InvalidRequest")] * 4
    assert cache.load_counts == {RESOURCE: {"uncached": 4}}
    assert [RESOURCE in record.message for record in caplog.records] == [True]
    assert not fake.leased


async def test_a_value_that_cannot_be_stored_behind_a_stale_one_holds_the_pause(
    cache: CacheClient, fake: FakeServer
) -> None:
    serve_stale(fake)
    loader = Loader("x" * (2 << 20))
    assert await cache.get_or_load(KEY, loader, error_pause_ms=60_000) == "old"
    await until("it was refused", lambda: cache.load_counts[RESOURCE].get("uncached") == 1)
    await until("it is released", lambda: any(fill.abandon for fill in fake.fills))
    for _ in range(3):
        assert await cache.get_or_load(KEY, loader, error_pause_ms=60_000) == "old"
    assert loader.calls == 1
    fake.pass_s(61)
    assert await cache.get_or_load(KEY, loader) == "old"
    await until("it loads again", lambda: loader.calls == 2)


async def test_failures_refreshes_and_loads_without_the_service_are_told(
    cache: CacheClient, fake: FakeServer, events: list[LoadEvent]
) -> None:
    with pytest.raises(KeyError):
        await cache.get_or_load(KEY, Loader(KeyError()))
    fake.fail("Lease", *[Fault(reason=AWAY)] * 9)
    assert await cache.get_or_load(KEY, Loader(1)) == 1
    fake._faults.waiting.clear()
    serve_stale(fake)
    assert await cache.get_or_load(KEY, Loader(2)) == "old"
    await until("it is refreshed", lambda: fake.calls["Fill"] > 1)
    assert events == [
        LoadEvent("load_failed", RESOURCE, "KeyError"),
        LoadEvent("without_service", RESOURCE, ""),
        LoadEvent("background_refresh", RESOURCE, ""),
    ]


async def test_a_hook_that_fails_harms_no_load(fake: FakeServer, caplog: pytest.LogCaptureFixture) -> None:
    def hook(_: LoadEvent) -> None:
        raise RuntimeError

    async with CacheClient.connect(fake.target, timeout_ms=60_000, on_event=hook) as cache:
        with pytest.raises(KeyError):
            await asyncio.gather(cache.get_or_load(KEY, Loader(KeyError())))
    assert [record.message for record in caplog.records] == ["on_event failed: RuntimeError"]


async def test_a_client_ahead_of_its_server_loads_and_is_told_so_once(
    cache: CacheClient, fake: FakeServer, events: list[LoadEvent], caplog: pytest.LogCaptureFixture
) -> None:
    unknown = ErrorReason.ERROR_REASON_RESOURCE_UNKNOWN
    fake.fail("Lease", *[Fault(reason=unknown)] * 3)
    loader = Loader(1)
    assert [await cache.get_or_load(KEY, loader) for _ in range(2)] == [1, 1]
    assert loader.calls == 2
    with pytest.raises(InvalidRequest) as refused:
        await cache.get_or_load(KEY, loader, on_unavailable="raise")
    assert refused.value.reason == unknown
    keys = [content.Topics(user=f"u{number}") for number in range(2, 4)]
    fake.fail("BatchLease", Fault(reason=unknown))
    assert await cache.get_or_load_many(keys, lambda some: dict.fromkeys(some, 3)) == dict.fromkeys(keys, 3)
    assert events == [LoadEvent("ahead_of_server", RESOURCE, "InvalidRequest")] * 3
    assert cache.load_counts == {RESOURCE: {"ahead_of_server": 3}}
    assert ["the server's catalog does not have" in record.message for record in caplog.records] == [True]
