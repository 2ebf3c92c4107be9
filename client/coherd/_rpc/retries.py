"""Whether and when a failed call is repeated: pure, time and randomness are arguments."""

from __future__ import annotations

import enum
from typing import Final

from google.protobuf.descriptor_pb2 import MethodOptions

from coherd.contract.reasons import Retry
from coherd.v1 import cache_service_pb2

MAX_ATTEMPTS: Final = 4
"""Most times one call is sent."""
FIRST_BACKOFF_MS: Final = 50
MAX_BACKOFF_MS: Final = 1_000


class Effect(enum.Enum):
    """What sending a request twice does, as `idempotency_level` declares it."""

    READS = "reads"
    """Nothing is ever changed."""
    IDEMPOTENT = "idempotent"
    """Twice is as once."""
    ONCE = "once"
    """It may only be repeated if it surely had no effect."""


_EFFECTS: Final = {
    MethodOptions.NO_SIDE_EFFECTS: Effect.READS,
    MethodOptions.IDEMPOTENT: Effect.IDEMPOTENT,
    MethodOptions.IDEMPOTENCY_UNKNOWN: Effect.ONCE,
}

EFFECTS: Final[dict[str, Effect]] = {
    method.name: _EFFECTS[method.GetOptions().idempotency_level]
    for method in cache_service_pb2.DESCRIPTOR.services_by_name["CacheService"].methods
}
"""Effect of every rpc of CacheService, by name, read from the descriptor."""


def retry_wait_ms(
    effect: Effect, retry: Retry, *, attempts: int, retry_after_ms: int, remaining_ms: float, draw: float
) -> float | None:
    """How long to wait before sending a failed call again; None: give up.

    The wait is the advised one plus exponential back-off with full jitter, so that callers that failed together do not
    return together (Brooker, "Exponential Backoff And Jitter", 2015).

    Args:
        effect: of the rpc.
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
