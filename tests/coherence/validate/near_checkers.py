"""P2, near caches, as pure functions over a recorded history."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from coherence.history import CHANGES, History, Operation
from coherence.traffic.keyspace import derived_tags
from coherence.validate.floors import Floors, is_floor, origins, scopes_of
from coherence.validate.violation import Violation

STRICT: Final = frozenset({"psychology", "session"})
"""Domains whose changes wait for near caches, by the text of docs/use/catalog-reference.md."""
LEASE_S: Final = 1.5
"""Of near caches, as long as a server is not told otherwise (docs/internals/log.md)."""


class NearBounds(NamedTuple):
    """What is promised of near caches in push mode."""

    lease_s: float = LEASE_S

    @property
    def bound_s(self) -> float:
        """Longest time an old value is served after the acknowledgement: a lease and its margin."""
        return self.lease_s * 1.1


BOUNDS: Final = NearBounds()
"""As long as a server is not told otherwise."""


def check_near_cache_bound(history: History, bounds: NearBounds = BOUNDS) -> list[Violation]:
    """P2, push: a near read that starts later than the bound after an acknowledged change returns nothing older."""
    grace_ns = int(bounds.bound_s * 1e9)
    floors = Floors(history)
    near = (read for read in history.reads if read.near)
    text = f"served near more than {bounds.bound_s:.2f} s"
    return list(_violations(history, "P2 near cache bound", near, lambda read: (floors, grace_ns), text))


def check_own_changes_seen(history: History) -> list[Violation]:
    """P2: a read that starts after a change which its own client made and got acknowledged returns nothing older."""
    by_process: defaultdict[str, list[Operation]] = defaultdict(list)
    for one in history.operations:
        by_process[one.process].append(one)
    sets = [one for one in history.operations if one.path in ("set", "batch_set")]
    found: list[Violation] = []
    for process, operations in by_process.items():
        reads = [one for one in operations if one.path.startswith("client_") and one.value is not None]
        if reads:
            own = Floors(History.of([*sets, *operations]), lambda change, _, process=process: change.process == process)
            found += _violations(history, "P2 own changes seen", reads, _choose(own), "read by the client itself")
    return found


def check_strict(history: History) -> list[Violation]:
    """P2, strict: a read by any client that starts after an acknowledged change of a strict domain, or one that waited
    for near caches, returns nothing older."""
    floors = Floors(history, lambda change, scope: change.waits or domain_of(scope) in STRICT)
    return list(_violations(history, "P2 strict", history.reads, _choose(floors), "read"))


def is_awaited(change: Operation) -> bool:
    """Whether the acknowledgement of a change waits for near caches."""
    return change.waits or any(domain_of(scope) in STRICT for scope in scopes_of(change))


def domain_of(scope: str) -> str:
    """The domain of a tag or key."""
    return scope.removeprefix("=").split("/", 1)[0].split(":", 1)[0]


def _choose(floors: Floors) -> Callable[[Operation], tuple[Floors, int]]:
    return lambda read: (floors, 0)


def _violations(
    history: History,
    promise: str,
    reads: Iterable[Operation],
    choose: Callable[[Operation], tuple[Floors, int]],
    text: str,
) -> Iterable[Violation]:
    for read in reads:
        floors, grace_ns = choose(read)
        broken = floors.broken_by(read, grace_ns=grace_ns)
        if broken is not None and read.value is not None:
            change, scope = broken
            late_ms = (read.start_ns - (change.end_ns or 0)) / 1e6
            what = f"{read.value.origin} {read.value.nonce} {text}, {late_ms:.1f} ms after {change.path} of {scope}"
            yield Violation(promise, what, (*origins(history, read.value), change, read))


NEAR_CHECKS: Final[dict[str, Callable[[History], list[Violation]]]] = {
    "P2 bound": check_near_cache_bound,
    "P2 own": check_own_changes_seen,
    "P2 strict": check_strict,
}
"""By what of P2 each is about."""


class Judged(NamedTuple):
    """How many reads a check could have found at fault: they returned a value, of something that was changed before."""

    own: int
    strict: int


def judged_reads(history: History) -> Judged:
    """Count them."""
    own: dict[tuple[str, str], int] = {}
    strict: dict[tuple[str, str], int] = {}
    for one in history.operations:
        if is_floor(one) and one.end_ns is not None:
            for scope in scopes_of(one):
                own[one.process, scope] = min(one.end_ns, own.get((one.process, scope), one.end_ns))
                if one.waits or domain_of(scope) in STRICT:
                    strict["", scope] = min(one.end_ns, strict.get(("", scope), one.end_ns))

    def count(first: dict[tuple[str, str], int], *, by_process: bool) -> int:
        return sum(
            any(
                first.get((read.process if by_process else "", scope), read.start_ns) < read.start_ns
                for scope in (f"={read.key}", *derived_tags(read.key), *read.value.tags)
            )
            for read in history.reads
            if read.value is not None and (not by_process or read.path.startswith("client_"))
        )

    return Judged(count(own, by_process=True), count(strict, by_process=False))


class Delays(NamedTuple):
    """What was measured of push mode in a run, in milliseconds."""

    pushes: tuple[float, ...]
    """From the acknowledgement of an invalidation that waited for nobody until another process had dropped a tag of it;
    0 where it was sooner. Tags only: a key is also pushed for fills, which the typed client does not record."""
    oldest_read: float
    """The longest time after an acknowledgement at which a near read began that returned what it had replaced."""


def delays_of(history: History, settle_s: float = 2.0) -> Delays:
    """Measure; pushes while a fault lasted, or in ``settle_s`` after it, are left out."""
    faults = [(one.start_ns, (one.end_ns or one.start_ns) + settle_s * 1e9) for one in history.faults]
    ends: defaultdict[str, list[Operation]] = defaultdict(list)
    for one in history.operations:
        if one.path in CHANGES:
            for scope in scopes_of(one):
                ends[scope].append(one)
    pushes: list[float] = []
    for push in history.on("push"):
        at_ns = push.end_ns or push.start_ns
        if any(start <= at_ns <= end for start, end in faults):
            continue
        for scope in push.tags:
            if scope.startswith("="):
                continue
            told = [one for one in ends.get(scope, ()) if one.start_ns < at_ns]
            if not told or told[-1].outcome != "done" or is_awaited(told[-1]):
                continue
            if told[-1].process != push.process:  # the own one is pushed, too, and was dropped before
                pushes.append(max(0.0, (at_ns - (told[-1].end_ns or at_ns)) / 1e6))
    floors = Floors(history)
    oldest_ns = max((floors.oldest_ns(read) for read in history.reads if read.near), default=0.0)
    return Delays(tuple(pushes), oldest_ns / 1e6)
