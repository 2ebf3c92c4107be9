"""Follows the log: what is applied, what was missed, and since when this process is in step with it. Pure."""

from __future__ import annotations

from collections import deque

from coherd_server.core.near.change_log import Changes, LogPosition
from coherd_server.core.near.hub import Hub


class Follower:
    """Decides what the hub applies and when all must be flushed [gap-means-flush]."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._tails: deque[tuple[int, float]] = deque()
        """Tails that are not applied yet, with when they were asked for."""
        self.awaited_offset = 0
        """The last offset somebody waits for; 0 where none is."""

    @property
    def position(self) -> LogPosition | None:
        """Up to where the log is applied."""
        return self._hub.position

    def joined(self, tail: LogPosition, *, asked_s: float, applied: LogPosition | None) -> bool:
        """A join was answered.

        Args:
            tail: the tail it found.
            asked_s: when it was sent.
            applied: `position` when it was sent.

        Returns:
            Whether the log is another one, or went back: all were flushed, and it must be read anew from `position`.
        """
        position = self._hub.position
        went_back = applied is not None and tail.is_of(applied) and not tail.reaches(applied)
        if position is None or not tail.is_of(position) or went_back:
            self._flush(tail)
            self._hub.in_step_as_of_s = asked_s
            return True
        self._tails.append((tail.offset, asked_s))
        self._settle()
        return False

    def read(self, changes: Changes, after: LogPosition) -> bool:
        """Entries were read behind a position.

        Returns:
            Whether they are of the log that is followed. If not, a join must tell what it is now.
        """
        position = self._hub.position
        if position is None or changes.identity != position.identity or after != position:
            return False
        new = list(changes.entries)
        if not new:
            return True
        last = new[-1]
        expected = position.offset
        whole = True
        for change in new:
            expected += 1
            in_order = change.generation == position.generation and change.offset == expected
            whole = whole and in_order and change.is_known
        awaited = [change.offset for change in new if change.awaited and change.generation == last.generation]
        if whole:
            if awaited:  # before the hub says that it has applied them
                self.awaited_offset = awaited[-1]
            self._hub.apply(new, position._replace(offset=last.offset))
        elif last.generation:
            self._flush(LogPosition(position.identity, last.generation, last.offset), awaited[-1] if awaited else 0)
        else:
            return False  # nobody of us wrote it; whoever appends next begins the log anew
        self._settle()
        return True

    def _flush(self, position: LogPosition, awaited: int = 0) -> None:
        before = self._hub.position
        if before is None or not position.is_of(before):
            self._tails.clear()
            self._hub.in_step_as_of_s = None
            self.awaited_offset = 0
        self.awaited_offset = max(self.awaited_offset, awaited)
        self._hub.flush(position)

    def _settle(self) -> None:
        """In step as of the last join whose tail is applied [in-step-lease]."""
        position, tails = self._hub.position, self._tails
        while tails and position is not None and tails[0][0] <= position.offset:
            _, asked_s = tails.popleft()
            if self._hub.in_step_as_of_s is None or asked_s > self._hub.in_step_as_of_s:
                self._hub.in_step_as_of_s = asked_s
