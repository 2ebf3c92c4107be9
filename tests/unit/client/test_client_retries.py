"""When a failed call is sent again, decided without clock or network."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from coherd._rpc import retries
from coherd._rpc.connection_events import ConnectionEvents
from coherd._rpc.failure_policy import FailurePolicy
from coherd._rpc.guard import Guard
from coherd._rpc.methods import METHODS, Effect
from coherd._rpc.retries import MAX_ATTEMPTS, MAX_BACKOFF_MS, Attempts, reached, repeat, retry_wait_ms
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, Unavailable, error_of
from coherd.v1.errors_pb2 import ErrorReason


def wait(effect: Effect, retry: Retry, **changes: float) -> float | None:
    arguments: dict[str, float] = {"attempts": 1, "retry_after_ms": 0, "remaining_ms": 10_000, "draw": 0.5, **changes}
    return retry_wait_ms(effect, retry, **arguments)  # type: ignore[arg-type]


@pytest.mark.parametrize("effect", Effect)
@pytest.mark.parametrize("retry", Retry)
def test_which_failures_are_repeated(effect: Effect, retry: Retry) -> None:
    repeated = wait(effect, retry) is not None
    assert repeated == (retry is Retry.SAFE or (retry is Retry.IDEMPOTENT and effect is not Effect.ONCE))


def test_effects_are_those_of_the_contract() -> None:
    once = {name for name, method in METHODS.items() if method.effect is Effect.ONCE}
    reads = {name for name, method in METHODS.items() if method.effect is Effect.READS}
    assert {"Set", "BatchSet", "Fill"} <= once
    assert reads == {"Get", "BatchGet", "Metrics", "DescribeCatalog"}
    assert {"Delete", "Touch", "Invalidate"} <= METHODS.keys() - once - reads


def test_attempts_are_bounded() -> None:
    assert wait(Effect.READS, Retry.SAFE, attempts=MAX_ATTEMPTS - 1) is not None
    assert wait(Effect.READS, Retry.SAFE, attempts=MAX_ATTEMPTS) is None


def test_attempts_that_reached_nobody_are_not_bounded() -> None:
    assert wait(Effect.ONCE, Retry.SAFE, attempts=1_000, sent=MAX_ATTEMPTS - 1) is not None
    assert wait(Effect.ONCE, Retry.SAFE, attempts=1_000, sent=MAX_ATTEMPTS) is None
    assert wait(Effect.ONCE, Retry.SAFE, attempts=1_000, sent=0, draw=1.0) == MAX_BACKOFF_MS


@pytest.mark.parametrize(
    ("error", "counts"),
    [
        (Unavailable("no connection", retry=Retry.SAFE), False),
        (Unavailable("lost", retry=Retry.IDEMPOTENT), True),
        (Unavailable("forked", retry=Retry.NEVER), True),
        (error_of(ErrorReason.ERROR_REASON_DRAINING, "stops"), False),
        (error_of(ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "gone"), True),
        (error_of(ErrorReason.ERROR_REASON_OVERLOADED, "busy"), True),
    ],
    ids=str,
)
def test_which_attempts_count(error: CacheError, counts: bool) -> None:
    assert reached(error) is counts


def test_back_off_doubles_up_to_its_bound() -> None:
    waits = [wait(Effect.READS, Retry.SAFE, attempts=n, draw=0.999_999) for n in range(1, MAX_ATTEMPTS)]
    assert [round(each or 0) for each in waits] == [50, 100, 200]
    assert MAX_BACKOFF_MS >= 200


@pytest.mark.parametrize("draw", [0.0, 0.25, 0.999])
def test_advised_wait_is_never_undercut_and_jitter_lies_above_it(draw: float) -> None:
    waited = wait(Effect.READS, Retry.SAFE, retry_after_ms=200, draw=draw)
    assert waited == pytest.approx(200 + 50 * draw)


def test_a_wait_past_the_deadline_is_no_wait() -> None:
    assert wait(Effect.READS, Retry.SAFE, retry_after_ms=200, remaining_ms=200, draw=0.0) is None
    assert wait(Effect.READS, Retry.SAFE, retry_after_ms=200, remaining_ms=201, draw=0.0) == 200
    assert wait(Effect.READS, Retry.SAFE, remaining_ms=-1, draw=0.0) is None


async def test_who_is_woken_too_late_hears_what_failed_and_not_that_the_time_is_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_s = 0.0

    async def sleep(seconds: float) -> None:
        nonlocal now_s
        now_s += 10 + seconds

    monkeypatch.setattr(retries, "time", SimpleNamespace(monotonic=lambda: now_s))
    monkeypatch.setattr(retries, "asyncio", SimpleNamespace(sleep=sleep))
    sent: list[float] = []

    async def send(until_s: float) -> None:
        sent.append(until_s)
        raise Unavailable("nobody listens", retry=Retry.SAFE)

    call = Attempts(send, send, Effect.ONCE, batch=None, limit_ms=1_000, has_fallback=False, must_be_tried=False)
    with pytest.raises(Unavailable, match=r"^nobody listens$"):
        await repeat(call, Guard(FailurePolicy(), ConnectionEvents(None)), deadline_s=1.0)
    assert sent == [1.0]
