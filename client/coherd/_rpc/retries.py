"""Whether and when a failed call is sent again: `retry_wait_ms` decides, with time and randomness as arguments, and
`repeat` does it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, Generic, NamedTuple, TypeVar, cast

from coherd._rpc.batch_tries import BatchTries
from coherd._rpc.guard import Guard
from coherd._rpc.methods import Effect
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, OutcomeUnknown, Unavailable
from coherd.v1.errors_pb2 import ErrorReason

T = TypeVar("T")

MAX_ATTEMPTS: Final = 4
"""Most times one call is sent, or tried for a caller who can go on without the service."""
FIRST_BACKOFF_MS: Final = 50
MAX_BACKOFF_MS: Final = 400
"""Nothing is sent while there is no connection, and after it is back nobody is to wait for long."""


def reached(error: CacheError) -> bool:
    """Whether a call that failed counts as sent: not if there was no connection, or the server is about to stop. Such a
    call is tried until its time is up, so that a restart is bridged."""
    if error.reason == ErrorReason.ERROR_REASON_DRAINING:
        return False
    unreached = error.reason == ErrorReason.ERROR_REASON_UNSPECIFIED and error.retry is Retry.SAFE
    return not (unreached and isinstance(error, Unavailable))


def retry_wait_ms(
    effect: Effect,
    retry: Retry,
    *,
    attempts: int,
    retry_after_ms: int,
    remaining_ms: float,
    draw: float,
    sent: int | None = None,
) -> float | None:
    """How long to wait before sending a failed call again; None: give up.

    The wait is the advised one plus exponential back-off with full jitter, so that callers that failed together do not
    return together (Brooker, "Exponential Backoff And Jitter", 2015).

    Args:
        effect: of the request.
        retry: class of the failure.
        attempts: times the call was tried, >= 1.
        retry_after_ms: advised wait, 0 if none.
        remaining_ms: until the call's deadline.
        draw: random number in ``[0, 1)``.
        sent: attempts that count, at most `MAX_ATTEMPTS`. None: all of them.
    """
    if retry is Retry.NEVER or (retry is Retry.IDEMPOTENT and effect is Effect.ONCE):
        return None
    if (attempts if sent is None else sent) >= MAX_ATTEMPTS:
        return None
    backoff_ms = min(FIRST_BACKOFF_MS * 2.0 ** min(attempts - 1, 10), MAX_BACKOFF_MS)
    wait_ms = retry_after_ms + backoff_ms * draw
    return wait_ms if wait_ms < remaining_ms else None


class Attempts(NamedTuple, Generic[T]):
    """One call, as it is tried."""

    send: Callable[[float], Awaitable[T]]
    """One attempt, at most until a moment of `time.monotonic`."""
    probe: Callable[[float], Awaitable[Any]]
    """Reads the call's key, or nothing, to see whether the service is back."""
    effect: Effect
    """What sending the request twice does."""
    batch: BatchTries | None
    """Its answer has a result per item; None: it is no batch."""
    limit_ms: int
    has_fallback: bool
    """The caller can go on without the service, and is told soon that it is away."""
    must_be_tried: bool
    """Also while the breaker is open: a change that nobody may take for done."""


async def repeat(call: Attempts[T], guard: Guard, deadline_s: float, first: T | CacheError | None = None) -> T:
    """The answer of a call that is sent until it is answered, may not be sent again, or the time is up. Of a batch
    those items are sent again that failed and may be; what they end with stands in the answer.

    Args:
        call: what is sent.
        guard: of the event loop.
        deadline_s: of `time.monotonic`.
        first: how a first attempt has ended already: its answer, or why there is none.

    Raises:
        CacheError: of the last attempt; `OutcomeUnknown` where an earlier one may have taken effect.
    """
    attempts = sent = 0
    maybe_done = False
    while True:
        attempts += 1
        refused = first is None and guard.is_open and not call.must_be_tried
        failed: CacheError | None
        if refused:
            failed = guard.refuse(call.probe)
            await asyncio.sleep(0)  # else callers that ask again and again never let the probe run
        else:
            if first is None:
                if attempts > 1:
                    guard.repeats()
                try:
                    first = await call.send(deadline_s)
                except CacheError as error:
                    first = error
            outcome, first = first, None
            if isinstance(outcome, CacheError):
                failed = outcome
                guard.failed(failed, call.limit_ms)
            else:
                failed = _failed_items(call, guard, outcome)
                if failed is None:
                    return cast("T", outcome if call.batch is None else call.batch.answer)
        sent += call.has_fallback or reached(failed)
        maybe_done = maybe_done or (failed.retry is Retry.IDEMPOTENT and call.effect is not Effect.READS)
        wait_ms = retry_wait_ms(
            call.effect,
            failed.retry,
            attempts=attempts,
            retry_after_ms=failed.retry_after_ms,
            remaining_ms=(deadline_s - time.monotonic()) * 1_000,
            draw=random.random(),
            sent=sent,
        )
        if wait_ms is None or (refused and call.has_fallback) or not guard.may_repeat(failed):
            return _given_up(call, failed, maybe_done)
        await asyncio.sleep(wait_ms / 1_000)
        if time.monotonic() >= deadline_s:  # woken too late: what failed says more than that the time is up
            return _given_up(call, failed, maybe_done)


def _failed_items(call: Attempts[T], guard: Guard, answer: T) -> CacheError | None:
    """Why items failed that may be sent again; None: there are none."""
    batch = call.batch
    if batch is None:
        if guard.is_troubled:
            guard.answered(answer, call.limit_ms)
        return None
    if batch.is_whole:  # that what failed fails again says no more of the service than the first time
        guard.answered(answer, call.limit_ms)
    failed = batch.take(answer)
    if failed is not None and not batch.is_whole:
        guard.items_failed(failed)
    return failed


def _given_up(call: Attempts[T], failed: CacheError, maybe_done: bool) -> T:
    """What is known of a batch.

    Raises:
        CacheError: nothing is.
    """
    if call.batch is None or call.batch.answer is None:
        raise _last(failed, maybe_done)
    return call.batch.given_up(failed, lambda error: _last(error, maybe_done))  # type: ignore[no-any-return]


def _last(failed: CacheError, maybe_done: bool) -> CacheError:
    """What the caller is told, with its cause."""
    if not (maybe_done and isinstance(failed, Unavailable)):
        return failed
    # An earlier attempt, or this one on a lost connection, may have arrived.
    unknown = OutcomeUnknown(
        f"whether the change took effect is not known: {failed}",
        reason=ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN,
        retry=Retry.IDEMPOTENT,
    )
    unknown.__cause__ = failed
    return unknown
