"""Where clients keep values: what a catalog declares, a server tells, and a near cache does."""

from __future__ import annotations

import enum


class NearCacheMode(enum.Enum):
    """Where clients keep values of a domain in their own process."""

    OFF = "off"
    PUSH = "push"
    """In near caches, which the server tells of every change."""
    STRICT = "strict"
    """As PUSH; and a change is acknowledged only when every near cache has dropped the value."""
