"""Loaders that ask for what waits for them fail at once; loaders that only ask a lot do not."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from fake_server import FakeServer
from loaders import KEY, Loader, serve_stale

from coherd import BatchError, CacheClient, LoadCircle
from coherd import sync as coherd_sync
from coherd.domains import content
from coherd.testing import FakeCache
from rig.waiting import until

pytestmark = pytest.mark.usefixtures("no_task_is_left")

A, B, C = (content.Topics(user=f"secret{number}") for number in range(3))
NAME = "content:topics"


async def test_a_loader_that_asks_for_its_own_key_fails_at_once(cache: CacheClient, fake: FakeServer) -> None:
    async def own(key: content.Topics) -> Any:
        return await cache.get_or_load(key, own)

    async def in_a_task(key: content.Topics) -> Any:
        return (await asyncio.gather(cache.get_or_load(key, in_a_task), asyncio.sleep(0)))[0]

    async def by_many(key: content.Topics) -> Any:
        try:
            return await cache.get_or_load_many([key, C], Loader({}))
        except BatchError as error:
            raise error.errors[key] from None

    for loader in (own, in_a_task, by_many):
        with pytest.raises(LoadCircle, match=f"{NAME} → {NAME}") as failed:
            await cache.get_or_load(A, loader)
        assert "secret" not in str(failed.value)
        await until("nothing is leased", lambda: A not in fake.leased)
    assert await cache.get_or_load(A, Loader("well")) == "well"


async def test_a_circle_of_loads_fails_at_once(cache: CacheClient, fake: FakeServer) -> None:
    async def circle(key: content.Topics) -> Any:
        return await cache.get_or_load({A: B, B: C, C: A}[key], circle)

    with pytest.raises(LoadCircle, match=" → ".join([NAME] * 4)):
        await cache.get_or_load(A, circle)
    assert not fake.leased


async def test_callers_who_load_crosswise_fail_at_once_without_harm_to_the_other(cache: CacheClient) -> None:
    loading = asyncio.Semaphore(0)

    async def other(key: content.Topics) -> Any:
        loading.release()
        await until("both load", lambda: loading._value == 2)
        try:
            return await cache.get_or_load(B if key == A else A, other)
        except LoadCircle:
            return "alone"

    answers = await asyncio.gather(cache.get_or_load(A, other), cache.get_or_load(B, other))
    assert answers == ["alone", "alone"]


async def test_plain_loaders_are_no_exception(cache: CacheClient) -> None:
    loop = asyncio.get_running_loop()

    def plain(key: content.Topics) -> Any:
        return asyncio.run_coroutine_threadsafe(cache.get_or_load({A: B, B: A}[key], plain), loop).result()

    with pytest.raises(LoadCircle):
        await cache.get_or_load(A, plain)


async def test_what_is_no_circle_is_none(cache: CacheClient, fake: FakeServer) -> None:
    left: list[asyncio.Task[Any]] = []
    go = asyncio.Event()

    async def asks_later(key: content.Topics) -> str:
        async def later() -> Any:
            await go.wait()
            return await cache.get_or_load(key, Loader("not loaded"))

        left.append(asyncio.create_task(later()))
        both = await asyncio.gather(cache.get_or_load(B, Loader("b")), cache.get_or_load(B, Loader("b")))
        return "".join(both)

    assert await cache.get_or_load(A, asks_later) == "bb"
    go.set()
    assert await left[0] == "bb"

    async def asks_for_its_stale_value(key: content.Topics) -> Any:
        return await cache.get_or_load(key, Loader("not loaded")) + "er"

    serve_stale(fake)
    assert await cache.get_or_load(KEY, asks_for_its_stale_value) == "old"
    await until("it is refreshed", lambda: fake.calls["Fill"] == 3)
    assert await cache.get(KEY) == "older"


def test_the_blocking_client_fails_at_once_too() -> None:
    with coherd_sync.CacheClient(FakeCache().transport) as cache:

        def circle(key: content.Topics) -> Any:
            return cache.get_or_load({A: B, B: A}[key], circle)

        with pytest.raises(LoadCircle, match=" → ".join([NAME] * 3)):
            cache.get_or_load(A, circle)
        assert cache.get_or_load(A, lambda _: 5) == 5
