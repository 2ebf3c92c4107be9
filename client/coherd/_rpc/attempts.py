"""Sends a request again where that is allowed, until its time is up."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from coherd._rpc.methods import Effect
from coherd._rpc.retries import retry_wait_ms
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, OutcomeUnknown, Unavailable
from coherd.v1.errors_pb2 import ErrorReason

T = TypeVar("T")


async def repeat(
    send: Callable[[], Awaitable[T]], effect: Effect, deadline_s: float, *, failed: CacheError | None = None
) -> T:
    """What ``send`` answers, called until it does, may not be called again, or the time is up.

    Args:
        send: one attempt.
        effect: what sending the request twice does.
        deadline_s: of `time.monotonic`.
        failed: how a first attempt has ended already.

    Raises:
        CacheError: of the last attempt; `OutcomeUnknown` where an earlier one may have taken effect.
    """
    attempts = 0 if failed is None else 1
    maybe_done = False
    while True:
        if failed is None:
            attempts += 1
            try:
                return await send()
            except CacheError as error:
                failed = error
        maybe_done = maybe_done or (failed.retry is Retry.IDEMPOTENT and effect is not Effect.READS)
        wait_ms = retry_wait_ms(
            effect,
            failed.retry,
            attempts=attempts,
            retry_after_ms=failed.retry_after_ms,
            remaining_ms=(deadline_s - time.monotonic()) * 1_000,
            draw=random.random(),
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
