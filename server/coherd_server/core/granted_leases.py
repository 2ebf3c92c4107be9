"""Leases that this process has granted are remembered: their fills need not look for what is stored of them."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final, NamedTuple

from coherd_server.core.lease_bytes import Lease

MOST_GRANTS: Final = 65_536
"""Most granted leases that are remembered."""


class GrantedLease(NamedTuple):
    """One lease, as it was stored."""

    lease: Lease
    raw: bytes


class GrantedLeases:
    """Remembers each lease of this process for as long as it was granted for, at most `MOST_GRANTS` of them.

    Nothing hangs on it: a fill compares what is remembered with what is stored.

    Args:
        now_s: a clock that does not go back, in seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._granted: dict[tuple[str, bytes, bytes], tuple[GrantedLease, float]] = {}

    def note(self, key: str, lease: Lease, raw: bytes, lease_ms: int) -> None:
        """A lease of the key was granted."""
        granted = self._granted
        granted[key, lease.token, lease.grant] = (GrantedLease(lease, raw), self._now_s() + lease_ms / 1000)
        while len(granted) > MOST_GRANTS or self._is_over(next(iter(granted))):
            del granted[next(iter(granted))]

    def take(self, key: str, token: bytes, grant: bytes) -> GrantedLease | None:
        """The lease, if it is remembered; it is not any more. A fill ends it."""
        found = self._granted.pop((key, token, grant), None)
        return None if found is None else found[0]

    def __len__(self) -> int:
        return len(self._granted)

    def _is_over(self, name: tuple[str, bytes, bytes]) -> bool:
        return self._granted[name][1] < self._now_s()
