"""Follows the log: what is applied, what was missed, and since when this process is in step with it. Pure."""

from __future__ import annotations

from collections import deque

from coherd_server.core.near.hub import Hub
from coherd_server.core.near.ports import Changes, Place


class Follower:
    """Decides what the hub applies and when all must be flushed (section 6, "The log moves near caches", 2)."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tails: deque[tuple[int, float]] = deque()
        """Tails that are not applied yet, with when they were asked for."""
        self.awaited_position = 0
        """The last position somebody waits for; 0 where none is."""

    @property
    def place(self) -> Place | None:
        """Up to where the log is applied."""
        return self._hub.place

    def joined(self, tail: Place, *, asked_s: float, applied: Place | None) -> bool:
        """A join was answered.

        Args:
            tail: the tail it found.
            asked_s: when it was sent.
            applied: `place` when it was sent.

        Returns:
            Whether the log is another one, or went back: all were flushed, and it must be read anew from `place`.
        """
        place = self._hub.place
        went_back = applied is not None and tail.is_of(applied) and not tail.reaches(applied)
        if place is None or not tail.is_of(place) or went_back:
            self._flush(tail)
            self._hub.in_step_as_of_s = asked_s
            return True
        self._tails.append((tail.position, asked_s))
        self._settle()
        return False

    def read(self, changes: Changes, after: Place) -> bool:
        """Entries were read behind a place.

        Returns:
            Whether they are of the log that is followed. If not, a join must tell what it is now.
        """
        place = self._hub.place
        if place is None or changes.identity != place.identity or after != place:
            return False
        new = list(changes.entries)
        if not new:
            return True
        last = new[-1]
        expected = place.position
        whole = True
        for change in new:
            expected += 1
            whole = whole and change.generation == place.generation and change.position == expected
        awaited = [change.position for change in new if change.awaited and change.generation == last.generation]
        if whole:
            if awaited:  # before the hub says that it has applied them
                self.awaited_position = awaited[-1]
            self._hub.apply(new, place._replace(position=last.position))
        elif last.generation:
            self._flush(Place(place.identity, last.generation, last.position), awaited[-1] if awaited else 0)
        else:
            return False  # nobody of us wrote it; whoever appends next begins the log anew
        self._settle()
        return True

    def _flush(self, place: Place, awaited: int = 0) -> None:
        before = self._hub.place
        if before is None or not place.is_of(before):
            self._tails.clear()
            self._hub.in_step_as_of_s = None
            self.awaited_position = 0
        self.awaited_position = max(self.awaited_position, awaited)
        self._hub.flush(place)

    def _settle(self) -> None:
        """In step as of the last join whose tail is applied."""
        place, tails = self._hub.place, self._tails
        while tails and place is not None and tails[0][0] <= place.position:
            _, asked_s = tails.popleft()
            if self._hub.in_step_as_of_s is None or asked_s > self._hub.in_step_as_of_s:
                self._hub.in_step_as_of_s = asked_s
