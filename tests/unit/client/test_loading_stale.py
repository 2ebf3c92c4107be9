"""Stale values while somebody refreshes them."""

from __future__ import annotations

import asyncio
import logging

import pytest
from fake_server import FakeServer
from loaders import KEY, OLD, Loader, held_by_another, serve_stale

from coherd import (
    CacheClient,
    LoadLimits,
    LoadTimeout,
)
from coherd.domains import content
from rig.waiting import until

pytestmark = pytest.mark.usefixtures("no_task_is_left")


async def test_stale_values_are_served_at_once_while_one_refreshes(cache: CacheClient, fake: FakeServer) -> None:
    serve_stale(fake)
    gate = asyncio.Event()
    loader = Loader("new", gate=gate)
    assert await asyncio.gather(*(cache.get_or_load(KEY, loader) for _ in range(20))) == ["old"] * 20
    assert [await cache.get_or_load(KEY, loader) for _ in range(3)] == ["old"] * 3
    gate.set()
    await until("it is filled", lambda: fake.calls["Fill"] == 1)
    assert await cache.get_or_load(KEY, loader) == "new"
    assert loader.calls == 1


async def test_early_refreshes_serve_the_fresh_value_even_to_those_who_wait(
    cache: CacheClient, fake: FakeServer
) -> None:
    serve_stale(fake, early=True)
    loader = Loader("new", delay_s=0.1)
    assert await cache.get_or_load(KEY, loader, stale="wait") == "old"
    await until("it is filled", lambda: fake.calls["Fill"] == 1)
    assert await cache.get_or_load(KEY, loader) == "new"


async def test_waiting_for_fresh_values_with_and_without_patience(cache: CacheClient, fake: FakeServer) -> None:
    serve_stale(fake)
    gate = asyncio.Event()
    loader = Loader("new", gate=gate)
    patient = asyncio.create_task(cache.get_or_load(KEY, loader, stale="wait"))
    await until("it loads", lambda: loader.calls == 1)
    assert await cache.get_or_load(KEY, loader, stale="wait", soft_timeout_ms=100) == "old"
    assert not patient.done()
    gate.set()
    assert await patient == "new"
    assert loader.calls == 1


async def test_waiting_for_what_others_refresh(cache: CacheClient, fake: FakeServer) -> None:
    serve_stale(fake)
    await held_by_another(fake, for_s=0.3)
    loader = Loader("new")
    assert await cache.get_or_load(KEY, loader) == "old"
    assert await cache.get_or_load(KEY, loader, stale="wait", soft_timeout_ms=50) == "old"
    asked = fake.calls["Lease"]
    waiting = asyncio.create_task(cache.get_or_load(KEY, loader, stale="wait"))
    await until("it asked", lambda: fake.calls["Lease"] > asked)
    fake.pass_s(0.3)
    assert await waiting == "new"
    assert fake.calls["Lease"] - asked < 12


async def test_who_waits_for_a_shared_load_brings_its_loader(cache: CacheClient, fake: FakeServer) -> None:
    serve_stale(fake)
    served, waited = Loader("served"), Loader("waited")
    answers = await asyncio.gather(
        cache.get_or_load(KEY, served), cache.get_or_load(KEY, waited, stale="wait"), cache.get_or_load(KEY, served)
    )
    assert answers == ["old", "waited", "old"]
    assert (served.calls, waited.calls) == (0, 1)


async def test_failed_refreshes_serve_the_stale_value_and_pause(
    cache: CacheClient, fake: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    serve_stale(fake)
    loader = Loader(KeyError("secret"))
    with caplog.at_level(logging.WARNING, "coherd"):
        assert [await cache.get_or_load(KEY, loader, error_pause_ms=400)] == ["old"]
        await until("it was filled or released", lambda: len(fake.fills) == 1)
    assert [record.getMessage() for record in caplog.records] == [
        "a load of content:topics in the background failed: KeyError"
    ]
    assert fake.fills[0].cooldown_ms == 400
    assert [await cache.get_or_load(KEY, loader) for _ in range(5)] == ["old"] * 5
    assert loader.calls == 1
    fake.pass_s(0.45)
    assert await cache.get_or_load(KEY, loader, stale="wait") == "old"
    assert loader.calls == 2
    await until("it was filled or released", lambda: len(fake.fills) == 2)
    fake.pass_s(1.05)
    with pytest.raises(KeyError):
        await cache.get_or_load(KEY, loader, stale="wait", on_load_error="raise")


async def test_background_loads_are_bounded(fake: FakeServer) -> None:
    limits = LoadLimits(max_background_loads=2)
    async with CacheClient.connect(fake.target, load_limits=limits, timeout_ms=60_000) as cache:
        loader = Loader("new", gate=asyncio.Event())
        keys = [content.Topics(user=f"b{n}") for n in range(6)]
        for key in keys:
            fake.put(key, OLD, fresh_s=-1.0)
        assert await asyncio.gather(*(cache.get_or_load(key, loader) for key in keys)) == ["old"] * 6
        await until("it loads", lambda: loader.running == 2)
        await until("nothing is under way", lambda: not fake.watch.running)
        assert loader.most_running == 2
        assert len(fake.leased) == 2


async def test_loads_past_their_limit_are_cancelled_and_given_back(cache: CacheClient, fake: FakeServer) -> None:
    loader = Loader(delay_s=60)
    with pytest.raises(LoadTimeout):
        await cache.get_or_load(KEY, loader, load_timeout_ms=100)
    assert loader.cancelled == 1
    assert not fake.leased
    serve_stale(fake)
    assert await cache.get_or_load(KEY, loader, load_timeout_ms=100, stale="wait") == "old"
    with pytest.raises(TimeoutError, match="mine"):
        await cache.get_or_load(content.Topics(user="u2"), Loader(TimeoutError("mine")))
