"""Loaders that ask for what waits for them fail at once; loaders that only ask a lot do not."""

from __future__ import annotations

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest
from fake_server import PATIENT_MS, FakeServer
from loaders import KEY, Loader, held_by_another, serve_stale

from coherd import BatchError, CacheClient, LoadCircle, LoadPolicy, LoadTimeout
from coherd import sync as coherd_sync
from coherd._loading.circles import CHAIN, Node
from coherd._loading.flight import Call
from coherd._loading.flights import waited_too_long
from coherd._loading.policy import Terms
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


@pytest.fixture
async def second(fake: FakeServer) -> AsyncIterator[CacheClient]:
    """Another client of the same service."""
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS) as client:
        yield client


async def test_a_circle_over_two_clients_of_a_process_fails_at_once(
    cache: CacheClient, second: CacheClient, fake: FakeServer
) -> None:
    async def own(key: content.Topics) -> Any:
        return await second.get_or_load(key, Loader("not loaded"))

    with pytest.raises(LoadCircle, match=f"{NAME} → {NAME}"):
        await cache.get_or_load(A, own)

    async def by_many(key: content.Topics) -> Any:
        return await second.get_or_load_many([key, C], lambda keys: dict.fromkeys(keys, 1))

    with pytest.raises(BatchError) as failed:
        await cache.get_or_load(B, by_many)
    assert isinstance(failed.value.errors[B], LoadCircle)

    async def circle(key: content.Topics) -> Any:
        return await {A: second, B: cache}[key].get_or_load({A: B, B: A}[key], circle)

    with pytest.raises(LoadCircle, match=" → ".join([NAME] * 3)):
        await cache.get_or_load(A, circle)
    await until("nothing is leased", lambda: not fake.leased)


async def test_callers_of_two_clients_who_load_crosswise_fail_at_once_without_harm_to_the_other(
    cache: CacheClient, second: CacheClient
) -> None:
    loading = asyncio.Semaphore(0)

    async def other(key: content.Topics) -> Any:
        loading.release()
        await until("both load", lambda: loading._value == 2)
        try:
            return await {A: cache, B: second}[key].get_or_load(B if key == A else A, other)
        except LoadCircle:
            return "alone"

    answers = await asyncio.gather(cache.get_or_load(A, other), second.get_or_load(B, other))
    assert answers == ["alone", "alone"]


@pytest.fixture
def other_loop() -> Iterator[asyncio.AbstractEventLoop]:
    """Runs in another thread."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    thread.join(60)


async def test_a_circle_over_two_loops_fails_at_once(
    cache: CacheClient, other_loop: asyncio.AbstractEventLoop, fake: FakeServer
) -> None:
    loop = asyncio.get_running_loop()

    async def circle(key: content.Topics) -> Any:
        there = other_loop if asyncio.get_running_loop() is loop else loop
        asked = asyncio.run_coroutine_threadsafe(cache.get_or_load({A: B, B: A}[key], circle), there)
        return await asyncio.wrap_future(asked)

    with pytest.raises(LoadCircle, match=" → ".join([NAME] * 3)):
        await cache.get_or_load(A, circle)

    async def in_a_thread(key: content.Topics) -> Any:
        return await asyncio.to_thread(asyncio.run, cache.get_or_load(key, Loader("not loaded")))

    with pytest.raises(LoadCircle, match=f"{NAME} → {NAME}"):
        await cache.get_or_load(C, in_a_thread)
    await until("nothing is leased", lambda: not fake.leased)
    await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(asyncio.sleep(0), other_loop))


async def test_a_circle_over_both_kinds_of_client_fails_at_once(cache: CacheClient, fake: FakeServer) -> None:
    with coherd_sync.CacheClient.connect(fake.target, timeout_ms=PATIENT_MS) as blocking:
        loop = asyncio.get_running_loop()

        def plain(key: content.Topics) -> Any:
            return asyncio.run_coroutine_threadsafe(cache.get_or_load(A, own), loop).result()

        async def own(key: content.Topics) -> Any:
            return await asyncio.to_thread(blocking.get_or_load, B, plain)

        with pytest.raises(LoadCircle, match=" → ".join([NAME] * 3)):
            await cache.get_or_load(A, own)


async def test_the_same_key_of_another_service_is_no_circle(cache: CacheClient) -> None:
    async with FakeServer() as region, CacheClient.connect(region.target, timeout_ms=PATIENT_MS) as far:

        async def from_far(key: content.Topics) -> Any:
            return await far.get_or_load(key, Loader("far"))

        assert await cache.get_or_load(A, from_far) == "far"
        assert await far.get(A) == "far"


async def test_a_circle_over_processes_ends_with_the_limit_whose_error_says_so(
    cache: CacheClient, fake: FakeServer
) -> None:
    await held_by_another(fake, B)

    async def asks(key: content.Topics) -> Any:
        return await cache.get_or_load(B, Loader("not loaded"))

    words = f"the loader of {NAME} waited for {NAME}, which somebody else loads: .* a circle over several processes"
    with pytest.raises(LoadTimeout, match=rf"longer than 1000 ms; {words}") as outer:
        await cache.get_or_load(A, asks, load_timeout_ms=1_000)
    assert "secret" not in str(outer.value)


def test_so_does_the_limit_of_the_wait_itself() -> None:
    async def source(_: object) -> dict[Any, Any]:
        return {}

    terms = Terms(lease_ms=1_000, tags=None, ttl_ms=None, nothing_ttl_ms=None, timeout_ms=1_000)
    context = contextvars.copy_context()
    call = Call(A, source, False, terms, LoadPolicy(), context, until_s=60.0)
    assert waited_too_long(call) == "somebody else's load took too long"
    context.run(CHAIN.set, (Node("analytics:daily"),))
    assert "the loader of analytics:daily waited for content:topics, which somebody else loads" in waited_too_long(call)


async def test_a_limit_says_nothing_of_circles_where_the_loader_itself_is_slow(cache: CacheClient) -> None:
    async def slow(key: content.Topics) -> Any:
        await cache.get_or_load(B, Loader("b"))
        await asyncio.Event().wait()

    with pytest.raises(LoadTimeout, match=r"^the load took longer than 100 ms$"):
        await cache.get_or_load(A, slow, load_timeout_ms=100)
