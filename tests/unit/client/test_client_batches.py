"""Many keys: splitting, joining, and losing nothing where some fail."""

from __future__ import annotations

import asyncio

import grpc
import pytest
from fake_server import PATIENT_MS, FakeServer, Fault

from coherd import (
    BatchError,
    CacheClient,
    ErrorReason,
    FailurePolicy,
    InvalidRequest,
    OpenKey,
    SetOutcome,
    Unavailable,
    UndecodableValue,
)
from coherd._calls.batches import MAX_CALL_BYTES, MAX_CALL_ITEMS, split_payloads
from coherd.domains import celery
from coherd.domains.celery.v1 import celery_pb2
from coherd.v1 import cache_service_pb2 as wire
from rig.waiting import until

FOREIGN = ErrorReason.ERROR_REASON_FOREIGN_VALUE
AWAY = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE


def draft(name: object) -> OpenKey:
    return OpenKey("content", "drafts", {"user": f"u{name}"})


async def test_long_batches_are_split_and_joined_in_order(cache: CacheClient, fake: FakeServer) -> None:
    keys = [draft(n) for n in range(6_500)]
    assert all((await cache.set_many({key: n for n, key in enumerate(keys)}, timeout_ms=60_000)).values())
    gate = asyncio.Event()
    fake.fail("BatchGet", *[Fault(gate=gate)] * 7)
    fake.watch.most_running = 0
    asked = asyncio.create_task(cache.get_many(keys[::-1], timeout_ms=60_000))
    await until("some are under way together", lambda: fake.watch.running > 1)
    gate.set()
    many = await asked
    assert list(many.items()) == [(key, n) for n, key in reversed(list(enumerate(keys)))]
    assert (fake.largest_batch, fake.calls["BatchGet"], fake.calls["BatchSet"]) == (MAX_CALL_ITEMS, 7, 7)
    assert 1 < fake.watch.most_running <= 4


async def test_misses_are_absent_and_keys_asked_once(cache: CacheClient, fake: FakeServer) -> None:
    await cache.set(draft(1), 0)
    assert await cache.get_many([draft(2), draft(1), draft(1)]) == {draft(1): 0}
    assert fake.largest_batch == 2
    assert await cache.get_many([]) == {}
    assert await cache.set_many({}) == {}
    assert fake.calls["BatchGet"] == 1


async def test_one_bad_item_fails_no_other(cache: CacheClient, fake: FakeServer) -> None:
    await cache.set_many({draft(1): "a", draft(2): "b"})
    fake.bad_items[draft(1)] = FOREIGN
    with pytest.raises(BatchError) as caught:
        await cache.get_many([draft(1), draft(2), draft(3)])
    assert caught.value.results == {draft(2): "b"}
    assert {key: error.reason for key, error in caught.value.errors.items()} == {draft(1): FOREIGN}
    assert "u1" not in str(caught.value)
    with pytest.raises(BatchError) as caught:
        await cache.set_many({draft(1): 1, draft(2): 2})
    assert caught.value.results[draft(2)].outcome is SetOutcome.STORED
    assert caught.value.errors[draft(1)].reason == FOREIGN


async def test_a_payload_that_does_not_decode_is_an_item_that_failed(cache: CacheClient) -> None:
    task = celery.TaskMetrics(id="t1")
    await cache.set(task, celery_pb2.TaskMetrics(retries=3))
    await cache.set(draft(1), 1)
    with pytest.raises(BatchError) as caught:
        await cache.get_many([OpenKey.parse(str(task)), draft(1)])
    assert caught.value.results == {draft(1): 1}
    assert isinstance(caught.value.errors[task], UndecodableValue)


async def test_an_empty_message_is_a_value(cache: CacheClient) -> None:
    task = celery.TaskMetrics(id="t1")
    await cache.set(task, celery_pb2.TaskMetrics())
    assert await cache.get_many([task]) == {task: celery_pb2.TaskMetrics()}


async def test_a_failed_call_of_several_loses_no_answer_of_the_others(cache: CacheClient, fake: FakeServer) -> None:
    keys = [draft(n) for n in range(2_000)]
    await cache.set_many(dict.fromkeys(keys, 1))
    fake.fail("BatchGet", Fault(reason=ErrorReason.ERROR_REASON_PERMISSION_DENIED))
    with pytest.raises(BatchError) as caught:
        await cache.get_many(keys)
    assert len(caught.value.results) == len(caught.value.errors) == 1_000
    assert caught.value.results.keys() | caught.value.errors.keys() == set(keys)


async def test_calls_that_all_fail_alike_fail_as_one(fake: FakeServer) -> None:
    never = FailurePolicy(breaker_failures=1_000_000)
    async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS, failures=never) as cache:
        fake.fail("BatchGet", *[Fault(reason=AWAY, retry_after_ms=1)] * 8)
        with pytest.raises(Unavailable):
            await cache.get_many([draft(n) for n in range(2_000)])
        fake.fail("BatchGet", Fault(reason=ErrorReason.ERROR_REASON_BATCH_TOO_LARGE))
        with pytest.raises(InvalidRequest):
            await cache.get_many([draft(1)])


async def test_going_on_without_part_of_the_service(fake: FakeServer) -> None:
    async with CacheClient.connect(fake.target, on_unavailable="miss", timeout_ms=60_000) as cache:
        await cache.set_many({draft(1): 1, draft(2): 2})
        fake.bad_items[draft(1)] = AWAY
        assert await cache.get_many([draft(1), draft(2)]) == {draft(2): 2}
        outcomes = await cache.set_many({draft(1): 1, draft(2): 2})
        assert [bool(outcomes[draft(n)]) for n in (1, 2)] == [False, True]
        fake.bad_items[draft(1)] = FOREIGN
        with pytest.raises(BatchError):
            await cache.get_many([draft(1), draft(2)])


async def test_an_answer_too_large_for_the_connection_is_asked_for_in_parts() -> None:
    async with (
        FakeServer(options=[("grpc.max_send_message_length", 1 << 20)]) as fake,
        CacheClient.connect(fake.target) as cache,
    ):
        values = {draft(n): "x" * 50_000 for n in range(60)}
        await cache.set_many(values)
        assert await cache.get_many(values) == values
        assert fake.calls["BatchGet"] > 1
        fake.fail("BatchGet", Fault(code=grpc.StatusCode.RESOURCE_EXHAUSTED))
        with pytest.raises(Unavailable):
            await cache.get_many([draft(1)])


def test_sets_are_split_by_size_too() -> None:
    def sizes(sets: list[tuple[OpenKey, wire.SetRequest]]) -> list[int]:
        return [len(call) for call in split_payloads(sets, lambda request: request.value)]

    items = [(draft(n), wire.SetRequest(value=b"x" * (1 << 20))) for n in range(9)]
    assert sizes(items) == [4, 4, 1]
    huge = (draft("huge"), wire.SetRequest(value=b"x" * (2 * MAX_CALL_BYTES)))
    assert sizes([huge, *items[:1], huge]) == [1, 1, 1]
