"""Whatever ends a call gives its leases back, as soon as the service can be reached."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest
from fake_server import PATIENT_MS, FakeServer, Fault
from loaders import AWAY, KEY, UNKNOWN, Loader

from coherd import CacheClient, ClientClosed, FailurePolicy, InvalidRequest
from coherd._loading import load, releases
from coherd.domains import content
from rig.waiting import until

pytestmark = pytest.mark.usefixtures("no_task_is_left")

KEYS = [content.Topics(user=f"u{number}") for number in range(3)]
MANY = [content.Topics(user=f"u{number}") for number in range(1_001)]
"""Asked for in two calls."""


async def test_a_cancelled_call_for_many_gives_its_leases_back(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("BatchLease", Fault(gate=asyncio.Event(), after=True))
    caller = asyncio.create_task(cache.get_or_load_many(KEYS, Loader({})))
    await until("they are leased", lambda: len(fake.leased) == 3)
    caller.cancel()
    await asyncio.wait([caller])
    await until("they are released", lambda: not fake.leased)


async def test_a_call_for_many_that_is_cancelled_between_leases_and_load_gives_them_back(
    cache: CacheClient, fake: FakeServer
) -> None:
    gate = asyncio.Event()
    gate.set()
    fake.fail("BatchLease", Fault(gate=gate), Fault(gate=asyncio.Event()))
    loader = Loader({})
    caller = asyncio.create_task(cache.get_or_load_many(MANY, loader))
    await until("the first are leased", lambda: len(fake.leased) in (1, 1_000))
    caller.cancel()
    await asyncio.wait([caller])
    await until("they are released", lambda: not fake.leased)
    assert loader.calls == 0


async def test_a_call_for_many_that_fails_in_a_part_gives_the_others_leases_back(
    cache: CacheClient, fake: FakeServer
) -> None:
    fake.fail("BatchLease", Fault(reason=5))
    with pytest.raises(InvalidRequest):
        await cache.get_or_load_many(MANY, Loader({}))
    await until("they are released", lambda: not fake.leased and fake.calls["Fill"] + fake.calls["BatchFill"] > 0)


async def test_a_client_that_is_closed_gives_back_what_calls_for_many_hold(fake: FakeServer) -> None:
    cache = CacheClient.connect(fake.target, timeout_ms=60_000)
    fake.fail("BatchLease", Fault(gate=asyncio.Event(), after=True))
    loader = Loader(gate=asyncio.Event())
    caller = asyncio.create_task(cache.get_or_load_many(KEYS, loader))
    await until("they are leased", lambda: len(fake.leased) == 3)
    other = asyncio.create_task(cache.get_or_load_many([content.Topics(user="other")], loader))
    await until("it loads", lambda: loader.calls == 1)
    await cache.close()
    assert not fake.leased
    answers = await asyncio.gather(caller, other, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ClientClosed] * 2


async def test_what_cannot_be_given_back_now_is_given_back_later(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Fill", *[Fault(reason=AWAY)] * 9)
    with pytest.raises(KeyError):
        await cache.get_or_load(KEY, Loader(KeyError()))
    await until("it is released", lambda: not fake.leased)

    fake.fail("Fill", Fault(reason=UNKNOWN), *[Fault(reason=AWAY)] * 9)
    assert await cache.get_or_load(KEY, Loader(1)) == 1
    await until("it is released", lambda: not fake.leased)

    fake.fail("BatchFill", Fault(reason=UNKNOWN), *[Fault(reason=AWAY)] * 9)
    assert await cache.get_or_load_many(KEYS, lambda keys: dict.fromkeys(keys, 1)) == dict.fromkeys(KEYS, 1)
    await until("they are released", lambda: not fake.leased)


async def test_the_end_of_a_client_waits_for_the_service_but_not_for_long(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load, "RELEASE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(releases, "CLOSE_TIMEOUT_S", 30.0)
    for is_back in (True, False):
        cache = CacheClient.connect(fake.target, timeout_ms=60_000)
        loader = Loader(gate=asyncio.Event())
        caller = asyncio.create_task(cache.get_or_load(KEY, loader))
        await until("it loads", lambda: loader.calls == 1)  # noqa: B023 - it is awaited here
        if is_back:
            fake.fail("Fill", *[Fault(reason=AWAY)] * 6)
        else:
            monkeypatch.setattr(releases, "CLOSE_TIMEOUT_S", 0.05)
            fake.fail("Fill", *[Fault(gate=asyncio.Event())] * 9)
        async with asyncio.timeout(60):
            await cache.close()
        assert bool(fake.leased) is not is_back
        assert isinstance((await asyncio.gather(caller, return_exceptions=True))[0], ClientClosed)


@pytest.fixture
async def unbroken(fake: FakeServer) -> AsyncIterator[CacheClient]:
    """Without a circuit breaker: releases that fail again and again would open it."""
    policy = FailurePolicy(breaker_failures=1_000_000)
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS, failures=policy) as client:
        yield client


async def test_what_is_over_or_too_much_is_forgotten(
    unbroken: CacheClient, fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = unbroken
    monkeypatch.setattr(releases, "MAX_OWED", 2)
    owed = cache._flights.current().loads.releases
    fake.fail("Fill", *[Fault(reason=AWAY)] * 1_000)
    fake.fail("BatchFill", *[Fault(reason=AWAY)] * 1_000)
    with pytest.raises(KeyError):
        await cache.get_or_load(KEY, Loader(KeyError()), lease_ms=200)
    assert len(owed._owed) == 1
    await until("it is over", lambda: not owed._owed)
    for key in (content.Topics(user=f"o{number}") for number in range(3)):
        with pytest.raises(KeyError):
            await cache.get_or_load(key, Loader(KeyError()), lease_ms=60_000)
    assert len(owed._owed) == 2
    owed._owed.clear()
