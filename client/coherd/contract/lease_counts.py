"""What an answer to a lease counts, per caller. Pure."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from typing import Final


class LeaseOutcome(enum.Enum):
    """What those who asked for a lease got."""

    HIT = "hit"
    STALE = "stale"
    """The lease, or that somebody else has it, and a stale value to serve meanwhile."""
    MISS = "miss"
    """The lease, or that somebody else has it."""
    JOINED = "joined"
    """A renewal: the load that runs under the lease is theirs too."""


def lease_counts(callers: int, counted: int, answer: LeaseOutcome, *, waited: bool) -> Mapping[str, int]:
    """Increments of `coherd.v1.DomainMetrics` by field, none of them 0.

    Each caller is one hit, one stale hit or one miss, however often it asks; a wait for somebody else's load is one
    miss.

    Args:
        callers: who share the request, >= 0.
        counted: those of them that an earlier answer has counted, 0..callers.
        answer: what they got.
        waited: the request was held for it.
    """
    new, avoided = callers - counted, 0
    field = _FIELDS[answer]
    if answer is LeaseOutcome.HIT:
        field, avoided = ("misses", callers) if waited else ("hits", counted)
    elif answer is LeaseOutcome.JOINED:
        avoided = callers
    return {name: by for name, by in ((field, new), ("loads_avoided", avoided)) if by}


_FIELDS: Final = {
    LeaseOutcome.HIT: "hits",
    LeaseOutcome.STALE: "stale_hits",
    LeaseOutcome.MISS: "misses",
    LeaseOutcome.JOINED: "misses",
}
