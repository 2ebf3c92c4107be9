"""The time of one node, which all connections to it tell alike."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Final

from coherd_server.redis.connection import Connection

LOOKS: Final = 8
DRIFT_MS: Final = 5
"""Two clocks are that much apart at most after `LOOKS` looks at one of them, if nobody has set it."""


class NodeClock:
    """Remembers the last few looks at a node's clock.

    A look takes a round trip and may be that much behind. If each connection told the time as its own last look had it,
    what is written over one and read over another, or after a slower look, had more left to live than it was given.
    """

    def __init__(self) -> None:
        self._looks: deque[tuple[bytes, float]] = deque(maxlen=LOOKS)
        """Whose clock was read, and how far it was ahead of `time.monotonic`, in milliseconds."""

    def agree(self, checked: Connection, connections: Iterable[Connection]) -> None:
        """A connection has just looked: let all connections to that node tell the time by the best look."""
        at_most_ms = checked.offset_ms + checked.round_trip_ms + DRIFT_MS
        if any(offset_ms > at_most_ms for _, offset_ms in self._looks):  # its clock was set back
            self._looks.clear()
        self._looks.append((checked.identity, checked.offset_ms))
        best_ms = max(offset_ms for identity, offset_ms in self._looks if identity == checked.identity)
        for connection in connections:
            if connection.identity == checked.identity:
                connection.offset_ms = best_ms
