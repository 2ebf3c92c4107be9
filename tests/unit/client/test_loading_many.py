"""Many keys, loaded with one call."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from fake_server import FakeServer
from loaders import OLD, held_by_another

from coherd import (
    BatchError,
    CacheClient,
    ErrorReason,
    OpenKey,
)
from coherd.domains import content
from rig.waiting import until

pytestmark = pytest.mark.usefixtures("no_task_is_left")


async def test_many_keys_are_loaded_with_one_call(cache: CacheClient, fake: FakeServer) -> None:
    keys = [content.Topics(user=f"m{n}") for n in range(6)]
    await cache.set(keys[0], "cached")
    fake.put(keys[1], OLD, fresh_s=-1.0)
    await held_by_another(fake, keys[2], for_s=0.2)
    calls: list[list[str]] = []

    async def load(some: list[content.Topics]) -> dict[content.Topics, str]:
        calls.append([key.user for key in some])
        return {key: key.user for key in some if key.user != "m5"}

    asked = asyncio.create_task(cache.get_or_load_many([*keys, keys[0]], load, nothing_ttl=timedelta(minutes=1)))
    await until("it loads", lambda: len(calls) == 1)
    fake.pass_s(0.2)
    answer = await asked
    assert list(answer.items()) == [
        (keys[0], "cached"),
        (keys[1], "m1"),
        (keys[2], "m2"),
        (keys[3], "m3"),
        (keys[4], "m4"),
        (keys[5], None),
    ]
    assert calls == [["m3", "m4", "m5", "m1"], ["m2"]]
    assert (fake.calls["BatchLease"], fake.calls["BatchFill"]) == (1, 1)
    assert await cache.get_or_load_many(keys, load) == answer
    assert len(calls) == 2
    assert await cache.get_or_load_many([], load) == {}


async def test_many_stale_values_are_refreshed_behind(cache: CacheClient, fake: FakeServer) -> None:
    keys = [content.Topics(user=f"m{n}") for n in range(3)]
    for key in keys:
        fake.put(key, OLD, fresh_s=-1.0)
    loaded: list[Any] = []

    gate = asyncio.Event()

    async def load(some: list[Any]) -> dict[Any, str]:
        await gate.wait()
        loaded.extend(some)
        return dict.fromkeys(some, "new")

    assert await cache.get_or_load_many(keys, load) == dict.fromkeys(keys, "old")
    assert not loaded
    gate.set()
    await until("they are filled", lambda: fake.calls["BatchFill"] == 1)
    assert await cache.get_many(keys) == dict.fromkeys(keys, "new")


async def test_many_long_loads_renew_and_failures_release(cache: CacheClient, fake: FakeServer) -> None:
    keys = [content.Topics(user=f"m{n}") for n in range(3)]

    gate = asyncio.Event()

    async def load(some: list[Any]) -> dict[Any, int]:
        await gate.wait()
        return dict.fromkeys(some, 1)

    loading = asyncio.create_task(cache.get_or_load_many(keys, load, lease_ms=200))
    for renewals in range(1, 5):
        await until("they are renewed", lambda: fake.calls["BatchLease"] > renewals)  # noqa: B023 - it is awaited here
        fake.pass_s(0.15)
    gate.set()
    await loading
    assert await cache.get_many(keys) == dict.fromkeys(keys, 1)

    async def fail(some: list[Any]) -> dict[Any, int]:
        raise KeyError("no table")

    with pytest.raises(KeyError):
        await cache.get_or_load_many([content.Topics(user="m8"), content.Topics(user="m9")], fail)
    assert not fake.leased


async def test_bad_keys_of_many_fail_no_other(cache: CacheClient, fake: FakeServer) -> None:
    bad, good = OpenKey("nowhere", "x"), content.Topics(user="good")
    with pytest.raises(BatchError) as caught:
        await cache.get_or_load_many([bad, good], lambda keys: dict.fromkeys(keys, 1))
    assert caught.value.results == {good: 1}
    assert caught.value.errors[bad].reason == ErrorReason.ERROR_REASON_DOMAIN_UNKNOWN
