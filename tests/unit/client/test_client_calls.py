"""Single calls of the client against a server that fails as told."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta

import grpc
import pytest
from fake_server import FakeServer, Fault

from coherd import (
    CacheClient,
    ClientClosed,
    DeadlineExceeded,
    ErrorReason,
    InvalidRequest,
    OpenKey,
    OutcomeUnknown,
    SetOutcome,
    Unavailable,
    UndecodableValue,
    ValueEncodeError,
)
from coherd._rpc.connection import MAX_CALLS
from coherd._rpc.endpoint import check_target
from coherd.domains import celery
from coherd.domains.celery.v1 import celery_pb2
from rig.waiting import until

KEY = OpenKey("content", "drafts", {"user": "u1"})
AWAY = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
UNKNOWN = ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN
NOWHERE = "127.0.0.1:1"


async def test_advised_wait_is_kept_and_the_call_repeated(cache: CacheClient, fake: FakeServer) -> None:
    await cache.set(KEY, 1)
    fake.fail("Get", Fault(reason=AWAY, retry_after_ms=150), Fault(reason=AWAY, retry_after_ms=150))
    started_s = time.monotonic()
    assert await cache.get(KEY) == 1
    assert time.monotonic() - started_s >= 0.3
    assert fake.calls["Get"] == 3


async def test_calls_are_sent_four_times_at_most(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Get", *[Fault(reason=AWAY, retry_after_ms=1)] * 9)
    with pytest.raises(Unavailable):
        await cache.get(KEY)
    assert fake.calls["Get"] == 4


async def test_no_wait_reaches_past_the_deadline(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Get", Fault(reason=AWAY, retry_after_ms=40_000))
    started_s = time.monotonic()
    with pytest.raises(Unavailable):
        await cache.get(KEY, timeout_ms=30_000)
    assert time.monotonic() - started_s < 25
    assert fake.calls["Get"] == 1


@pytest.mark.parametrize(
    "fault", [Fault(reason=UNKNOWN, after=True), Fault(code=grpc.StatusCode.UNAVAILABLE, after=True)]
)
async def test_a_set_that_may_have_happened_is_never_repeated(
    cache: CacheClient, fake: FakeServer, fault: Fault
) -> None:
    """[no-blind-replay]"""
    fake.fail("Set", fault)
    with pytest.raises(OutcomeUnknown):
        await cache.set(KEY, 1)
    assert fake.calls["Set"] == 1


async def test_a_set_that_surely_did_not_happen_is_repeated(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Set", Fault(reason=AWAY, retry_after_ms=1))
    assert await cache.set(KEY, 1)
    assert fake.calls["Set"] == 2


async def test_deletes_and_invalidations_are_repeated(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Delete", Fault(reason=UNKNOWN, after=True))
    fake.fail("Invalidate", Fault(code=grpc.StatusCode.UNAVAILABLE))
    await cache.delete(KEY)
    await cache.invalidate(KEY)
    assert (fake.calls["Delete"], fake.calls["Invalidate"]) == (2, 2)


async def test_a_delete_that_may_have_happened_is_not_told_as_undone(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Delete", Fault(reason=UNKNOWN), *[Fault(reason=AWAY, retry_after_ms=1)] * 3)
    with pytest.raises(OutcomeUnknown):
        await cache.delete(KEY)


async def test_the_deadline_covers_all(cache: CacheClient, fake: FakeServer) -> None:
    never = asyncio.Event()
    fake.fail("Get", Fault(gate=never))
    async with asyncio.timeout(60):
        with pytest.raises(DeadlineExceeded):
            await cache.get(KEY, timeout_ms=200)


async def test_cancelling_one_call_disturbs_no_other(cache: CacheClient, fake: FakeServer) -> None:
    keys = [OpenKey("content", "drafts", {"user": f"u{n}"}) for n in range(40)]
    await cache.set_many({key: n for n, key in enumerate(keys)})
    gate = asyncio.Event()
    fake.fail("Get", *[Fault(gate=gate)] * 40)
    tasks = [asyncio.create_task(cache.get(key)) for key in keys]
    await until("all are under way", lambda: fake.watch.running == 40)
    for task in tasks[::2]:
        task.cancel()
    gate.set()
    answers = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(answer, asyncio.CancelledError) for answer in answers[::2])
    assert answers[1::2] == list(range(1, 40, 2))


async def test_closing_ends_calls_with_an_error_not_a_cancellation(fake: FakeServer) -> None:
    cache = CacheClient.connect(fake.target)
    fake.fail("Get", Fault(gate=asyncio.Event()))
    waiting = asyncio.create_task(cache.get(KEY))
    await until("it is under way", lambda: fake.watch.running == 1)
    await cache.close()
    await cache.close()
    with pytest.raises(ClientClosed):
        await waiting
    with pytest.raises(ClientClosed):
        await cache.get(KEY)


async def test_the_token_travels(fake: FakeServer) -> None:
    async with CacheClient.connect(fake.target, token="t0k3n") as cache:
        await cache.get(KEY)
    assert fake.watch.metadata["authorization"] == "Bearer t0k3n"


@pytest.mark.parametrize("token", ["s3cret\n", "s3crét", "s3cret\t", "s3cret\udcff"])
@pytest.mark.parametrize("sessions", [True, False])
def test_a_token_that_grpc_cannot_carry_is_refused_at_once_and_not_shown(token: str, sessions: bool) -> None:
    with pytest.raises(ValueError, match="the token has characters other than printable ASCII") as caught:
        CacheClient.connect(NOWHERE, token=token, sessions=sessions)
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize("sessions", [True, False])
async def test_a_read_of_nobody_says_whom_it_sought(sessions: bool) -> None:
    async with CacheClient.connect("127.0.0.1:1", sessions=sessions, timeout_ms=3_000) as client:
        with pytest.raises(Unavailable, match=r"cannot connect to the service at 127\.0\.0\.1:1"):
            await client.get(KEY)


@pytest.mark.parametrize("target", ["localhost", "http://localhost:50051", "HTTPS://coherd.internal", ""])
def test_a_target_that_cannot_be_one_is_refused_at_once(target: str) -> None:
    for sessions in (True, False):
        with pytest.raises(ValueError, match="write host:port, like localhost:50051"):
            CacheClient.connect(target, sessions=sessions)


@pytest.mark.parametrize("target", ["localhost:1", "[::1]:50051", "unix:/tmp/s", "dns:///coherd.internal:50051"])
def test_whatever_grpc_takes_is_a_target(target: str) -> None:
    assert check_target(target) == target


async def test_nothing_listening_is_unavailable_for_sets_too() -> None:
    async with CacheClient.connect(NOWHERE, timeout_ms=1_000) as cache:
        for call in (cache.get(KEY), cache.set(KEY, 1), cache.delete(KEY), cache.get_many([KEY]), cache.metrics()):
            with pytest.raises(Unavailable):
                await call


async def test_going_on_without_the_service() -> None:
    async with CacheClient.connect(NOWHERE, on_unavailable="miss", timeout_ms=1_000) as cache:
        assert await cache.get(KEY, default=7) == 7
        assert await cache.get_entry(KEY) is None
        assert await cache.get_many([KEY]) == {}
        dropped = await cache.set(KEY, 1)
        assert not dropped
        assert dropped.outcome is SetOutcome.DROPPED
        assert not await cache.set_nothing(KEY, ttl=timedelta(seconds=1))
        assert (await cache.set_many({KEY: 1}))[KEY].outcome is SetOutcome.DROPPED
        assert not await cache.touch(KEY)
        for call in (cache.delete(KEY), cache.invalidate(KEY), cache.metrics()):
            with pytest.raises(Unavailable):
                await call


async def test_going_on_hides_no_mistake(fake: FakeServer) -> None:
    async with CacheClient.connect(fake.target, on_unavailable="miss") as cache:
        with pytest.raises(InvalidRequest):
            await cache.get(OpenKey("nowhere", "x"))
        fake.fail("Set", Fault(reason=UNKNOWN))
        assert (await cache.set(KEY, 1)).outcome is SetOutcome.DROPPED


async def read_or_away(cache: CacheClient) -> object:
    """What is read, "miss" where nothing is; "away" where the service is not found."""
    try:
        return await cache.get(KEY, default="miss", timeout_ms=20_000)
    except Unavailable:
        return "away"


async def test_a_restarted_server_is_found_again() -> None:
    async with FakeServer() as first:
        target = first.target
        cache = CacheClient.connect(target)
        await cache.set(KEY, 1)
    with pytest.raises(Unavailable):
        await cache.get(KEY, timeout_ms=1_500)
    async with FakeServer(target=target), asyncio.timeout(60):
        while await read_or_away(cache) != "miss":  # noqa: ASYNC110 - nobody tells when it is found
            await asyncio.sleep(0.05)
    await cache.close()


async def test_wrong_values_and_payloads_name_the_resource_only(cache: CacheClient, fake: FakeServer) -> None:
    key = celery.TaskMetrics(id="secret-task")
    with pytest.raises(ValueEncodeError):
        await cache.set(key, {"state": "secret"})  # type: ignore[misc]
    await cache.set(key, celery_pb2.TaskMetrics(retries=3))
    with pytest.raises(UndecodableValue, match=r"^celery:task_metrics: ") as caught:
        await cache.get(OpenKey.parse(str(key)), default="miss")
    assert "secret" not in str(caught.value)


async def test_arguments_of_the_wrong_type_are_refused_before_sending(cache: CacheClient, fake: FakeServer) -> None:
    with pytest.raises(TypeError, match="OpenKey"):
        await cache.get("content:drafts:user:u1")  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="OpenKey"):
        await cache.get_many(["content:drafts:user:u1"])  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="timedelta"):
        await cache.set(KEY, 1, ttl=60)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="timeout_ms"):
        await cache.get(KEY, timeout_ms=0)
    with pytest.raises(InvalidRequest):
        await cache.invalidate()
    assert not fake.calls


async def test_a_burst_of_calls_stays_below_the_services_limit_of_streams(cache: CacheClient, fake: FakeServer) -> None:
    """What exceeds it is lost without a reason: the client lets only so many out at one time."""
    keys = [OpenKey("content", "drafts", {"user": f"u{n}"}) for n in range(MAX_CALLS + 200)]
    gate = asyncio.Event()
    fake.fail("Set", *(Fault(gate=gate) for _ in keys))
    sets = [asyncio.create_task(cache.set(key, 1, timeout_ms=120_000)) for key in keys]
    await until("many are out", lambda: fake.watch.running > 100)
    await asyncio.sleep(0.3)  # whatever more it lets out has time to come
    gate.set()
    results = await asyncio.gather(*sets)
    assert {one.outcome for one in results} == {SetOutcome.STORED}
    assert 100 < fake.watch.most_running <= MAX_CALLS
