"""Counts per domain since the last flush, and latency of this process."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

COUNTERS: Final = (
    "hits",
    "stale_hits",
    "misses",
    "near_cache_hits",
    "sets",
    "fills",
    "rejected_fills",
    "loads_avoided",
    "invalidations",
    "deletes",
    "read_bytes",
    "written_bytes",
    "foreign",
    "dead",
)
"""Names of the counters, as in `coherd.v1.DomainMetrics` and in Redis."""
LATENCY_SAMPLES: Final = 4_096
"""Latest measurements per domain and kind from which quantiles are taken."""


class Quantiles(NamedTuple):
    """Latency over the latest `LATENCY_SAMPLES` measurements; microseconds."""

    measured: int
    """Measurements since the process started."""
    p50_us: float
    p90_us: float
    p99_us: float


class Latency:
    """Measurements of one kind of operation."""

    def __init__(self) -> None:
        self._latest: deque[float] = deque(maxlen=LATENCY_SAMPLES)
        self._count = 0

    def add(self, seconds: float) -> None:
        """Add one measurement."""
        self._latest.append(seconds)
        self._count += 1

    def quantiles(self) -> Quantiles:
        """The quantiles of the latest measurements; zeros before the first."""
        ordered = sorted(self._latest)
        if not ordered:
            return Quantiles(0, 0.0, 0.0, 0.0)

        def at(share: float) -> float:
            return ordered[min(len(ordered) - 1, int(share * len(ordered)))] * 1e6

        return Quantiles(self._count, at(0.5), at(0.9), at(0.99))


class Counters:
    """Collects increments in memory until they are taken for a flush to the store."""

    def __init__(self) -> None:
        self.counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        """Each domain's pending counts, to add to in place."""
        self.reads: defaultdict[str, Latency] = defaultdict(Latency)
        self.writes: defaultdict[str, Latency] = defaultdict(Latency)

    def take(self) -> dict[str, dict[str, int]]:
        """All pending counts; from now on they are the taker's to store, or to put back."""
        taken = {domain: dict(counts) for domain, counts in self.counts.items() if counts}
        self.counts.clear()
        return taken

    def put_back(self, taken: Mapping[str, Mapping[str, int]]) -> None:
        """Add counts that were taken and could not be stored."""
        for domain, counts in taken.items():
            self.counts[domain].update(counts)


def hit_ratio(counts: Mapping[str, int]) -> float:
    """Share of reads that got a value, 0..1; 0 before the first read."""
    answered = sum(counts.get(name, 0) for name in _ANSWERED)
    total = answered + counts.get("misses", 0)
    return answered / total if total else 0.0


_ANSWERED: Final[Iterable[str]] = ("hits", "stale_hits", "near_cache_hits")
