"""Figures of a near cache."""

from __future__ import annotations

from typing import NamedTuple


class NearStatistics(NamedTuple):
    """What is in a near cache now, and what has happened since it was made."""

    entries: int
    bytes: int
    """As reckoned for the bound: payloads, keys, and round sums for the rest."""
    tags: int
    """Different tags of its entries."""
    pending_reads: int
    """Reads that were begun and have not ended."""
    kept: int
    """Replies kept."""
    voided: int
    """Replies not kept because something touched their read."""
    refused: int
    """Replies not kept because they were too large, expired on arrival, or had tags the domain does not declare."""
    evicted: int
    """Entries that left for want of room."""
    dropped: int
    """Entries dropped by key or tag."""
    flushes: int
    """How often all was dropped."""
