"""Whether and when a failed call is repeated: pure, time and randomness are arguments."""

from __future__ import annotations

from typing import Final

from coherd._rpc.methods import Effect
from coherd.contract.reasons import Retry

MAX_ATTEMPTS: Final = 4
"""Most times one call is sent."""
FIRST_BACKOFF_MS: Final = 50
MAX_BACKOFF_MS: Final = 1_000


def retry_wait_ms(
    effect: Effect, retry: Retry, *, attempts: int, retry_after_ms: int, remaining_ms: float, draw: float
) -> float | None:
    """How long to wait before sending a failed call again; None: give up.

    The wait is the advised one plus exponential back-off with full jitter, so that callers that failed together do not
    return together (Brooker, "Exponential Backoff And Jitter", 2015).

    Args:
        effect: of the request.
        retry: class of the failure.
        attempts: times the call was sent, >= 1.
        retry_after_ms: advised wait, 0 if none.
        remaining_ms: until the call's deadline.
        draw: random number in ``[0, 1)``.
    """
    if retry is Retry.NEVER or (retry is Retry.IDEMPOTENT and effect is Effect.ONCE) or attempts >= MAX_ATTEMPTS:
        return None
    backoff_ms = min(FIRST_BACKOFF_MS * 2 ** (attempts - 1), MAX_BACKOFF_MS)
    wait_ms = retry_after_ms + backoff_ms * draw
    return wait_ms if wait_ms < remaining_ms else None
