"""The circuit breaker and the retry budget of one event loop, and the probe that looks whether the service is back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextvars import Context
from typing import Any, Final

from coherd._rpc.breaker import Breaker, Cause, RetryBudget, batch_failure, cause_of, is_answer, is_costly
from coherd._rpc.connection_events import ConnectionEventKind, ConnectionEvents
from coherd._rpc.failure_policy import FailurePolicy
from coherd.contract.reasons import REASONS, Retry
from coherd.errors import CacheError, ClientClosed, Unavailable, error_of
from coherd.v1.errors_pb2 import ErrorReason

PROBE_TIMEOUT_MS: Final = 1_000
"""Longest one probe waits."""


class Guard:
    """Told of the calls of one event loop, and asked before them.

    Args:
        policy: of the client.
        events: of the client.
    """

    def __init__(self, policy: FailurePolicy, events: ConnectionEvents) -> None:
        self.is_open = False
        """Whether calls are not to be sent, unless they must be tried."""
        self.is_troubled = False
        """Whether `answered` is to be called: while all is well a single call costs nothing here."""
        self._events = events
        self._budget = RetryBudget(policy.retry_tokens, policy.retry_refill)
        self._breaker = Breaker(policy.breaker_failures, policy.probe_ms / 1_000)
        self._told_spent = False
        self._said = ""
        """Text of the last failure."""
        self._probe: asyncio.Task[None] | None = None

    def answered(self, answer: Any, limit_ms: float) -> None:
        """A call was answered. A batch of which every item failed at the store is a failure.

        Args:
            answer: the response.
            limit_ms: how long it might have waited.
        """
        failure = batch_failure(answer)
        if failure is not None:
            self.failed(failure, limit_ms)
        elif self.is_troubled:
            self._budget.earn()
            self._succeeded()

    def failed(self, error: CacheError, limit_ms: float) -> None:
        """An attempt failed.

        Args:
            error: of it.
            limit_ms: how long it might have waited.
        """
        if is_costly(error):
            self._budget.spend()
            self.is_troubled = True
        cause = cause_of(error, limit_ms)
        if cause is not None:
            self.is_troubled = True
            # What is not sent after it changes nothing, whatever became of the call that failed.
            unknown = error.reason == ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN
            self._said = "the store did not answer in time" if unknown else str(error)
            if self._breaker.fail(cause, time.monotonic()):
                self.is_open = True
                kind = ConnectionEventKind
                self._events.happened(kind.STORE_LOST if cause is Cause.STORE else kind.SERVICE_LOST)
        elif self.is_troubled and is_answer(error):
            self._succeeded()

    def items_failed(self, error: CacheError) -> None:
        """Some items of a batch failed, and are to be sent again.

        Args:
            error: of one of them.
        """
        if is_costly(error):
            self._budget.spend()
            self.is_troubled = True

    def _succeeded(self) -> None:
        if self._breaker.succeed():
            self.is_open = False
            self._events.happened(ConnectionEventKind.BACK)
        if self._budget.allows:
            self._told_spent = False
        self.is_troubled = not self._budget.is_full

    def may_repeat(self, error: CacheError) -> bool:
        """Whether the retry budget allows to send a failed call again."""
        if not is_costly(error) or self._budget.allows:
            return True
        self._events.count(ConnectionEventKind.NOT_RETRIED)
        if not self._told_spent:
            self._told_spent = True
            self._events.happened(ConnectionEventKind.RETRIES_SPENT)
        return False

    def repeats(self) -> None:
        """A failed call is tried again."""
        self._events.count(ConnectionEventKind.RETRIED)

    def refuse(self, probe: Callable[[float], Awaitable[Any]]) -> CacheError:
        """The error of a call that is not sent, as the breaker is open.

        Args:
            probe: reads the call's key, until a moment of `time.monotonic`; called if it is time to.
        """
        self._events.count(ConnectionEventKind.NOT_SENT)
        if self._breaker.begin_probe(time.monotonic()):
            self._probe = asyncio.get_running_loop().create_task(self._ask(probe), context=Context())
        text = f"{self._said} (not sent: the circuit breaker is open, since earlier calls failed so)"
        if self._breaker.cause is Cause.STORE:
            reason = ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
            return error_of(reason, text, retry_after_ms=REASONS[reason].retry_after_ms)
        return Unavailable(text, retry=Retry.SAFE)

    async def _ask(self, probe: Callable[[float], Awaitable[Any]]) -> None:
        try:
            answer = await probe(time.monotonic() + PROBE_TIMEOUT_MS / 1_000)
        except ClientClosed:
            pass
        except CacheError as error:
            self.failed(error, PROBE_TIMEOUT_MS)
        else:
            self.answered(answer, PROBE_TIMEOUT_MS)
        finally:
            self._breaker.end_probe(time.monotonic())
            self._probe = None

    async def close(self) -> None:
        """End the probe, if there is one."""
        if self._probe is not None:
            self._probe.cancel()
            await asyncio.wait([self._probe])
