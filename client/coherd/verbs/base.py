"""What every verb needs."""

from __future__ import annotations

from typing import Final

from coherd._rpc.protocol import Transport
from coherd.errors import DeadlineExceeded, OutcomeUnknown, Unavailable

NO_READ: Final = (Unavailable, DeadlineExceeded)
"""The service did not answer a read."""
NO_WRITE: Final = (Unavailable, DeadlineExceeded, OutcomeUnknown)
"""The service did not confirm a write."""


class Verbs:
    """State of a client, set by `CacheClient`."""

    _transport: Transport
    _timeout_ms: int
    _lenient: bool
    """Whether reads and writes go on without the service."""

    def _limit_ms(self, timeout_ms: int | None) -> int:
        return self._timeout_ms if timeout_ms is None else checked_timeout(timeout_ms)


def checked_timeout(timeout_ms: int) -> int:
    """The time limit itself.

    Raises:
        ValueError: it is below 1.
    """
    if timeout_ms < 1:
        raise ValueError(f"timeout_ms must be at least 1, not {timeout_ms}")
    return timeout_ms
