"""What the requests of a call that loads say."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Terms(NamedTuple):
    """What a call says about leases and entries."""

    lease_ms: int
    tags: Mapping[str, str] | None
    ttl_ms: int | None
    nothing_ttl_ms: int | None
    timeout_ms: int
    """Of each exchange with the service."""
