"""When a change is confirmed: every near cache has dropped it, or serves no more. Pure; times are arguments.

A member counts as done when its watermark has reached the entry, or when it has been silent for a lease and a margin
[silent-for-a-lease]. Who is there the append itself says [registry-by-the-append]; a member that is in no complete
registry after it has no live session that read before it [watched-registry].

Two things cannot be read from one look at the registry: that a member has stopped to join, and that the registry is
whole. Both follow from having looked for longer than any lease can last [silent-for-a-lease] [watched-registry].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

from coherd_server.core.near.change_log import Answer, Field, LogPosition
from coherd_server.core.near.terms import Terms, over_s


class Seen(NamedTuple):
    """One look at the registry, and what follows from those before it."""

    position: LogPosition
    asked_s: float
    """When the script was sent: the look is at least as new."""
    fields: Mapping[str, Field]
    complete: bool
    """Every member with a live session is in ``fields``."""
    silent: frozenset[str]
    """Members that have not joined for so long that all they granted is over."""


class MemberView:
    """Remembers how long each field, and the registry itself, has been what it is."""

    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._since_s: dict[str, tuple[bytes, float]] = {}
        self._completeness: tuple[bytes, float] = (b"", 0.0)
        self.longest = terms
        """Those with the longest lease that any member was ever seen to go by: waits by the clock go by it."""
        self.complete = b""
        """`Answer.completeness` of a registry that was watched long enough, for other processes to know; or empty."""

    def saw(self, answer: Answer, *, asked_s: float, now_s: float) -> Seen:
        """A log script was answered.

        Args:
            answer: what it found.
            asked_s: when it was sent: a field that is the same then as long ago has stood still in between.
            now_s: when the answer arrived: what is new in it is not older than it may be.
        """
        fields = answer.registry.fields
        silent: set[str] = set()
        for member, field in fields.items():
            lease_ms = self._terms.lease_ms if field.terms is None else max(self._terms.lease_ms, field.terms.lease_ms)
            if lease_ms > self.longest.lease_ms:
                self.longest = replace(self._terms, lease_ms=lease_ms)
            raw, since_s = self._since_s.get(member, (b"", 0.0))
            if raw != field.raw:
                self._since_s[member] = (field.raw, now_s)
            elif asked_s - since_s > over_s(lease_ms):
                silent.add(member)
        for member in self._since_s.keys() - fields.keys():
            del self._since_s[member]
        complete = answer.is_complete or self._watched(answer, asked_s, now_s)
        return Seen(answer.position, asked_s, fields, complete, frozenset(silent))

    def _watched(self, answer: Answer, asked_s: float, now_s: float) -> bool:
        """Whether this registry, on this node, was seen more than a lease ago: a member that is not in it since then
        has not joined since then."""
        completeness, since_s = self._completeness
        if completeness != answer.completeness:
            self._completeness = (answer.completeness, now_s)
            self.complete = b""
        elif answer.registry.incarnation and asked_s - since_s > self.longest.over_s:
            self.complete = completeness
        return bool(self.complete)


class AckWait:
    """Waits for one entry of the log.

    Args:
        appended: what the append answered.
        own: id of this process, whose watermark is known without the registry.
        complete: the registry in the answer is known to be whole.
        now_s: when the answer arrived.
    """

    def __init__(self, appended: Answer, *, own: str, complete: bool, now_s: float) -> None:
        self._position = appended.position
        self._own = own
        self._appended_s = now_s
        self._complete = complete
        self._left: set[str] = set()
        self._own_is_left = True
        self.has_moved = False
        """The log is another one now: the entry may be lost, and offsets compare no more. Append again."""
        self._add(appended.registry.fields)

    @property
    def is_done(self) -> bool:
        """The change may be acknowledged."""
        return self._complete and not self._left and not self._own_is_left and not self.has_moved

    def saw(self, seen: Seen) -> None:
        """Another look at the registry; one that is older than the append says nothing of who was there then."""
        if seen.asked_s < self._appended_s:
            return
        if not seen.position.reaches(self._position):
            self.has_moved = True
        if seen.complete and not self._complete:
            self._complete = True
            self._add(seen.fields)
        if seen.complete:
            self._left &= seen.fields.keys()
        self._left -= seen.silent
        for member in list(self._left):
            if member in seen.fields:
                self.heard(member, seen.fields[member])

    def heard(self, member: str, field: Field) -> None:
        """A member has published this."""
        if field.watermark is not None and field.watermark.reaches(self._position):
            self._left.discard(member)

    def own(self, position: LogPosition | None, watermark: LogPosition | None) -> None:
        """How far this process is; ``position`` None: it has never joined, so it has no session that may serve."""
        if position is None or (watermark is not None and watermark.reaches(self._position)):
            self._own_is_left = False

    def _add(self, fields: Mapping[str, Field]) -> None:
        """Wait for all of these."""
        for member, field in fields.items():
            if member != self._own:
                self._left.add(member)
                self.heard(member, field)
