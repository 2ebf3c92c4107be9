"""Latencies of a run, exact: every sample is kept (8 bytes each) and quantiles are read from the sorted samples."""

from __future__ import annotations

import math
from array import array
from collections.abc import Sequence
from typing import NamedTuple


class Quantiles(NamedTuple):
    """Summary of some latencies, milliseconds; all zero where there are no samples."""

    samples: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Latencies:
    """Collects latencies."""

    def __init__(self) -> None:
        self._samples_s = array("d")

    def add(self, elapsed_s: float) -> None:
        """Take one latency, in seconds."""
        self._samples_s.append(elapsed_s)

    def quantiles(self) -> Quantiles:
        """The summary of what was collected so far."""
        if not self._samples_s:
            return Quantiles(0, 0.0, 0.0, 0.0, 0.0)
        ordered = sorted(self._samples_s)
        p50_s, p90_s, p99_s = (nearest_rank(ordered, q) for q in (0.5, 0.9, 0.99))
        return Quantiles(len(ordered), p50_s * 1000, p90_s * 1000, p99_s * 1000, ordered[-1] * 1000)


def nearest_rank(ordered: Sequence[float], q: float) -> float:
    """The smallest sample that at least a fraction ``q`` of all samples does not exceed.

    Args:
        ordered: ascending, not empty.
        q: in ``(0, 1]``.
    """
    return ordered[math.ceil(q * len(ordered)) - 1]
