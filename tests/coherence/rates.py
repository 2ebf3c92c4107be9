"""What a run did; below stated rates it proves nothing and is void."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from coherence.history import READS, STORES, History


class Rates(NamedTuple):
    """Least per second of a run. Errors and what is not acknowledged count for nothing."""

    operations: float = 60.0
    invalidations: float = 5.0
    """Acknowledged invalidations and deletes."""
    hits: float = 15.0


class Figures(NamedTuple):
    """Counts of one run or of many."""

    seconds: float = 0.0
    operations: int = 0
    reads: int = 0
    hits: int = 0
    loads: int = 0
    fills: int = 0
    rejected_fills: int = 0
    sets: int = 0
    invalidations: int = 0
    faults: int = 0
    unanswered: int = 0

    def __add__(self, other: object) -> Figures:  # type: ignore[override]
        assert isinstance(other, Figures)
        return Figures(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Void(AssertionError):
    """The run was too thin to prove anything."""


def figures_of(history: History) -> Figures:
    """Count a history."""
    calls = [one for one in history.operations if one.path not in ("fault", "commit", "load")]
    outcomes = Counter((one.path, one.outcome) for one in calls)
    return Figures(
        seconds=history.seconds,
        operations=sum(one.is_acknowledged for one in calls),
        reads=sum(one.path in READS and one.is_acknowledged for one in calls),
        hits=sum(one.path in READS and one.value is not None for one in calls),
        loads=sum(1 for _ in history.on("load")),
        fills=sum(one.path in STORES and "fill" in one.path and one.outcome == "stored" for one in calls),
        rejected_fills=sum("fill" in one.path and one.outcome == "rejected" for one in calls),
        sets=outcomes["set", "stored"] + outcomes["batch_set", "stored"],
        invalidations=outcomes["invalidate", "done"] + outcomes["delete", "done"],
        faults=len(history.faults),
        unanswered=sum(not one.is_acknowledged for one in calls),
    )


def require_rates(figures: Figures, rates: Rates) -> None:
    """
    Raises:
        Void: a rate was not reached.
    """
    for name, least in rates._asdict().items():
        rate = getattr(figures, name) / max(figures.seconds, 1e-9)
        if rate < least:
            raise Void(f"{name}: {rate:.1f} a second, at least {least} are needed for the run to count")
