"""What this process knows of the registry of members by watching it. Pure; times are arguments.

Two things cannot be read from one look: that a member has stopped to join, and that the registry is whole. Both follow
from having looked for longer than any lease can last [silent-for-a-lease] [watched-registry].
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from coherd_server.core.near.log import Answer, Field, LogPosition
from coherd_server.core.near.terms import Terms


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
        self._over_s = terms.over_s
        self._since_s: dict[str, tuple[bytes, float]] = {}
        self._completeness: tuple[bytes, float] = (b"", 0.0)
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
            raw, since_s = self._since_s.get(member, (b"", 0.0))
            if raw != field.raw:
                self._since_s[member] = (field.raw, now_s)
            elif asked_s - since_s > self._over_s:
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
        elif answer.registry.incarnation and asked_s - since_s > self._over_s:
            self.complete = completeness
        return bool(self.complete)
