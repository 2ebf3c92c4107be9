"""The ways a client can reach the service, to be compared."""

from __future__ import annotations

import enum
from typing import Any


class Way(enum.Enum):
    """How a replay reads and writes."""

    NEAR = "session and near cache"
    SESSION = "session"
    UNARY = "unary calls"

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `CacheClient.connect`."""
        return {"near_cache": self is Way.NEAR, "sessions": self is not Way.UNARY}
