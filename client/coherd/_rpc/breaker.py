"""What is decided about a service that fails: whether a call may be repeated, and whether it is sent at all.

Pure: time is an argument.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from coherd.contract.reasons import Retry
from coherd.errors import CacheError, DeadlineExceeded, OutcomeUnknown, Unavailable, error_of
from coherd.v1.errors_pb2 import ErrorReason

SPAN_S: Final = 0.3
"""Failures in a row count only if they came over so long: calls that fail in one moment are one event, and where a part
of the store is lost, calls to the rest succeed in between."""
FIRST_PROBE_S: Final = 0.1
"""When it is first asked after the breaker opened: it may have been a moment."""
TELLING_MS: Final = 200
"""A call with a shorter limit that ends without an answer says nothing of the service: the client itself may be busy,
and who waits longer is not to be refused for it."""


class Cause(enum.Enum):
    """What does not answer."""

    SERVICE = "service"
    STORE = "store"
    """Redis or Valkey, behind the service."""


_STORE: Final = (ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN)
_COSTLY: Final = (*_STORE, ErrorReason.ERROR_REASON_STORE_FULL, ErrorReason.ERROR_REASON_OVERLOADED)
_SAYS_NOTHING: Final = (
    *_STORE,  # with a limit that was too short
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
    ErrorReason.ERROR_REASON_UNSPECIFIED,
    ErrorReason.ERROR_REASON_DRAINING,
    ErrorReason.ERROR_REASON_OVERLOADED,
)


def cause_of(error: CacheError, limit_ms: float) -> Cause | None:
    """What a failed call says does not answer; None: nothing, since it was answered or says nothing of that.

    Args:
        error: of one attempt.
        limit_ms: how long it might have waited.
    """
    if error.reason in _STORE:
        return Cause.STORE if limit_ms >= TELLING_MS else None
    if isinstance(error, DeadlineExceeded):
        return Cause.SERVICE if limit_ms >= TELLING_MS else None
    lost = isinstance(error, (Unavailable, OutcomeUnknown)) and error.retry is not Retry.NEVER
    return Cause.SERVICE if lost and error.reason == ErrorReason.ERROR_REASON_UNSPECIFIED else None


def batch_failure(answer: Any) -> CacheError | None:
    """Why a batch failed as a whole at the store; None: it did not, or is no batch.

    Args:
        answer: of any rpc.
    """
    if isinstance(answer, list):
        reasons = (item.reason if isinstance(item, CacheError) else 0 for item in answer)
    else:
        reasons = (item.error.reason if item.HasField("error") else 0 for item in getattr(answer, "results", ()))
    last = 0
    for last in reasons:
        if last not in _STORE:
            return None
    return error_of(last, "every item failed at the store") if last else None


def is_answer(error: CacheError) -> bool:
    """Whether a failed call shows that service and store are well: it was refused for what it asked."""
    return error.reason not in _SAYS_NOTHING


def is_costly(error: CacheError) -> bool:
    """Whether the service had work with a call that it failed, so that a repetition is paid from the budget."""
    return error.reason in _COSTLY


class RetryBudget:
    """The token bucket of gRFC A6.

    Args:
        tokens: its size; half of them or fewer allow no repetition.
        refill: successes for one token.
    """

    def __init__(self, tokens: int, refill: int) -> None:
        self._most = tokens * refill
        self._refill = refill
        self._left = self._most
        """In parts of a token: a success brings one part."""

    @property
    def is_full(self) -> bool:
        """Whether nothing is spent."""
        return self._left == self._most

    @property
    def allows(self) -> bool:
        """Whether a failed call may be repeated."""
        return 2 * self._left > self._most

    def spend(self) -> None:
        """A call failed."""
        self._left = max(0, self._left - self._refill)

    def earn(self) -> None:
        """A call succeeded."""
        self._left = min(self._most, self._left + 1)


class Breaker:
    """The circuit breaker: open while the service, or its store, does not answer; half open for one probe at a time.

    Args:
        failures: in a row, that open it.
        probe_s: between two probes.
    """

    def __init__(self, failures: int, probe_s: float) -> None:
        self.cause: Cause | None = None
        """Why it is open; None: it is closed."""
        self.failures = 0
        """In a row."""
        self._limit = failures
        self._probe_s = probe_s
        self._since_s = 0.0
        self._probe_at_s = 0.0
        self._probing = False

    def fail(self, cause: Cause, now_s: float) -> bool:
        """A call failed; whether the breaker opened just now."""
        if not self.failures:
            self._since_s = now_s
        self.failures += 1
        if self.cause is not None:
            self.cause = cause
            return False
        if self.failures < self._limit or now_s - self._since_s < SPAN_S:
            return False
        self.cause = cause
        self._probe_at_s = now_s + min(FIRST_PROBE_S, self._probe_s)
        return True

    def succeed(self) -> bool:
        """A call was answered; whether the breaker closed just now."""
        was_open, self.cause, self.failures = self.cause is not None, None, 0
        return was_open

    def begin_probe(self, now_s: float) -> bool:
        """Whether one is to be sent now; then `end_probe` is to be called."""
        if self.cause is None or self._probing or now_s < self._probe_at_s:
            return False
        self._probing = True
        return True

    def end_probe(self, now_s: float) -> None:
        """It ended; its answer was told as that of any call."""
        self._probing = False
        self._probe_at_s = now_s + self._probe_s
