"""Bounds of requests: what a client may ask for, and a server refuses beyond."""

from __future__ import annotations

from typing import Final

TOKEN_BYTES: Final = 16
"""Length of a token, which names a caller's load."""
GRANT_BYTES: Final = 8
"""Length of a grant, which names one granting of a lease."""
MIN_LEASE_MS: Final = 10
"""Shortest life of a lease."""
MAX_LEASE_MS: Final = 600_000
"""Longest life of a lease."""
DEFAULT_LEASE_MS: Final = 10_000
"""Life of a lease whose request names none."""
MAX_WAIT_MS: Final = 600_000
"""Longest wait of a lease for another caller's load."""
MAX_VERSION: Final = 2**63 - 1
"""Highest item version; the lowest is 1."""
MAX_SELECTORS: Final = 100
"""Most selectors of one Invalidate; the least is 1."""
