"""Bounds of requests: what a client may ask for, and a server refuses beyond."""

from __future__ import annotations

from operator import index
from typing import Final, SupportsIndex

TOKEN_BYTES: Final = 16
"""Length of a token, which names a caller's load."""
GRANT_BYTES: Final = 8
"""Length of a grant, which names one granting of a lease."""
MAX_TIMEOUT_MS: Final = 2**31 - 1
"""Longest time limit of a call or a load, 24 days."""
MIN_LEASE_MS: Final = 10
"""Shortest life of a lease."""
MAX_LEASE_MS: Final = 600_000
"""Longest life of a lease."""
DEFAULT_LEASE_MS: Final = 10_000
"""Life of a lease whose request names none."""
MAX_WAIT_MS: Final = 600_000
"""Longest wait of a lease for another caller's load."""
MAX_CALLERS: Final = 1_000_000
"""Most callers that share one request for a lease."""
MAX_VERSION: Final = 2**63 - 1
"""Highest item version; the lowest is 1."""
MAX_SELECTORS: Final = 100
"""Most selectors of one Invalidate; the least is 1."""


def whole_number(name: str, value: SupportsIndex, low: int, high: int) -> int:
    """The value as an `int`.

    Args:
        name: of the argument, for the error.
        value: what was given.
        low: least that is accepted.
        high: most that is accepted.

    Raises:
        ValueError: it is no whole number (also a float or bool that equals one), or out of its range.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        number = index(value)
    except TypeError:
        raise ValueError(f"{name} must be a whole number, not {value!r}") from None
    if not low <= number <= high:
        raise ValueError(f"{name} must be in {low}..{high}, not {number}")
    return number
