"""Defects of the server, each logged under an id that its callers get, too.

A defect that strikes again and again is one incident: the same id, told once, and once a minute with how often.
"""

from __future__ import annotations

import secrets
import time
import traceback
from collections.abc import Callable
from typing import Final

import structlog

from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.failure import Failure
from coherd_server.log import Repeated

_log = structlog.get_logger("coherd.rpc")
MOST_INCIDENTS: Final = 64
"""How many are told apart; the oldest are forgotten, and told anew when they strike again."""
_FRAMES: Final = 8


class Incidents:
    """The defects of one process.

    Args:
        clock: seconds that only grow.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._known: dict[tuple[str, ...], tuple[str, Repeated]] = {}

    def note(self, error: Exception) -> Failure:
        """Log a defect without the exception's text, which may hold a key, and name it by its id."""
        frames = [
            f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)
        ]
        kind = (type(error).__name__, *frames[-_FRAMES:])
        if kind not in self._known:
            self._known[kind] = (secrets.token_hex(4), Repeated(_log, self._clock))
            if len(self._known) > MOST_INCIDENTS:
                del self._known[next(iter(self._known))]
        incident, repeated = self._known[kind]
        repeated.tell("internal error", incident=incident, error=kind[0], frames=list(kind[1:]))
        return Failure(ErrorReason.ERROR_REASON_INTERNAL, f"internal error; incident {incident} in the server's log")


INCIDENTS: Final = Incidents()
"""Those of this process."""
