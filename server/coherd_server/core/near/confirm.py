"""When a change is confirmed: every near cache has dropped it, or serves no more. Pure decisions.

A member counts as done when its watermark has reached the entry, or when it has been silent for a lease and a margin
[silent-for-a-lease]. Who is there the append itself says [registry-by-the-append]; a member that is in no complete
registry after it has no live session that read before it [watched-registry].
"""

from __future__ import annotations

from collections.abc import Mapping

from coherd_server.core.near.log import Answer, Field, LogPosition
from coherd_server.core.near.member_view import Seen


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
