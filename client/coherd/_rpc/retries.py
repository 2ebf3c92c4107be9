"""Whether and when a failed call is sent again: `retry_wait_ms` decides, with time and randomness as arguments, and
`repeat` does it."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

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


async def repeat(
    send: Callable[[], Awaitable[T]],
    effect: Effect,
    deadline_s: float,
    *,
    has_fallback: bool,
    failed: CacheError | None = None,
) -> T:
    """What ``send`` answers, called until it does, may not be called again, or the time is up.

    Args:
        send: one attempt.
        effect: what sending the request twice does.
        deadline_s: of `time.monotonic`.
        has_fallback: the caller can go on without the service, and is told soon that it is away.
        failed: how a first attempt has ended already.

    Raises:
        CacheError: of the last attempt; `OutcomeUnknown` where an earlier one may have taken effect.
    """
    attempts = 0 if failed is None else 1
    sent = 0
    maybe_done = False
    while True:
        if failed is None:
            attempts += 1
            try:
                return await send()
            except CacheError as error:
                failed = error
        sent += has_fallback or reached(failed)
        maybe_done = maybe_done or (failed.retry is Retry.IDEMPOTENT and effect is not Effect.READS)
        wait_ms = retry_wait_ms(
            effect,
            failed.retry,
            attempts=attempts,
            retry_after_ms=failed.retry_after_ms,
            remaining_ms=(deadline_s - time.monotonic()) * 1_000,
            draw=random.random(),
            sent=sent,
        )
        if wait_ms is None:
            if maybe_done and isinstance(failed, Unavailable):
                # An earlier attempt, or this one on a lost connection, may have arrived.
                raise OutcomeUnknown(
                    f"whether the change took effect is not known: {failed}",
                    reason=ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN,
                    retry=Retry.IDEMPOTENT,
                ) from failed
            raise failed
        failed = None
        await asyncio.sleep(wait_ms / 1_000)
