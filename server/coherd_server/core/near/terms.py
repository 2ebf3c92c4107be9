"""Times and bounds of near-cache coherence; all follow from the lease."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

DEFAULT_LEASE_MS: Final = 1_500
"""Below the time limit that callers have by default: a strict change waits that long for a client that is cut off."""
MIN_LEASE_MS: Final = 500
MAX_LEASE_MS: Final = 60_000


def over_s(lease_ms: int) -> float:
    """After so many seconds whatever was granted under such a lease is over, seen from anywhere."""
    return lease_ms * 1.1 / 1000


@dataclass(frozen=True, slots=True)
class Terms:
    """How long and how much."""

    lease_ms: int = DEFAULT_LEASE_MS
    """Longest time a near cache serves without hearing from its server."""
    interest_names: int = 100_000
    """Most keys and tags remembered per session."""
    recent_names: int = 65_536
    """Most names of applied entries remembered, for reads that were under way."""

    @property
    def lease_s(self) -> float:
        return self.lease_ms / 1000

    @property
    def margin_s(self) -> float:
        """What clocks of two machines may drift apart within a lease, and what timers may be late."""
        return self.lease_s / 10

    @property
    def over_s(self) -> float:
        """After so long whatever was granted before is over, seen from anywhere."""
        return over_s(self.lease_ms)

    @property
    def join_s(self) -> float:
        """Between two joins."""
        return self.lease_s / 6

    @property
    def overdue_s(self) -> float:
        """A push that waits longer for its acknowledgement ends the extensions of its session."""
        return self.lease_s / 3

    @property
    def longest_wait_s(self) -> float:
        """A strict change is confirmed within: a registry that becomes complete, then a session that falls silent."""
        return 2 * self.over_s + self.overdue_s + 2 * self.join_s
