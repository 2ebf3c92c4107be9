"""What a run did; below stated rates it proves nothing and is void."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import Final, NamedTuple

from coherence.history import GIVEN_UP, READS, STORES, History
from coherence.traffic.keyspace import derived_tags
from coherence.validate.floors import is_floor, scopes_of
from coherence.validate.near_checkers import is_awaited, judged_reads
from coherence.validate.timeline import Timeline


class Rates(NamedTuple):
    """Least per second of a run. Errors and what is not acknowledged count for nothing."""

    operations: float = 60.0
    invalidations: float = 5.0
    """Acknowledged invalidations and deletes."""
    hits: float = 15.0
    near_hits: float = 0.0
    """Reads that a near cache answered."""
    pushes: float = 0.0
    """Pushes that clients have received."""
    undone_sets: float = 0.0
    """Sets that were given up, then ended by an acknowledged change, and looked for."""

    def over(self, times: float) -> Rates:
        """Those that make the same counts of a run that lasts so many times as long."""
        return Rates(*(one / times for one in self))


NEAR_RATES: Final = Rates(near_hits=40.0, pushes=8.0)
"""Of a run of near caches."""


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
    near_hits: int = 0
    pushes: int = 0
    awaited: int = 0
    """Acknowledged changes that waited for near caches: of strict domains, or because they were asked to."""
    own_reads: int = 0
    """Values read by a client that had changed them before."""
    strict_reads: int = 0
    """Values read after a change that waited for near caches."""
    given_up: int = 0
    """Sets whose callers gave up, and whose servers know that."""
    undone_sets: int = 0
    """Those that were ended by a change which began afterwards, and was acknowledged before a read of the key began."""

    def __add__(self, other: object) -> Figures:  # type: ignore[override]
        assert isinstance(other, Figures)
        return Figures(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


class Void(AssertionError):
    """The run was too thin to prove anything."""


def figures_of(history: History) -> Figures:
    """Count a history."""
    calls = [one for one in history.operations if one.path not in ("fault", "commit", "load", "push")]
    judged = judged_reads(history)
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
        near_hits=sum(one.near and one.value is not None for one in calls),
        pushes=sum(1 for _ in history.on("push")),
        awaited=sum(is_floor(one) and is_awaited(one) for one in calls),
        own_reads=judged.own,
        strict_reads=judged.strict,
        given_up=outcomes["set", GIVEN_UP],
        undone_sets=_undone_sets(history),
    )


def _undone_sets(history: History) -> int:
    ended: defaultdict[str, Timeline] = defaultdict(Timeline)
    reads: defaultdict[str, int] = defaultdict(int)
    """When the last one began, by key."""
    for one in history.operations:
        if is_floor(one):
            for scope in scopes_of(one):
                ended[scope].add(one)
        elif one.path in READS and one.is_acknowledged:
            reads[one.key] = one.start_ns
    for timeline in ended.values():
        timeline.close()
    undone = 0
    for one in history.on("set"):
        if one.outcome == GIVEN_UP and one.value is not None:
            scopes = (f"={one.key}", *derived_tags(one.key), *one.value.tags)
            firsts = [first for scope in scopes if (first := ended[scope].first_since(one.settled_ns)) is not None]
            undone += bool(firsts) and min(firsts) < reads[one.key]
    return undone


def require_rates(figures: Figures, rates: Rates) -> None:
    """
    Raises:
        Void: a rate was not reached.
    """
    for name, least in rates._asdict().items():
        rate = getattr(figures, name) / max(figures.seconds, 1e-9)
        if rate < least:
            raise Void(f"{name}: {rate:.1f} a second, at least {least} are needed for the run to count")
