"""The lowest position somebody has not acknowledged. Pure; constant time per push and acknowledgement."""

from __future__ import annotations

from collections import deque


class Unacknowledged:
    """Counts pushes by the first position they answer for. Positions are added in rising order."""

    def __init__(self) -> None:
        self._order: deque[int] = deque()
        self._counts: dict[int, int] = {}

    def add(self, position: int) -> None:
        """One more push waits for its acknowledgement."""
        if position in self._counts:
            self._counts[position] += 1
        else:
            self._order.append(position)
            self._counts[position] = 1

    def remove(self, position: int) -> None:
        """One push less; those of a cleared generation are known no more, which is no error."""
        count = self._counts.get(position)
        if count is not None:
            self._counts[position] = count - 1

    @property
    def lowest(self) -> int | None:
        """None: nothing waits."""
        order, counts = self._order, self._counts
        while order and not counts[order[0]]:
            del counts[order.popleft()]
        return order[0] if order else None
