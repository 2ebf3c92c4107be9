"""Status to error: by details, then by code, never by a server's text."""

from __future__ import annotations

import asyncio
import pickle

import grpc
import pytest
from fake_server import FakeServer, Fault

import coherd
from coherd import CacheClient, ErrorReason, OpenKey, Refusal, errors
from coherd.contract.reasons import REASONS, Retry
from coherd.domains import content

KEY = OpenKey("content", "drafts", {"user": "secret-user"})


async def failure(cache: CacheClient, fake: FakeServer, fault: Fault) -> errors.CacheError:
    fake.fail("Set", *[fault] * 4)
    with pytest.raises(errors.CacheError) as caught:
        await cache.set(KEY, "secret-value", timeout_ms=30_000)
    return caught.value


def test_every_reason_has_a_class() -> None:
    assert errors.BY_REASON.keys() == set(ErrorReason.values()) - {ErrorReason.ERROR_REASON_UNSPECIFIED}


def test_reasons_have_the_names_of_the_docs() -> None:
    assert errors.CacheError("x", reason=ErrorReason.ERROR_REASON_TTL_INVALID).reason_name == "TTL_INVALID"
    assert errors.CacheError("x").reason_name == "UNSPECIFIED"
    assert errors.CacheError("x", reason=987_654).reason_name == "987654"


def test_unavailable_means_that_nothing_was_changed() -> None:
    safe = {reason for reason, rule in REASONS.items() if rule.retry is Retry.SAFE}
    assert safe == {reason for reason, kind in errors.BY_REASON.items() if issubclass(kind, errors.Unavailable)}


@pytest.mark.parametrize("reason", sorted(REASONS))
async def test_reason_field_and_advice_arrive(cache: CacheClient, fake: FakeServer, reason: int) -> None:
    # A server that drains is asked until the time is up: this advice is longer.
    after_ms = 40_000 if reason == ErrorReason.ERROR_REASON_DRAINING else 1
    error = await failure(cache, fake, Fault(reason=reason, text="why", field="ttl_ms", retry_after_ms=after_ms))
    assert type(error) is errors.BY_REASON[reason]
    assert (error.reason, error.retry) == (reason, REASONS[reason].retry)
    assert (str(error), error.field, error.retry_after_ms) == ("why", "ttl_ms", after_ms)
    copy = pickle.loads(pickle.dumps(error))
    assert (type(copy), str(copy), copy.__dict__) == (type(error), str(error), error.__dict__)


BY_CODE = {
    grpc.StatusCode.UNAVAILABLE: errors.OutcomeUnknown,  # it had arrived
    grpc.StatusCode.CANCELLED: errors.OutcomeUnknown,
    grpc.StatusCode.DEADLINE_EXCEEDED: errors.DeadlineExceeded,
    grpc.StatusCode.RESOURCE_EXHAUSTED: errors.Overloaded,
    grpc.StatusCode.INVALID_ARGUMENT: errors.InvalidRequest,
    grpc.StatusCode.UNAUTHENTICATED: errors.NotPermitted,
    grpc.StatusCode.PERMISSION_DENIED: errors.NotPermitted,
    grpc.StatusCode.UNIMPLEMENTED: errors.NotServed,
}


@pytest.mark.parametrize("code", [code for code in grpc.StatusCode if code is not grpc.StatusCode.OK])
async def test_status_of_a_stranger_maps_by_code(cache: CacheClient, fake: FakeServer, code: grpc.StatusCode) -> None:
    error = await failure(cache, fake, Fault(code=code, text="KeyError: secret-user secret-value"))
    assert type(error) is BY_CODE.get(code, errors.ServerDefect)
    assert fake.calls["Set"] == 1
    assert "secret" not in str(error)


async def test_text_decides_nothing(cache: CacheClient, fake: FakeServer) -> None:
    fake.fail("Get", Fault(code=grpc.StatusCode.FAILED_PRECONDITION, text="STORE_UNAVAILABLE: try again"))
    with pytest.raises(errors.ServerDefect):
        await cache.get(KEY)
    assert fake.calls["Get"] == 1


async def test_errors_are_what_callers_catch_already(cache: CacheClient, fake: FakeServer) -> None:
    invalid = await failure(cache, fake, Fault(reason=ErrorReason.ERROR_REASON_TTL_INVALID))
    assert isinstance(invalid, ValueError)
    fake.fail("Get", Fault(gate=asyncio.Event()))
    with pytest.raises(TimeoutError):
        await cache.get(KEY, timeout_ms=50)


def test_batch_errors_survive_pickling() -> None:
    error = errors.BatchError({KEY: 1}, {KEY: errors.InvalidRequest("no", reason=3, field="key")})
    copy = pickle.loads(pickle.dumps(error))
    assert (copy.results, copy.errors[KEY].field, copy.reason) == ({KEY: 1}, "key", 3)


def test_public_names_resolve() -> None:
    assert [name for name in coherd.__all__ if getattr(coherd, name, None) is None] == []
    assert set(coherd.__all__) <= set(dir(coherd))
    with pytest.raises(AttributeError):
        _ = coherd.nothing


def test_a_key_that_cannot_be_made_is_refused_as_the_service_would() -> None:
    with pytest.raises(errors.CacheError) as caught:
        content.Topics(user="x" * 600)
    refusal = caught.value
    assert isinstance(refusal, Refusal)
    assert isinstance(refusal, errors.InvalidRequest)
    assert isinstance(refusal, ValueError)
    assert (refusal.reason_name, refusal.field, refusal.retry) == ("IDENTIFIER_INVALID", "user", Retry.NEVER)
    again = pickle.loads(pickle.dumps(refusal))
    assert (type(again), str(again), again.reason, again.field) == (
        Refusal,
        str(refusal),
        refusal.reason,
        refusal.field,
    )
