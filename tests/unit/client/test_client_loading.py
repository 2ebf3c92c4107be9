"""Loading against a server that fails, stalls and holds as told."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from fake_server import FakeServer, Fault

from coherd import (
    NOTHING,
    BatchError,
    CacheClient,
    ClientClosed,
    ErrorReason,
    ForeignValue,
    InvalidRequest,
    LoadCancelled,
    LoadLimits,
    LoadPolicy,
    LoadTimeout,
    OpenKey,
    Unavailable,
    ValueEncodeError,
)
from coherd._loading import decide, flight
from coherd._rpc import connection
from coherd.domains import celery, content
from coherd.domains.celery.v1 import celery_pb2

KEY = content.Topics(user="u1")
AWAY = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
UNKNOWN = ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN
FOREIGN = ErrorReason.ERROR_REASON_FOREIGN_VALUE
NOWHERE = "127.0.0.1:1"
OLD = content.Topics.codec.encode("old")


class Loader:
    """Counts its calls; returns its number, after a gate opens if there is one."""

    def __init__(self, *results: Any, delay_s: float = 0.0, gate: asyncio.Event | None = None) -> None:
        self.calls = 0
        self.running = 0
        self.most_running = 0
        self.cancelled = 0
        self.results = list(results)
        self.delay_s = delay_s
        self.gate = gate

    async def __call__(self, key: Any) -> Any:
        self.calls += 1
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            result = self.results[min(self.calls, len(self.results)) - 1] if self.results else self.calls
            await asyncio.sleep(self.delay_s)
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.running -= 1
        if isinstance(result, BaseException):
            raise result
        return result


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():  # noqa: ASYNC110 - what is looked at tells nobody
            await asyncio.sleep(0.005)


@pytest.fixture(autouse=True)
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


async def held_by_another(fake: FakeServer, key: Any = KEY, for_s: float = 60.0) -> None:
    fake.grant(key, b"another's token.", for_s)


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
    await until(lambda: loader.calls == 1)
    asked = fake.calls["Lease"]
    second = asyncio.create_task(cache.get_or_load(KEY, loader))
    await until(lambda: fake.calls["Lease"] == asked + 1)
    gate.set()
    assert await asyncio.gather(first, second) == [1, 1]
    assert fake.calls["Lease"] == asked + 1

    gate.clear()
    third = asyncio.create_task(cache.get_or_load(content.Topics(user="u2"), loader))
    await until(lambda: loader.calls == 2)
    fake.invalidate(content.Topics(user="u2"))
    fourth = asyncio.create_task(cache.get_or_load(content.Topics(user="u2"), loader))
    await until(lambda: loader.calls == 3)
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
    await until(lambda: loader.calls == 1)
    fake.grant(KEY, fake.tokens[0], 1.0)
    asked = fake.calls["Lease"]
    second = asyncio.create_task(cache.get_or_load(KEY, loader))
    await until(lambda: fake.calls["Lease"] > asked)
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
    await until(lambda: any(fill.abandon for fill in fake.fills))
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


@pytest.mark.parametrize("value", [0, "", False, [], {}, None, 0.0])
async def test_falsy_values_are_values(cache: CacheClient, value: object) -> None:
    loader = Loader(value)
    assert [await cache.get_or_load(KEY, loader) for _ in range(2)] == [value, value]
    assert loader.calls == 1


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
    await until(lambda: bool(threads))
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


# Cancelling, closing.


async def test_cancelled_callers_disturb_no_other_and_the_load_goes_on_without_any(
    cache: CacheClient, fake: FakeServer
) -> None:
    gate = asyncio.Event()
    loader = Loader(gate=gate)
    callers = [asyncio.create_task(cache.get_or_load(KEY, loader)) for _ in range(10)]
    await until(lambda: loader.calls == 1)
    for caller in callers[:9]:
        caller.cancel()
    gate.set()
    answers = await asyncio.gather(*callers, return_exceptions=True)
    assert [isinstance(answer, asyncio.CancelledError) for answer in answers] == [True] * 9 + [False]
    gate.clear()
    alone = asyncio.create_task(cache.get_or_load(content.Topics(user="u2"), loader))
    await until(lambda: loader.calls == 2)
    alone.cancel()
    await asyncio.wait([alone])
    gate.set()
    await until(lambda: fake.calls["Fill"] == 2)
    assert await cache.get(content.Topics(user="u2")) == 2
    assert loader.cancelled == 0


async def test_a_lease_granted_to_callers_who_left_is_given_back(cache: CacheClient, fake: FakeServer) -> None:
    gate = asyncio.Event()
    fake.fail("Lease", Fault(gate=gate))
    caller = asyncio.create_task(cache.get_or_load(KEY, Loader()))
    await until(lambda: fake.calls["Lease"] == 1)
    caller.cancel()
    await asyncio.wait([caller])
    gate.set()
    await until(lambda: any(fill.abandon for fill in fake.fills))
    assert not fake.leased


async def test_closing_cancels_loads_and_gives_their_leases_back(fake: FakeServer) -> None:
    cache = CacheClient.connect(fake.target, timeout_ms=60_000)
    loader = Loader(gate=asyncio.Event())
    callers = [asyncio.create_task(cache.get_or_load(content.Topics(user=f"u{n % 3}"), loader)) for n in range(9)]
    await held_by_another(fake, content.Topics(user="held"))
    waiting = asyncio.create_task(cache.get_or_load(content.Topics(user="held"), loader))
    await until(lambda: loader.running == 3)
    await until(lambda: fake.watch.running == 1)
    await cache.close()
    answers = await asyncio.gather(*callers, waiting, return_exceptions=True)
    assert [type(answer) for answer in answers] == [ClientClosed] * 10
    assert loader.cancelled == 3
    assert fake.leased == {"content:topics:user:held"}
    with pytest.raises(ClientClosed):
        await cache.get_or_load(KEY, loader)
    await cache.close()


# Leases.


async def test_long_loads_renew_their_lease(cache: CacheClient, fake: FakeServer) -> None:
    gate = asyncio.Event()
    load = asyncio.create_task(cache.get_or_load(KEY, Loader(gate=gate), lease_ms=200))
    for renewals in range(1, 6):
        await until(lambda: fake.calls["Lease"] > renewals)  # noqa: B023 - it is awaited here
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
    await until(lambda: loader.calls == 1)
    await held_by_another(fake, for_s=0.4)
    asked = fake.calls["Lease"]
    await until(lambda: fake.calls["Lease"] > asked and not fake.watch.running)  # it could not renew
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
    await until(lambda: fake.watch.running >= 50)
    assert fake.watch.most_running <= len(keys)
    assert await cache.get_or_load(KEY, Loader("through"), timeout_ms=10_000) == "through"
    assert 50 <= fake.watch.running < 100
    for key in keys:
        fake.release(key)
    assert await asyncio.gather(*callers) == [1] * len(keys)


# Stale values.


def serve_stale(fake: FakeServer, *, early: bool = False) -> None:
    fake.put(KEY, OLD, fresh_s=60.0 if early else -1.0, load_ms=600_000)
    fake.draw = 0.5


async def test_stale_values_are_served_at_once_while_one_refreshes(cache: CacheClient, fake: FakeServer) -> None:
    serve_stale(fake)
    gate = asyncio.Event()
    loader = Loader("new", gate=gate)
    assert await asyncio.gather(*(cache.get_or_load(KEY, loader) for _ in range(20))) == ["old"] * 20
    assert [await cache.get_or_load(KEY, loader) for _ in range(3)] == ["old"] * 3
    gate.set()
    await until(lambda: fake.calls["Fill"] == 1)
    assert await cache.get_or_load(KEY, loader) == "new"
    assert loader.calls == 1


async def test_early_refreshes_serve_the_fresh_value_even_to_those_who_wait(
    cache: CacheClient, fake: FakeServer
) -> None:
    serve_stale(fake, early=True)
    loader = Loader("new", delay_s=0.1)
    assert await cache.get_or_load(KEY, loader, stale="wait") == "old"
    await until(lambda: fake.calls["Fill"] == 1)
    assert await cache.get_or_load(KEY, loader) == "new"


async def test_waiting_for_fresh_values_with_and_without_patience(cache: CacheClient, fake: FakeServer) -> None:
    serve_stale(fake)
    gate = asyncio.Event()
    loader = Loader("new", gate=gate)
    patient = asyncio.create_task(cache.get_or_load(KEY, loader, stale="wait"))
    await until(lambda: loader.calls == 1)
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
    await until(lambda: fake.calls["Lease"] > asked)
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
        await until(lambda: len(fake.fills) == 1)
    assert [record.getMessage() for record in caplog.records] == [
        "a load of content:topics in the background failed: KeyError"
    ]
    assert fake.fills[0].cooldown_ms == 400
    assert [await cache.get_or_load(KEY, loader) for _ in range(5)] == ["old"] * 5
    assert loader.calls == 1
    fake.pass_s(0.45)
    assert await cache.get_or_load(KEY, loader, stale="wait") == "old"
    assert loader.calls == 2
    await until(lambda: len(fake.fills) == 2)
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
        await until(lambda: loader.running == 2)
        await until(lambda: not fake.watch.running)
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


# Without the service.


async def test_loads_go_on_without_the_service_a_few_at_a_time() -> None:
    limits = LoadLimits(max_direct_loads=3)
    async with CacheClient.connect(NOWHERE, load_limits=limits, timeout_ms=20_000) as cache:
        loader = Loader("direct", delay_s=0.05)
        keys = [content.Topics(user=f"d{n}") for n in range(12)]
        assert await asyncio.gather(*(cache.get_or_load(key, loader) for key in keys)) == ["direct"] * 12
        assert (loader.calls, loader.most_running) == (12, 3)
        gate = asyncio.Event()
        slow = Loader("slow", gate=gate)
        patient = [asyncio.create_task(cache.get_or_load(key, slow)) for key in keys[:6]]
        await until(lambda: slow.running == 3)
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
    async with CacheClient.connect(NOWHERE, loading=policy, timeout_ms=20_000) as cache:
        with pytest.raises(Unavailable):
            await cache.get_or_load(KEY, Loader())


async def test_a_service_that_is_late_is_not_waited_for(cache: CacheClient, fake: FakeServer) -> None:
    gate = asyncio.Event()
    fake.fail("Lease", Fault(gate=gate))
    assert await cache.get_or_load(KEY, Loader("direct"), timeout_ms=200) == "direct"
    assert not gate.is_set()
    gate.set()
    await until(lambda: fake.calls["Fill"] == 1)  # what may have been granted is given back


async def test_foreign_bytes_are_loaded_around(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Lease", Fault(reason=FOREIGN))
    assert await cache.get_or_load(KEY, Loader("mine"), on_unavailable="raise") == "mine"
    assert fake.calls["Fill"] == 0
    fake.fail("Get", Fault(reason=FOREIGN))
    with pytest.raises(ForeignValue):
        await cache.get(KEY)


# Many.


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
    await until(lambda: len(calls) == 1)
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
    await until(lambda: fake.calls["BatchFill"] == 1)
    assert await cache.get_many(keys) == dict.fromkeys(keys, "new")


async def test_many_long_loads_renew_and_failures_give_back(cache: CacheClient, fake: FakeServer) -> None:
    keys = [content.Topics(user=f"m{n}") for n in range(3)]

    gate = asyncio.Event()

    async def load(some: list[Any]) -> dict[Any, int]:
        await gate.wait()
        return dict.fromkeys(some, 1)

    loading = asyncio.create_task(cache.get_or_load_many(keys, load, lease_ms=200))
    for renewals in range(1, 5):
        await until(lambda: fake.calls["BatchLease"] > renewals)  # noqa: B023 - it is awaited here
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


# Decorated functions.


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
