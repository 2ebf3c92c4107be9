"""A batch as a whole: its time limit, which of its items are sent again, and what is said of those that failed."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import grpc
import pytest
from fake_server import PATIENT_MS, FakeServer, Fault
from session_server import SessionServer, failed, hit, opened, stored

import coherd.sync
from coherd import BatchError, CacheClient, CacheError, ErrorReason, OpenKey, OutcomeUnknown, Unavailable
from coherd._calls import time_limit
from coherd._calls.batches import Part, run_calls
from coherd._rpc.methods import Method
from coherd.catalog.load import builtin_catalog
from coherd.contract.reasons import Retry
from coherd.errors import DeadlineExceeded, NotPermitted, error_of
from coherd.testing import FakeClock
from coherd.testing.transport import MemoryTransport

KEYS = [OpenKey("celery", "own", {"id": f"k{number:04}"}) for number in range(8_000)]
CONTENDED = ErrorReason.ERROR_REASON_CONTENDED
"""Safe, after 20 ms."""
UNKNOWN = ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN
FOREIGN = ErrorReason.ERROR_REASON_FOREIGN_VALUE


class Slow(MemoryTransport):
    """The memory of a `FakeCache`, where each request takes some time of a clock."""

    def __init__(self, request_ms: int) -> None:
        super().__init__(builtin_catalog(), FakeClock(), draw=lambda: 0.0)
        self.request_ms = request_ms
        self.now_s = 0.0
        self.limits: list[tuple[str, int]] = []
        """Rpc and time limit of each request."""

    async def call(self, method: Method[Any, Any], request: Any, timeout_ms: int, has_fallback: bool = False) -> Any:
        self.limits.append((method.rpc, timeout_ms))
        self.now_s += self.request_ms / 1_000
        await asyncio.sleep(0)
        return await super().call(method, request, timeout_ms, has_fallback)

    def limits_of(self, rpc: str) -> list[int]:
        return [limit_ms for name, limit_ms in self.limits if name == rpc]


@pytest.fixture
def slow(monkeypatch: pytest.MonkeyPatch) -> Slow:
    transport = Slow(128)
    monkeypatch.setattr(time_limit, "time", SimpleNamespace(monotonic=lambda: transport.now_s))
    return transport


@pytest.mark.parametrize("verb", ["get_many", "set_many"])
async def test_each_part_has_what_is_left_and_what_is_too_late_is_not_sent(slow: Slow, verb: str) -> None:
    async with CacheClient(slow) as cache:
        if verb == "set_many":
            done = cache.set_many(dict.fromkeys(KEYS, 1), timeout_ms=512)
        else:
            await cache.set_many(dict.fromkeys(KEYS, 1), timeout_ms=PATIENT_MS)
            slow.limits.clear()
            done = cache.get_many(KEYS, timeout_ms=512)
        with pytest.raises(BatchError) as caught:
            await done
    assert [limit_ms for _, limit_ms in slow.limits] == [512, 384, 256, 128]
    assert list(caught.value.results) == KEYS[:4_000]
    assert list(caught.value.errors) == KEYS[4_000:]
    assert {(type(error), error.retry) for error in caught.value.errors.values()} == {(DeadlineExceeded, Retry.SAFE)}
    assert caught.value.retry is Retry.SAFE


async def test_who_goes_on_without_the_service_does_so_where_the_time_is_up(slow: Slow) -> None:
    async with CacheClient(slow, on_unavailable="miss") as cache:
        outcomes = await cache.set_many(dict.fromkeys(KEYS, 1), timeout_ms=512)
        assert [bool(outcomes[key]) for key in KEYS] == [True] * 4_000 + [False] * 4_000
        assert list(await cache.get_many(KEYS, timeout_ms=256)) == KEYS[:2_000]


async def test_the_selectors_of_an_invalidation_have_one_limit(slow: Slow) -> None:
    async with CacheClient(slow) as cache:
        with pytest.raises(DeadlineExceeded) as caught:
            await cache.invalidate(*KEYS[:450], timeout_ms=512)
    assert slow.limits_of("Invalidate") == [512, 384, 256, 128]
    assert caught.value.retry is Retry.IDEMPOTENT


async def test_loads_of_many_have_one_limit_for_asking_and_one_for_storing(slow: Slow) -> None:
    slow.request_ms = 32
    async with CacheClient(slow) as cache:
        loaded = await cache.get_or_load_many(KEYS, lambda keys: dict.fromkeys(keys, 1), timeout_ms=512)
    assert len(loaded) == len(KEYS)
    falling = [512 - 32 * number for number in range(8)]
    assert slow.limits_of("BatchLease") == falling
    assert slow.limits_of("BatchFill") == falling


async def test_items_that_failed_safely_are_sent_again_and_no_others(cache: CacheClient, fake: FakeServer) -> None:
    keys = KEYS[:4]
    fake.bad_once.update({keys[1]: [CONTENDED, CONTENDED], keys[2]: [UNKNOWN, CONTENDED]})
    with pytest.raises(BatchError) as caught:
        await cache.set_many(dict.fromkeys(keys, 1))
    assert fake.asked == [keys, [keys[1]], [keys[1]]], "a set that may have been done is not repeated"
    assert list(caught.value.results) == [keys[0], keys[1], keys[3]]
    assert {key: type(error) for key, error in caught.value.errors.items()} == {keys[2]: OutcomeUnknown}
    assert caught.value.retry is Retry.IDEMPOTENT

    fake.asked.clear()
    fake.bad_once.update({keys[1]: [CONTENDED], keys[2]: [UNKNOWN], keys[3]: [FOREIGN]})
    with pytest.raises(BatchError) as caught:
        await cache.get_many(keys)
    assert fake.asked == [keys, [keys[1], keys[2]]]
    assert caught.value.results == {keys[0]: 1, keys[1]: 1}
    assert {key: error.reason for key, error in caught.value.errors.items()} == {keys[3]: FOREIGN}
    assert caught.value.retry is Retry.NEVER


async def test_loads_of_many_send_leases_and_fills_again(cache: CacheClient, fake: FakeServer) -> None:
    keys = KEYS[:3]
    fake.bad_once.update({keys[1]: [CONTENDED, 0, CONTENDED]})
    assert await cache.get_or_load_many(keys, lambda keys: dict.fromkeys(keys, 1)) == dict.fromkeys(keys, 1)
    assert fake.asked == [keys, [keys[1]], keys, [keys[1]]]
    assert await cache.get_many(keys) == dict.fromkeys(keys, 1)


async def test_a_lease_of_a_batch_that_may_be_held_is_released(cache: CacheClient, fake: FakeServer) -> None:
    keys = KEYS[:3]
    fake.bad_once.update({keys[1]: [CONTENDED]})
    fake.fail("BatchLease", Fault(), Fault(code=grpc.StatusCode.UNAVAILABLE, after=True))
    with pytest.raises(BatchError) as caught:
        await cache.get_or_load_many(keys, lambda keys: dict.fromkeys(keys, 1), on_unavailable="raise")
    assert isinstance(caught.value.errors[keys[1]], CacheError)
    assert caught.value.errors[keys[1]].retry is Retry.IDEMPOTENT
    assert await cache.get_or_load(keys[1], lambda _: 5) == 5


async def test_an_item_is_sent_four_times_at_most(cache: CacheClient, fake: FakeServer) -> None:
    fake.bad_items[KEYS[1]] = CONTENDED
    with pytest.raises(BatchError) as caught:
        await cache.set_many(dict.fromkeys(KEYS[:2], 1))
    assert fake.asked == [KEYS[:2], *[[KEYS[1]]] * 3]
    assert (caught.value.reason, caught.value.retry, caught.value.retry_after_ms) == (CONTENDED, Retry.SAFE, 20)


async def test_a_repetition_that_may_have_arrived_makes_its_items_unknown(cache: CacheClient, fake: FakeServer) -> None:
    fake.bad_once[KEYS[1]] = [CONTENDED]
    fake.fail("BatchSet", Fault(), Fault(code=grpc.StatusCode.UNAVAILABLE, after=True))
    with pytest.raises(BatchError) as caught:
        await cache.set_many(dict.fromkeys(KEYS[:2], 1))
    assert list(caught.value.results) == [KEYS[0]]
    assert isinstance(caught.value.errors[KEYS[1]], OutcomeUnknown)
    assert caught.value.retry is Retry.IDEMPOTENT


async def test_a_session_sends_items_again_too() -> None:
    async with (
        SessionServer() as server,
        CacheClient.connect(server.target, near_cache=False, timeout_ms=PATIENT_MS) as cache,
    ):
        session = await opened(server, cache)
        gets = asyncio.create_task(cache.get_many(KEYS[:3]))
        asked = await session.operations(3)
        await session.answer(hit(asked[0]), failed(asked[1], CONTENDED), hit(asked[2]))
        [again] = await session.operations(1)
        assert again.get.key.text == KEYS[1]
        await session.answer(hit(again))
        assert await gets == dict.fromkeys(KEYS[:3], 7)

        sets = asyncio.create_task(cache.set_many(dict.fromkeys(KEYS[:3], 1)))
        asked = await session.operations(3)
        await session.answer(stored(asked[0]), failed(asked[1], CONTENDED), failed(asked[2], UNKNOWN))
        [again] = await session.operations(1)
        assert again.set.key.text == KEYS[1]
        await session.answer(stored(again))
        with pytest.raises(BatchError) as caught:
            await sets
        assert list(caught.value.errors) == [KEYS[2]]


async def test_the_blocking_client_sends_items_again_too(fake: FakeServer) -> None:
    fake.bad_once[KEYS[1]] = [CONTENDED]

    def store() -> Any:
        with coherd.sync.CacheClient.connect(fake.target, timeout_ms=PATIENT_MS) as cache:
            return cache.set_many(dict.fromkeys(KEYS[:2], 1))

    assert all((await asyncio.to_thread(store)).values())
    assert fake.asked == [KEYS[:2], [KEYS[1]]]


async def test_a_batch_of_which_all_failed_alike_is_as_unknown_as_its_worst_part() -> None:
    failures = [Unavailable("not sent", retry=Retry.SAFE), Unavailable("lost", retry=Retry.IDEMPOTENT)]

    async def fail(at: int) -> Part:
        raise failures[at]

    with pytest.raises(Unavailable, match="lost"):
        await run_calls([0, 1], fail, lambda at: [at])


@pytest.mark.parametrize(
    ("reasons", "retry", "retry_after_ms"),
    [
        ((CONTENDED, ErrorReason.ERROR_REASON_STORE_UNAVAILABLE), Retry.SAFE, 200),
        ((CONTENDED, UNKNOWN), Retry.IDEMPOTENT, 20),
        ((CONTENDED, UNKNOWN, FOREIGN), Retry.NEVER, 20),
    ],
)
def test_the_retry_class_of_a_batch_is_that_of_its_items(
    reasons: tuple[ErrorReason, ...], retry: Retry, retry_after_ms: int
) -> None:
    advised = {CONTENDED: 20, ErrorReason.ERROR_REASON_STORE_UNAVAILABLE: 200}
    errors = {key: error_of(key, "it", retry_after_ms=advised.get(key, 0)) for key in reasons}
    error = BatchError({}, errors)
    assert (error.retry, error.retry_after_ms, error.reason) == (retry, retry_after_ms, reasons[0])


async def test_items_end_with_what_a_repetition_failed_of(cache: CacheClient, fake: FakeServer) -> None:
    fake.bad_once[KEYS[1]] = [CONTENDED]
    fake.fail("BatchGet", Fault(), Fault(reason=ErrorReason.ERROR_REASON_PERMISSION_DENIED))
    with pytest.raises(BatchError) as caught:
        await cache.get_many(KEYS[:2])
    assert {key: type(error) for key, error in caught.value.errors.items()} == {KEYS[1]: NotPermitted}
    assert caught.value.retry is Retry.NEVER
