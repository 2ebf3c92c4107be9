"""The time limit of a call that needs several requests: each is sent with what is left of it."""

from __future__ import annotations

import time

from coherd.contract.reasons import Retry
from coherd.errors import DeadlineExceeded
from coherd.v1.errors_pb2 import ErrorReason


class TimeLimit:
    """The limit of one call, which begins now.

    Args:
        limit_ms: of the whole call, >= 1.
    """

    def __init__(self, limit_ms: int) -> None:
        self._until_s = time.monotonic() + limit_ms / 1_000

    def left_ms(self, *, changed: bool = False) -> int:
        """Time limit of the next request in milliseconds, >= 1.

        Args:
            changed: earlier requests of the call took effect, so the call as a whole did in part.

        Raises:
            DeadlineExceeded: the time is up; the request is not to be sent.
        """
        left_ms = (self._until_s - time.monotonic()) * 1_000
        if left_ms <= 0:
            text = "part of it took effect" if changed else "nothing was changed"
            raise DeadlineExceeded(
                f"not sent within the time limit of the call; {text}",
                reason=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED,
                retry=Retry.IDEMPOTENT if changed else Retry.SAFE,
            )
        return max(1, round(left_ms))
