"""What loading decides: pure, time and randomness are arguments."""

from __future__ import annotations

from typing import Final, NamedTuple

from coherd._loading.policy import LoadPolicy
from coherd.errors import ClientClosed, DeadlineExceeded, ForeignValue, OutcomeUnknown, Unavailable

WAIT_MS: Final = 2_000
"""How long one Lease call is held by the server while somebody else loads."""
MAX_HELD_CALLS: Final = 1_000
"""Most Lease calls of one event loop that are held at once: as many as a connection has places for them beside those of
other calls (`coherd._rpc.connection`). Whoever finds no place polls, and learns of a fill up to 150 ms late."""
POLL_MS: Final = 100
"""Pause between Lease calls that are not held: too many are, or there is a stale value and fresh ones are wanted."""
MAX_LEASE_ATTEMPTS: Final = 2
"""Most Lease calls for one answer, each with a token of its own."""

AWAY: Final = (Unavailable, DeadlineExceeded, OutcomeUnknown)
"""The service could not do what it was asked for, or its answer was lost."""


class Patience(NamedTuple):
    """Until when a caller waits, in the clock of ``now_s``, and what it gets then."""

    until_s: float
    then_stale: bool
    """The stale value; else `LoadTimeout`."""


def serves_at_once(policy: LoadPolicy, *, stale: bool, early: bool) -> bool:
    """Whether a caller returns what there is instead of waiting for a load.

    Args:
        policy: of the call.
        stale: there is a value past its TTL that may be served.
        early: it is still fresh; the load is ahead of its expiry (XFetch), which the server decides.
    """
    return early or (stale and policy.stale == "serve")


def patience(policy: LoadPolicy, *, started_s: float, hard_s: float, stale: bool) -> Patience:
    """How long a caller waits.

    Args:
        policy: of the call.
        started_s: when the call began.
        hard_s: when it waits no longer in any case.
        stale: it has a stale value to fall back on.
    """
    if stale and policy.soft_timeout_ms is not None:
        soft_s = started_s + policy.soft_timeout_ms / 1_000
        if soft_s < hard_s:
            return Patience(soft_s, True)
    return Patience(hard_s, stale and policy.on_load_error == "stale")


def falls_back(policy: LoadPolicy, error: BaseException, *, stale: bool) -> bool:
    """Whether a caller whose load failed returns its stale value."""
    return stale and policy.on_load_error == "stale" and not isinstance(error, ClientClosed)


def loads_directly(policy: LoadPolicy, error: Exception) -> bool:
    """Whether a caller that the service did not answer loads by itself: fail-open, or the bytes in the place are not
    Coherd's."""
    return isinstance(error, ForeignValue) or (isinstance(error, AWAY) and policy.on_unavailable == "load")


def poll_pause_ms(retry_after_ms: int, draw: float) -> float:
    """Pause before the next Lease call where the server did not hold the last one.

    Args:
        retry_after_ms: the server's advice, 0 for none.
        draw: random number in ``[0, 1)``: callers of one moment do not return in one moment.
    """
    return min(retry_after_ms or POLL_MS, POLL_MS) * (0.5 + draw)


def renew_every_ms(lease_ms: int) -> float:
    """How often a load renews its lease: two renewals may be lost before the lease is."""
    return lease_ms / 3
