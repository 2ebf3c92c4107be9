"""What a client does while service or store are lost, against a server over real gRPC that fails as the test says."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_server import PATIENT_MS, FakeServer, Fault

from coherd import (
    BatchError,
    CacheClient,
    CacheError,
    ConnectionEvent,
    FailurePolicy,
    InvalidRequest,
    OpenKey,
    Unavailable,
)
from coherd._rpc import breaker
from coherd._rpc.guard import Guard
from coherd._rpc.session_transport import SessionTransport
from coherd.domains.tags import User
from coherd.v1.errors_pb2 import ErrorReason
from rig.waiting import until

STORE = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
LOST = Fault(reason=STORE, retry_after_ms=1)
MANY = 5_000


def key(number: int = 0) -> OpenKey:
    return OpenKey("content", "drafts", {"user": f"u{number}"})


@pytest.fixture
def events() -> list[Any]:
    return []


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """How long failures last says what else the machine does."""
    monkeypatch.setattr(breaker, "SPAN_S", 0.0)


@pytest.fixture
async def lenient(fake: FakeServer, events: list[Any]) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(
        fake.target, timeout_ms=PATIENT_MS, on_unavailable="miss", on_event=events.append
    ) as client:
        yield client


def guard_of(cache: CacheClient) -> Guard:
    transport = cache._transport
    assert isinstance(transport, SessionTransport)
    return transport._links.current().guard


async def lose_store(fake: FakeServer, cache: CacheClient) -> None:
    """The store is lost, and the breaker open."""
    for rpc in ("Get", "BatchGet", "Lease", "Set", "Fill"):
        fake.fail(rpc, *[LOST] * MANY)
    while not guard_of(cache).is_open:
        await cache.get(key())


async def test_a_lost_store_is_not_asked_by_those_who_can_go_on(
    fake: FakeServer, lenient: CacheClient, events: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PROBE_S", 3_600.0)
    await lose_store(fake, lenient)
    guard_of(lenient)._breaker._probe_at_s = float("inf")
    assert [event.kind for event in events if isinstance(event, ConnectionEvent)] == ["store_lost"]
    before = dict(fake.calls)
    assert [await lenient.get(key(number)) for number in range(50)] == [None] * 50
    assert not await lenient.set(key(), 1)
    assert await lenient.get_many([key(1), key(2)]) == {}
    assert await lenient.get_or_load(key(), lambda _: 5) == 5
    assert await lenient.get_or_load_many([key()], lambda keys: dict.fromkeys(keys, 6)) == {key(): 6}
    assert dict(fake.calls) == before, "nothing was sent"
    assert lenient.connection_counts["not_sent"] >= 54  # type: ignore[index]


async def test_changes_are_tried_all_the_same_and_fail_with_their_error(fake: FakeServer, lenient: CacheClient) -> None:
    await lose_store(fake, lenient)
    for rpc in ("Invalidate", "Delete"):
        fake.fail(rpc, *[LOST] * MANY)
    for change in (lenient.invalidate(User("u1")), lenient.delete(key())):
        with pytest.raises(Unavailable) as caught:
            await change
        assert caught.value.reason == STORE
    assert fake.calls["Invalidate"] >= 1
    assert fake.calls["Delete"] >= 1


async def test_it_is_in_use_again_when_one_probe_succeeds(
    fake: FakeServer, lenient: CacheClient, events: list[Any], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "coherd.connection")
    await lenient.get(key())
    await lose_store(fake, lenient)
    fake._faults.waiting.clear()

    async def ask() -> None:
        while guard_of(lenient).is_open:
            assert await lenient.get(key(7)) is None
            await asyncio.sleep(0)

    async with asyncio.timeout(60):
        await ask()
    assert [event.kind for event in events] == ["store_lost", "back"]
    assert fake.requests("Get")[-1].key.text == str(key(7)), "a probe reads a key that is asked for"
    assert await lenient.set(key(), 1)
    assert await lenient.get(key()) == 1
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_only_one_probe_is_under_way(fake: FakeServer, lenient: CacheClient) -> None:
    await lose_store(fake, lenient)
    gate = asyncio.Event()
    fake._faults.waiting["Get"] = [Fault(gate=gate)] * MANY
    before = fake.calls["Get"]
    while fake.calls["Get"] == before:
        await lenient.get(key())
    guard_of(lenient)._breaker._probe_at_s = 0.0
    for number in range(50):
        await lenient.get(key(number))
    assert fake.calls["Get"] == before + 1
    gate.set()
    await until("it is closed", lambda: not guard_of(lenient).is_open)


async def test_callers_that_ask_again_and_again_let_the_probe_run(fake: FakeServer, lenient: CacheClient) -> None:
    await lose_store(fake, lenient)
    fake._faults.waiting.clear()
    async with asyncio.timeout(60):
        while guard_of(lenient).is_open:
            await lenient.get(key())


async def test_batches_are_noticed_too(fake: FakeServer, lenient: CacheClient) -> None:
    keys = [key(1), key(2)]
    fake.bad_items.update({str(one): STORE for one in keys})
    while not guard_of(lenient).is_open:
        assert await lenient.get_many(keys) == {}


async def test_who_raises_is_refused_with_the_reason_and_sends_nothing(fake: FakeServer) -> None:
    policy = FailurePolicy(probe_ms=60_000)
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS, failures=policy) as cache:
        fake.fail("Get", *[LOST] * MANY)
        fake.fail("Set", *[LOST] * MANY)
        while not guard_of(cache).is_open:
            with pytest.raises(Unavailable):
                await cache.get(key())
        await until("the first probe is over", lambda: guard_of(cache)._probe is None)
        guard_of(cache)._breaker._probe_at_s = float("inf")
        before = dict(fake.calls)
        for call in (cache.get(key()), cache.set(key(), 1)):
            with pytest.raises(Unavailable) as caught:
                await call
            assert caught.value.reason == STORE
        assert dict(fake.calls) == before


async def test_what_the_breaker_refuses_is_not_counted_as_tried_again(fake: FakeServer) -> None:
    policy = FailurePolicy(probe_ms=60_000)
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS, failures=policy) as cache:
        fake.fail("Get", *[LOST] * MANY)
        calls = 0
        while not guard_of(cache).is_open:
            calls += 1
            with pytest.raises(Unavailable):
                await cache.get(key())
        await until("the first probe is over", lambda: guard_of(cache)._probe is None)
        guard_of(cache)._breaker._probe_at_s = float("inf")
        before = dict(cache.connection_counts)
        with pytest.raises(Unavailable, match="not sent: the circuit breaker is open, since earlier calls failed so"):
            await cache.get(key())
        after = dict(cache.connection_counts)
        assert after["not_sent"] - before.get("not_sent", 0) == 4  # type: ignore[call-overload, index]
        assert after["retried"] == before["retried"]  # type: ignore[index]
        assert fake.calls["Get"] - calls - after["retried"] in (0, 1), "but for a probe"  # type: ignore[index]


@pytest.mark.parametrize("sessions", [True, False])
async def test_failing_calls_are_not_multiplied(fake: FakeServer, sessions: bool) -> None:
    """200 gets became 800 requests."""
    policy = FailurePolicy(breaker_failures=1_000_000)
    events: list[Any] = []
    async with CacheClient.connect(
        fake.target, sessions=sessions, timeout_ms=PATIENT_MS, failures=policy, on_event=events.append
    ) as cache:
        fake.fail("Get", *[LOST] * MANY)
        errors = await asyncio.gather(*(cache.get(key(number)) for number in range(200)), return_exceptions=True)
        assert {type(error) for error in errors} == {Unavailable}
        assert 200 < fake.calls["Get"] <= 220
        assert cache.connection_counts["retried"] == fake.calls["Get"] - 200  # type: ignore[index]
        assert cache.connection_counts["not_retried"] >= 180  # type: ignore[index]
        assert [event.kind for event in events] == ["retries_spent"]
        fake._faults.waiting.clear()
        for _ in range(200):
            await cache.get(key())
        fake.fail("Get", LOST)
        await cache.get(key())  # successes have filled it


async def test_a_limit_that_is_too_short_does_not_open_it(fake: FakeServer, cache: CacheClient) -> None:
    fake.fail("Get", *[Fault(gate=asyncio.Event())] * 20)
    for _ in range(20):
        with pytest.raises(CacheError):
            await cache.get(key(), timeout_ms=1)
    assert not guard_of(cache).is_open


async def test_a_refused_key_opens_nothing(fake: FakeServer, cache: CacheClient) -> None:
    fake.fail("Get", *[Fault(reason=ErrorReason.ERROR_REASON_KEY_INVALID)] * MANY)
    fake.bad_items[str(key())] = ErrorReason.ERROR_REASON_KEY_INVALID
    for _ in range(20):
        with pytest.raises(InvalidRequest):
            await cache.get(key())
        with pytest.raises(BatchError):
            await cache.get_many([key()])
    assert not guard_of(cache).is_troubled


async def test_a_client_that_is_closed_ends_its_probe(fake: FakeServer, no_task_is_left: None) -> None:
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS, on_unavailable="miss") as cache:
        await lose_store(fake, cache)
        fake._faults.waiting["Get"] = [Fault(gate=asyncio.Event())]
        while guard_of(cache)._probe is None:
            await cache.get(key())


async def test_what_is_not_sent_is_not_told_that_it_may_have_taken_effect(
    fake: FakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(breaker, "FIRST_PROBE_S", 3_600.0)
    unknown = Fault(reason=ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, text="it may or may not have taken effect")
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS) as cache:
        fake.fail("Set", *[unknown] * MANY)
        while not guard_of(cache).is_open:
            with pytest.raises(CacheError):
                await cache.set(key(), 1)
        guard_of(cache)._breaker._probe_at_s = float("inf")
        with pytest.raises(Unavailable, match=r"the store did not answer in time .*not sent: the circuit breaker"):
            await cache.set(key(), 1)
