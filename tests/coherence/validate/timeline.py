"""Times of changes and faults, as the checks ask for them."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from typing import Final

from coherence.history import Operation

FORGETTING: Final = frozenset(
    {
        "flush_all",
        "restart_store",
        "restart_from_old_snapshot",
        "fail_over",
        "fail_over_with_loss",
        "stop_store",
        "forget_epochs",
        "forget_leases",
        "fill_memory",
        "move_slots",
    }
)
"""Faults after which a lease may be gone: P5 is promised while its epochs are current and the store remembers it."""
LOSING: Final = FORGETTING - {"forget_leases"}
"""Faults after which an entry that was stored may be gone."""


class Timeline:
    """Acknowledged changes of one key or tag: which of those that ended before a moment began last?"""

    def __init__(self) -> None:
        self._changes: list[Operation] = []
        self._ends: list[int] = []
        self._starts: list[int] = []
        self._first_ends: list[int] = []

    def add(self, change: Operation) -> None:
        """Take an acknowledged change."""
        self._changes.append(change)

    def close(self) -> None:
        """No more are added."""
        by_start = sorted(self._changes, key=lambda one: one.start_ns)
        self._starts = [one.start_ns for one in by_start]
        self._first_ends = [one.end_ns or 0 for one in by_start]
        for at in range(len(by_start) - 2, -1, -1):
            self._first_ends[at] = min(self._first_ends[at], self._first_ends[at + 1])
        self._changes.sort(key=lambda one: one.end_ns or 0)
        self._ends = [one.end_ns or 0 for one in self._changes]
        for at in range(1, len(self._changes)):
            if self._changes[at - 1].start_ns > self._changes[at].start_ns:
                self._changes[at] = self._changes[at - 1]

    def last_before(self, moment_ns: int) -> Operation | None:
        """The change that began last, of those acknowledged before the moment."""
        at = bisect_left(self._ends, moment_ns)
        return self._changes[at - 1] if at else None

    def first_since(self, moment_ns: float) -> int | None:
        """When, of the changes that began after the moment, the first one was acknowledged; None: there is none."""
        at = bisect_right(self._starts, moment_ns)
        return self._first_ends[at] if at < len(self._first_ends) else None


class Spans:
    """Changes that may have taken effect in a span, acknowledged or not."""

    def __init__(self) -> None:
        self._settled: list[Operation] = []
        self._starts: list[int] = []
        self._open: list[Operation] = []
        self._longest_ns = 0.0

    def add(self, change: Operation) -> None:
        """Take a change; changes come by start."""
        if change.effective_ns == float("inf"):
            self._open.append(change)
        else:
            self._settled.append(change)
            self._starts.append(change.start_ns)
            self._longest_ns = max(self._longest_ns, change.effective_ns - change.start_ns)

    def touch(self, from_ns: int, to_ns: float, *, but: str = "") -> bool:
        """Whether one other than ``but`` may have taken effect between two moments."""
        if any(one.start_ns <= to_ns and one.id != but for one in self._open):
            return True
        at = bisect_left(self._starts, from_ns - self._longest_ns)
        while at < len(self._starts) and self._starts[at] <= to_ns:
            one = self._settled[at]
            if one.effective_ns >= from_ns and one.id != but:
                return True
            at += 1
        return False


def stopped_for(faults: Iterable[Operation], one: Operation) -> float:
    """Seconds of an operation during which its own process was stopped."""
    stopped_ns = 0
    for fault in faults:
        if fault.key == "stop_client" and fault.tags == (one.process,) and fault.end_ns and one.end_ns:
            stopped_ns += max(0, min(fault.end_ns, one.end_ns) - max(fault.start_ns, one.start_ns))
    return stopped_ns / 1e9
