"""What a replay must show, computed from the trace alone: no cache, no server, no engine involved.

The rule (docs/use/replay.md): in a cache that starts cold, is big enough and keeps values longer than the run, the
first request of each object is a miss and every later one is a hit.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import NamedTuple


class Expected(NamedTuple):
    """Counts that follow from a trace."""

    requests: int
    distinct: int
    """Different objects: the misses, and the loads."""

    @property
    def hits(self) -> int:
        """Requests that find their object."""
        return self.requests - self.distinct

    @property
    def hit_ratio(self) -> float:
        """Hits of all requests, 0..1; 0 for no requests."""
        return self.hits / self.requests if self.requests else 0.0


def expected(ids: Iterable[Hashable]) -> Expected:
    """The counts of a trace."""
    requests = 0
    seen: set[Hashable] = set()
    for item in ids:
        requests += 1
        seen.add(item)
    return Expected(requests, len(seen))
