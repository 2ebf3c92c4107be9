"""When calls may be repeated, when they are not sent, when one asks whether the service is back: without a clock."""

from __future__ import annotations

from typing import Any

import pytest

from coherd import FailurePolicy, OpenKey
from coherd._rpc.breaker import (
    FIRST_PROBE_S,
    SPAN_S,
    TELLING_MS,
    Breaker,
    Cause,
    RetryBudget,
    batch_failure,
    cause_of,
    is_answer,
)
from coherd._rpc.calls import _read_of
from coherd._rpc.methods import KeyRead, KeysRead, ValueSet, ValuesSet
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, DeadlineExceeded, Unavailable, error_of
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import keys_pb2
from coherd.v1.errors_pb2 import ErrorReason

STORE = error_of(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "gone")
KEY = str(OpenKey("celery", "own", {"id": "1"}))


# The retry budget.


def test_the_budget_allows_repetitions_down_to_its_half_and_refills_by_success() -> None:
    budget = RetryBudget(20, 10)
    for _ in range(9):
        budget.spend()
    assert budget.allows
    budget.spend()
    assert not budget.allows, "half of it is spent"
    for _ in range(9):
        budget.earn()
    assert budget.allows
    for _ in range(100):
        budget.spend()
    for _ in range(100):
        budget.earn()
    assert not budget.allows, "never below nothing"
    for _ in range(100):
        budget.earn()
    assert budget.is_full
    budget.earn()
    budget.spend()
    assert not budget.is_full, "never above its size"


# The breaker.


def test_failures_in_a_row_over_a_while_open_it() -> None:
    breaker = Breaker(3, 0.25)
    assert not any(breaker.fail(Cause.STORE, 0.0) for _ in range(50)), "one event, however many calls"
    assert breaker.fail(Cause.STORE, SPAN_S)
    assert breaker.cause is Cause.STORE
    assert not breaker.fail(Cause.SERVICE, 1.0), "it is open already"
    assert breaker.cause is Cause.SERVICE


def test_a_success_in_between_begins_the_row_anew() -> None:
    """Where a part of the store is lost, calls to the rest succeed."""
    breaker = Breaker(3, 0.25)
    for number in range(100):
        assert not breaker.fail(Cause.STORE, number)
        assert not breaker.fail(Cause.STORE, number + 0.5)
        assert not breaker.succeed()
    assert breaker.cause is None


def test_one_probe_at_a_time_and_a_success_closes_it() -> None:
    breaker = Breaker(1, 0.25)
    assert not breaker.begin_probe(0.0), "it is closed"
    breaker.fail(Cause.STORE, 0.0)
    assert breaker.fail(Cause.STORE, 1.0)
    assert not breaker.begin_probe(1.0 + FIRST_PROBE_S / 2)
    assert breaker.begin_probe(1.0 + FIRST_PROBE_S)
    assert not breaker.begin_probe(50.0), "one is under way"
    breaker.fail(Cause.STORE, 50.0)
    breaker.end_probe(50.0)
    assert not breaker.begin_probe(50.2)
    assert breaker.begin_probe(50.25)
    assert breaker.succeed()
    breaker.end_probe(50.3)
    assert (breaker.cause, breaker.failures) == (None, 0)
    assert not breaker.begin_probe(60.0)


# What a failure says.


@pytest.mark.parametrize(
    ("error", "cause"),
    [
        (STORE, Cause.STORE),
        (error_of(ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, "perhaps"), Cause.STORE),
        (Unavailable("refused", retry=Retry.SAFE), Cause.SERVICE),
        (Unavailable("lost", retry=Retry.IDEMPOTENT), Cause.SERVICE),
        (DeadlineExceeded("late", reason=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED), Cause.SERVICE),
        (Unavailable("forked"), None),
        (error_of(ErrorReason.ERROR_REASON_DRAINING, "stops"), None),
        (error_of(ErrorReason.ERROR_REASON_OVERLOADED, "busy"), None),
        (error_of(ErrorReason.ERROR_REASON_STORE_FULL, "full"), None),
        (error_of(ErrorReason.ERROR_REASON_KEY_INVALID, "no"), None),
    ],
    ids=str,
)
def test_what_does_not_answer(error: CacheError, cause: Cause | None) -> None:
    assert cause_of(error, 1_000) is cause
    if error.reason != ErrorReason.ERROR_REASON_UNSPECIFIED:
        assert cause_of(error, TELLING_MS - 1) is None, "so short a limit says nothing"


def test_what_shows_that_service_and_store_are_well() -> None:
    well = {reason for reason in ErrorReason.values() if is_answer(CacheError("x", reason=reason))}
    kind = ErrorReason
    assert set(kind.values()) - well == {
        kind.ERROR_REASON_UNSPECIFIED,
        kind.ERROR_REASON_STORE_UNAVAILABLE,
        kind.ERROR_REASON_OUTCOME_UNKNOWN,
        kind.ERROR_REASON_DEADLINE_EXCEEDED,
        kind.ERROR_REASON_DRAINING,
        kind.ERROR_REASON_OVERLOADED,
    }


def test_a_batch_fails_if_each_of_its_items_did() -> None:
    lost = pb.BatchGetResult(error=pb.ItemError(reason=ErrorReason.ERROR_REASON_STORE_UNAVAILABLE))
    refused = pb.BatchGetResult(error=pb.ItemError(reason=ErrorReason.ERROR_REASON_KEY_INVALID))
    failure = batch_failure(pb.BatchGetResponse(results=[lost, lost]))
    assert failure is not None
    assert failure.reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
    for answer in (
        pb.BatchGetResponse(results=[lost, pb.BatchGetResult(miss=pb.Miss())]),
        pb.BatchGetResponse(results=[lost, refused]),
        pb.BatchGetResponse(),
        pb.GetResponse(miss=pb.Miss()),
        [STORE, b"7"],
        [STORE, error_of(ErrorReason.ERROR_REASON_KEY_INVALID, "no")],
        [],
        b"7",
    ):
        assert batch_failure(answer) is None
    assert batch_failure([STORE, STORE]) is not None


KEY_MESSAGE = keys_pb2.Key(text=KEY)


@pytest.mark.parametrize(
    "request_",
    [
        KeyRead(KEY, True),
        KeysRead([KEY, "other"]),
        ValueSet(KEY, b""),
        ValuesSet([KEY, "other"], [b"", b""]),
        pb.LeaseRequest(key=KEY_MESSAGE),
        pb.TouchRequest(key=KEY_MESSAGE),
        pb.FillRequest(set=pb.SetRequest(key=KEY_MESSAGE)),
        pb.BatchLeaseRequest(items=[pb.LeaseRequest(key=KEY_MESSAGE)]),
        pb.BatchFillRequest(items=[pb.FillRequest(set=pb.SetRequest(key=KEY_MESSAGE))]),
    ],
    ids=lambda request: type(request).__name__,
)
def test_a_probe_reads_the_key_of_the_call(request_: Any) -> None:
    assert _read_of(request_) == KeyRead(KEY)


@pytest.mark.parametrize("field", ["silence_ms", "retry_tokens", "retry_refill", "breaker_failures", "probe_ms"])
@pytest.mark.parametrize("value", [0, -1, 2**40, 1.0, True, None])
def test_numbers_out_of_range_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(ValueError, match=field):
        FailurePolicy(**{field: value})
