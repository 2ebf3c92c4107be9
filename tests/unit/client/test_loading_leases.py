"""The leases of loads: renewed, lost, released, waited for; and loading without the service."""

from __future__ import annotations

import asyncio
import time

import pytest
from fake_server import FakeServer, Fault
from loaders import FOREIGN, KEY, NOWHERE, UNKNOWN, Loader, held_by_another

from coherd import (
    CacheClient,
    ErrorReason,
    ForeignValue,
    LoadLimits,
    LoadPolicy,
    LoadTimeout,
    Unavailable,
)
from coherd._loading import decide, flight
from coherd._rpc import connection
from coherd.domains import content
from rig.waiting import until

pytestmark = pytest.mark.usefixtures("no_task_is_left")


async def test_long_loads_renew_their_lease(cache: CacheClient, fake: FakeServer) -> None:
    gate = asyncio.Event()
    load = asyncio.create_task(cache.get_or_load(KEY, Loader(gate=gate), lease_ms=200))
    for renewals in range(1, 6):
        await until("it is renewed", lambda: fake.calls["Lease"] > renewals)  # noqa: B023 - it is awaited here
        fake.pass_s(0.15)
    gate.set()
    assert await load == 1
    assert await cache.get(KEY) == 1


async def test_a_load_that_lost_its_lease_answers_its_callers_and_stores_nothing(
    cache: CacheClient, fake: FakeServer
) -> None:
    gate = asyncio.Event()
    loader = Loader(gate=gate)
    caller = asyncio.create_task(cache.get_or_load(KEY, loader, lease_ms=150))
    await until("it loads", lambda: loader.calls == 1)
    await held_by_another(fake, for_s=0.4)
    asked = fake.calls["Lease"]
    await until("it could not renew", lambda: fake.calls["Lease"] > asked and not fake.watch.running)
    for _ in range(2):  # behind the answer, on the same connection: by then the load has heard that its lease is lost
        assert await cache.get(content.Topics(user="other"), default="miss") == "miss"
    gate.set()
    assert await caller == 1
    assert await cache.get(KEY, default="miss") == "miss"
    assert fake.calls["Fill"] == 0
    fake.pass_s(0.4)
    assert await cache.get_or_load(KEY, loader) == 2


async def test_a_fill_that_fails_costs_the_caller_nothing_and_frees_the_key(
    cache: CacheClient, fake: FakeServer
) -> None:
    for fault in (Fault(reason=UNKNOWN), Fault(reason=ErrorReason.ERROR_REASON_STORE_FULL, retry_after_ms=90_000)):
        fake.fail("Fill", fault)
        assert await cache.get_or_load(KEY, Loader("value")) == "value"
        assert not fake.leased
        assert await cache.get(KEY, default="miss") == "miss"


async def test_waiting_for_others_is_held_by_the_server_and_bounded(cache: CacheClient, fake: FakeServer) -> None:
    await held_by_another(fake)
    loader = Loader()
    started_s = time.monotonic()
    with pytest.raises(LoadTimeout):
        await cache.get_or_load(KEY, loader, load_timeout_ms=500, timeout_ms=1_000)
    assert 1.3 < time.monotonic() - started_s < 20.0
    assert loader.calls == 0
    assert fake.calls["Lease"] == 2  # one that looks, one that is held


async def test_waiting_calls_leave_room_for_fills(
    cache: CacheClient, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert decide.MAX_HELD_CALLS <= connection.MAX_WAITS, "a held call must not wait for a place of its own"
    monkeypatch.setattr(flight, "MAX_HELD_CALLS", 50)
    keys = [content.Topics(user=f"w{n}") for n in range(50 + 60)]
    for key in keys:
        await held_by_another(fake, key)
    callers = [asyncio.create_task(cache.get_or_load(key, Loader(), load_timeout_ms=60_000)) for key in keys]
    await until("calls are under way", lambda: fake.watch.running >= 50)
    assert fake.watch.most_running <= len(keys)
    assert await cache.get_or_load(KEY, Loader("through"), timeout_ms=10_000) == "through"
    assert 50 <= fake.watch.running < 100
    for key in keys:
        fake.release(key)
    assert await asyncio.gather(*callers) == [1] * len(keys)


async def test_loads_go_on_without_the_service_a_few_at_a_time() -> None:
    limits = LoadLimits(max_direct_loads=3)
    async with CacheClient.connect(NOWHERE, load_limits=limits, timeout_ms=1_500) as cache:
        loader = Loader("direct", delay_s=0.05)
        keys = [content.Topics(user=f"d{n}") for n in range(12)]
        assert await asyncio.gather(*(cache.get_or_load(key, loader) for key in keys)) == ["direct"] * 12
        assert (loader.calls, loader.most_running) == (12, 3)
        gate = asyncio.Event()
        slow = Loader("slow", gate=gate)
        patient = [asyncio.create_task(cache.get_or_load(key, slow)) for key in keys[:6]]
        await until("it loads", lambda: slow.running == 3)
        late = await asyncio.gather(
            *(cache.get_or_load(key, slow, load_timeout_ms=300) for key in keys[6:]), return_exceptions=True
        )
        assert [type(answer) for answer in late].count(LoadTimeout) == 6
        gate.set()
        assert await asyncio.gather(*patient) == ["slow"] * 6
        assert (slow.calls, slow.most_running) == (6, 3)
        assert await cache.get_or_load_many(keys, lambda some: dict.fromkeys(some, 7)) == dict.fromkeys(keys, 7)
        with pytest.raises(Unavailable):
            await cache.get_or_load(KEY, loader, on_unavailable="raise")
        with pytest.raises(Unavailable):
            await cache.get_or_load_many(keys, dict.fromkeys, on_unavailable="raise")
    policy = LoadPolicy(on_unavailable="raise")
    async with CacheClient.connect(NOWHERE, loading=policy, timeout_ms=1_500) as cache:
        with pytest.raises(Unavailable):
            await cache.get_or_load(KEY, Loader())


async def test_a_service_that_is_late_is_not_waited_for(cache: CacheClient, fake: FakeServer) -> None:
    gate = asyncio.Event()
    fake.fail("Lease", Fault(gate=gate))
    assert await cache.get_or_load(KEY, Loader("direct"), timeout_ms=200) == "direct"
    assert not gate.is_set()
    gate.set()
    await until("it is filled", lambda: fake.calls["Fill"] == 1)  # what may have been granted is released


async def test_foreign_bytes_are_loaded_around(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Lease", Fault(reason=FOREIGN))
    assert await cache.get_or_load(KEY, Loader("mine"), on_unavailable="raise") == "mine"
    assert fake.calls["Fill"] == 0
    fake.fail("Get", Fault(reason=FOREIGN))
    with pytest.raises(ForeignValue):
        await cache.get(KEY)
