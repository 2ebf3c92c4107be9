"""Loading against a server that fails, stalls and holds as told: one load, its callers, its errors."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import grpc
import pytest
from fake_server import FakeServer, Fault
from loaders import KEY, UNKNOWN, Loader, held_by_another

from coherd import (
    NOTHING,
    CacheClient,
    ClientClosed,
    InvalidRequest,
    LoadCancelled,
    ValueEncodeError,
)
from coherd.domains import celery, content
from coherd.domains.celery.v1 import celery_pb2
from rig.waiting import until

pytestmark = pytest.mark.usefixtures("no_task_is_left")


async def test_a_miss_loads_and_fills_and_a_hit_does_not(cache: CacheClient, fake: FakeServer) -> None:
    loader = Loader()
    assert [await cache.get_or_load(KEY, loader) for _ in range(3)] == [1, 1, 1]
    assert (fake.calls["Lease"], fake.calls["Fill"]) == (3, 1)
    assert await cache.get(KEY) == 1


async def test_callers_of_one_turn_share_one_lease_call(cache: CacheClient, fake: FakeServer) -> None:
    loader = Loader(delay_s=0.05)
    assert await asyncio.gather(*(cache.get_or_load(KEY, loader) for _ in range(200))) == [1] * 200
    assert (loader.calls, fake.calls["Lease"], fake.calls["Fill"]) == (1, 1, 1)


async def test_a_running_load_is_joined_only_after_its_lease_was_confirmed(
    cache: CacheClient, fake: FakeServer
) -> None:
    """[confirmed-join]"""
    gate = asyncio.Event()
    loader = Loader(gate=gate)
    first = asyncio.create_task(cache.get_or_load(KEY, loader))
    await until("it loads", lambda: loader.calls == 1)
    asked = fake.calls["Lease"]
    second = asyncio.create_task(cache.get_or_load(KEY, loader))
    await until("it asked", lambda: fake.calls["Lease"] == asked + 1)
    gate.set()
    assert await asyncio.gather(first, second) == [1, 1]
    assert fake.calls["Lease"] == asked + 1

    gate.clear()
    third = asyncio.create_task(cache.get_or_load(content.Topics(user="u2"), loader))
    await until("it loads", lambda: loader.calls == 2)
    fake.invalidate(content.Topics(user="u2"))
    fourth = asyncio.create_task(cache.get_or_load(content.Topics(user="u2"), loader))
    await until("it loads", lambda: loader.calls == 3)
    gate.set()
    assert await asyncio.gather(third, fourth) == [2, 3]
    assert await cache.get(content.Topics(user="u2")) == 3


async def test_a_load_whose_token_was_granted_anew_is_neither_joined_nor_stored(
    cache: CacheClient, fake: FakeServer
) -> None:
    """A delete, then a late copy of the request for its lease, which nobody uses."""
    gate = asyncio.Event()
    loader = Loader(gate=gate)
    first = asyncio.create_task(cache.get_or_load(KEY, loader))
    await until("it loads", lambda: loader.calls == 1)
    fake.grant(KEY, fake.tokens[0], 1.0)
    asked = fake.calls["Lease"]
    second = asyncio.create_task(cache.get_or_load(KEY, loader))
    await until("it asked", lambda: fake.calls["Lease"] > asked)
    gate.set()
    assert await first == 1
    assert fake.ttl_ms(KEY) is None
    fake.pass_s(1.1)
    assert await second == 2
    assert await cache.get(KEY) == 2


async def test_no_two_loads_share_a_token_and_no_request_is_repeated_that_may_have_arrived(
    cache: CacheClient, fake: FakeServer
) -> None:
    fake.fail("Lease", Fault(reason=UNKNOWN, after=True))
    assert await cache.get_or_load(KEY, Loader()) == 1
    await until("a lease is released", lambda: any(fill.abandon for fill in fake.fills))
    assert len(set(fake.tokens)) == len(fake.tokens) >= 2
    fake.transport.calls.clear()
    fake.fail("Lease", Fault(code=grpc.StatusCode.UNAVAILABLE, after=True))
    assert await cache.get_or_load(content.Topics(user="u2"), Loader()) == 1
    assert len(set(fake.tokens)) == len(fake.tokens) >= 2


async def test_callers_decode_for_themselves_and_see_what_a_hit_would_be(cache: CacheClient) -> None:
    loader = Loader({"days": ("mon", "tue")}, delay_s=0.05)
    one, other = await asyncio.gather(cache.get_or_load(KEY, loader), cache.get_or_load(KEY, loader))
    assert one == other == {"days": ["mon", "tue"]}
    assert one is not other
    assert await cache.get_or_load(KEY, loader) == one


async def test_nothing_is_remembered_as_told(cache: CacheClient, fake: FakeServer) -> None:
    loader = Loader(NOTHING)
    assert [await cache.get_or_load(KEY, loader, nothing_ttl=timedelta(minutes=1)) for _ in range(2)] == [None, None]
    assert loader.calls == 1
    assert await cache.get(KEY, default="miss") is None
    unremembered = content.Topics(user="u2")
    assert [await cache.get_or_load(unremembered, loader) for _ in range(2)] == [None, None]
    assert loader.calls == 3
    assert not fake.leased


async def test_sync_loaders_run_in_a_thread_and_may_return_awaitables(cache: CacheClient) -> None:
    threads: list[int] = []
    go_on = threading.Event()

    def slow(key: content.Topics) -> str:
        threads.append(threading.get_ident())
        assert go_on.wait(30)
        return key.user

    running = asyncio.create_task(cache.get_or_load(KEY, slow))
    await until("it runs", lambda: bool(threads))
    for _ in range(5):  # the loop goes on meanwhile
        await asyncio.sleep(0.01)
    assert not running.done()
    go_on.set()
    assert await running == "u1"
    assert threads != [threading.get_ident()]
    assert await cache.get_or_load(content.Topics(user="u2"), lambda key: Loader("later")(key)) == "later"

    def stops(_: object) -> None:
        raise StopIteration

    with pytest.raises(RuntimeError, match="StopIteration"):
        await cache.get_or_load(content.Topics(user="u3"), stops)


async def test_errors_of_loaders_reach_every_caller_and_poison_nothing(cache: CacheClient, fake: FakeServer) -> None:
    loader = Loader(KeyError("no row"), "value", delay_s=0.05)
    answers = await asyncio.gather(*(cache.get_or_load(KEY, loader) for _ in range(5)), return_exceptions=True)
    assert [type(answer) for answer in answers] == [KeyError] * 5
    assert loader.calls == 1
    assert not fake.leased
    assert await cache.get_or_load(KEY, loader) == "value"


async def test_a_loader_that_cancels_itself_cancels_no_caller(cache: CacheClient, fake: FakeServer) -> None:
    with pytest.raises(LoadCancelled):
        await cache.get_or_load(KEY, Loader(asyncio.CancelledError()))
    assert not fake.leased


async def test_wrong_values_are_refused_and_the_lease_given_back(cache: CacheClient, fake: FakeServer) -> None:
    task = celery.TaskMetrics(id="t")
    with pytest.raises(ValueEncodeError):
        await cache.get_or_load(task, Loader({"state": "secret"}))
    with pytest.raises(InvalidRequest):
        await cache.get_or_load(KEY, Loader(1), ttl=timedelta(days=900))
    assert not fake.leased
    assert await cache.get_or_load(task, Loader(celery_pb2.TaskMetrics())) == celery_pb2.TaskMetrics()


async def test_wrong_arguments_are_refused_before_anything_is_sent(cache: CacheClient, fake: FakeServer) -> None:
    with pytest.raises(TypeError, match="OpenKey"):
        await cache.get_or_load("content:topics:user:u", Loader())  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        await cache.get_or_load(KEY, Loader(), tags={"user": 5})  # type: ignore[call-overload]
    with pytest.raises(TypeError):
        await cache.get_or_load(KEY, Loader(), patience_ms=5)  # type: ignore[call-overload]
    with pytest.raises(ValueError, match="lease_ms"):
        await cache.get_or_load(KEY, Loader(), lease_ms=1)
    with pytest.raises(TypeError, match="timedelta"):
        await cache.get_or_load(KEY, Loader(), ttl=60)  # type: ignore[call-overload]
    assert not fake.calls


async def test_cancelled_callers_disturb_no_other_and_the_load_goes_on_without_any(
    cache: CacheClient, fake: FakeServer
) -> None:
    gate = asyncio.Event()
    loader = Loader(gate=gate)
    callers = [asyncio.create_task(cache.get_or_load(KEY, loader)) for _ in range(10)]
    await until("it loads", lambda: loader.calls == 1)
    for caller in callers[:9]:
        caller.cancel()
    gate.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True] * 9 + [False]
    gate.clear()
    alone = asyncio.create_task(cache.get_or_load(content.Topics(user="u2"), loader))
    await until("it loads", lambda: loader.calls == 2)
    alone.cancel()
    await asyncio.wait([alone])
    gate.set()
    await until("it is filled", lambda: fake.calls["Fill"] == 2)
    assert await cache.get(content.Topics(user="u2")) == 2
    assert loader.cancelled == 0


async def test_a_lease_granted_to_callers_who_left_is_given_back(cache: CacheClient, fake: FakeServer) -> None:
    gate = asyncio.Event()
    fake.fail("Lease", Fault(gate=gate))
    caller = asyncio.create_task(cache.get_or_load(KEY, Loader()))
    await until("it asked", lambda: fake.calls["Lease"] == 1)
    caller.cancel()
    await asyncio.wait([caller])
    gate.set()
    await until("a lease is released", lambda: any(fill.abandon for fill in fake.fills))
    assert not fake.leased


async def test_closing_cancels_loads_and_gives_their_leases_back(fake: FakeServer) -> None:
    cache = CacheClient.connect(fake.target, timeout_ms=60_000)
    loader = Loader(gate=asyncio.Event())
    callers = [asyncio.create_task(cache.get_or_load(content.Topics(user=f"u{n % 3}"), loader)) for n in range(9)]
    await held_by_another(fake, content.Topics(user="held"))
    waiting = asyncio.create_task(cache.get_or_load(content.Topics(user="held"), loader))
    await until("it loads", lambda: loader.running == 3)
    await until("calls are under way", lambda: fake.watch.running == 1)
    await cache.close()
    answers = await asyncio.gather(*callers, waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ClientClosed] * 10
    assert loader.cancelled == 3
    assert fake.leased == {"content:topics:user:held"}
    with pytest.raises(ClientClosed):
        await cache.get_or_load(KEY, loader)
    await cache.close()


async def test_decorated_functions(cache: CacheClient, fake: FakeServer) -> None:
    calls: list[str] = []

    @cache.cached(lambda user, **_: content.Topics(user=user), ttl=timedelta(minutes=1))
    async def topics(user: str, *, limit: int = 3) -> list[str]:
        """Topics of a user."""
        calls.append(user)
        return [user] * limit

    assert (topics.__name__, topics.__doc__) == ("topics", "Topics of a user.")
    assert [await topics("u1"), await topics("u1", limit=3)] == [["u1"] * 3] * 2
    assert calls == ["u1"]
    assert fake.ttl_ms("content:topics:user:u1") == 60_000
    assert topics.key("u1") == KEY
    assert await topics.invalidate("u1") is True
    assert await topics("u1", limit=1) == ["u1"]
    assert await topics.refresh("u1", limit=2) == ["u1", "u1"]
    assert calls == ["u1"] * 3

    @cache.cached(lambda user: content.Topics(user=user), nothing_ttl=timedelta(minutes=1))
    def nothing(user: str) -> Any:
        calls.append(user)
        return NOTHING

    assert [await nothing("n"), await nothing("n")] == [None, None]
    assert calls.count("n") == 1
    with pytest.raises(ValueError, match="lease_ms"):
        cache.cached(lambda: KEY, lease_ms=1)
