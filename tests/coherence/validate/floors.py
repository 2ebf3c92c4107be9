"""What a read may not return any more: values that are older than an acknowledged change of their key or tags."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator

from coherence.history import CHANGES, STORES, History, Operation, Traced
from coherence.traffic.keyspace import derived_tags
from coherence.validate.timeline import Timeline

SETS = ("set", "batch_set")


def scopes_of(change: Operation) -> tuple[str, ...]:
    """What a change is about: tags, and its key with ``=`` before it."""
    return (*change.tags, f"={change.key}") if change.key else change.tags


def is_floor(one: Operation) -> bool:
    """An acknowledged Invalidate, Delete or Set."""
    return (one.path in CHANGES and one.outcome == "done") or (one.path in SETS and one.outcome == "stored")


class Floors:
    """The acknowledged changes of a history.

    Args:
        history: of a run.
        counts: whether a change is one for a scope; default: every one is.
    """

    def __init__(self, history: History, counts: Callable[[Operation, str], bool] = lambda *_: True) -> None:
        self._timelines: defaultdict[str, Timeline] = defaultdict(Timeline)
        self._sets: dict[str, Operation] = {}
        for one in history.operations:
            if one.path in SETS:
                self._sets[one.id] = one
            if is_floor(one):
                for scope in scopes_of(one):
                    if counts(one, scope):
                        self._timelines[scope].add(one)
        for timeline in self._timelines.values():
            timeline.close()

    def age_ns(self, value: Traced) -> float | None:
        """When a value was current for the last time that is known: the source was read, or its set was settled. None:
        nobody set it, as `check_safe_under_loss` says."""
        if value.origin != "set":
            return float(value.read_ns)
        origin = self._sets.get(value.nonce)
        return None if origin is None else origin.settled_ns

    def broken_by(self, read: Operation, *, grace_ns: int = 0) -> tuple[Operation, str] | None:
        """A change that began after the value of a read was current, and was acknowledged before the read began.

        Args:
            read: that returned a value.
            grace_ns: by how much earlier it must have been acknowledged.
        """
        value = read.value
        age_ns = None if value is None else self.age_ns(value)
        if value is None or age_ns is None:
            return None
        for timeline, scope in self._of(read.key, value):
            change = timeline.last_before(read.start_ns - grace_ns)
            if change is not None and age_ns < change.start_ns:
                return change, scope.removeprefix("=")
        return None

    def oldest_ns(self, read: Operation) -> float:
        """How long before a read the first change was acknowledged that its value is older than; 0: none was."""
        value = read.value
        age_ns = None if value is None else self.age_ns(value)
        if value is None or age_ns is None:
            return 0.0
        firsts = [timeline.first_since(age_ns) for timeline, _ in self._of(read.key, value)]
        return max((float(read.start_ns - first) for first in firsts if first is not None), default=0.0)

    def _of(self, key: str, value: Traced) -> Iterator[tuple[Timeline, str]]:
        for scope in (f"={key}", *derived_tags(key), *value.tags):
            timeline = self._timelines.get(scope)
            if timeline is not None:
                yield timeline, scope


def origins(history: History, value: Traced) -> tuple[Operation, ...]:
    """Where a value comes from."""
    return tuple(
        one
        for one in history.operations
        if one.id == value.nonce or (one.path in STORES and one.value is not None and one.value.nonce == value.nonce)
    )
