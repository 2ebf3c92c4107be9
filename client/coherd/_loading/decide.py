"""What loading decides: pure, time and randomness are arguments."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from coherd._loading.policy import LoadPolicy
from coherd.errors import (
    ClientClosed,
    DeadlineExceeded,
    ForeignValue,
    InvalidRequest,
    OutcomeUnknown,
    Unavailable,
)
from coherd.key import Key, OpenKey
from coherd.v1.errors_pb2 import ErrorReason

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

_UNKNOWN_TO_SERVER: Final = frozenset(
    {
        ErrorReason.ERROR_REASON_DOMAIN_UNKNOWN,
        ErrorReason.ERROR_REASON_RESOURCE_UNKNOWN,
        ErrorReason.ERROR_REASON_IDENTIFIER_INVALID,
        ErrorReason.ERROR_REASON_KEY_INVALID,
        ErrorReason.ERROR_REASON_TAG_INVALID,
    }
)
"""Refusals of what the catalog of this process allows, so another catalog refused it."""


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


def loads_directly(policy: LoadPolicy, key: Key[Any], error: Exception) -> bool:
    """Whether a caller that got no value and no lease loads by itself: fail-open, the bytes in the place are not
    Coherd's, or this process is ahead of its server."""
    if isinstance(error, ForeignValue):
        return True
    return policy.on_unavailable == "load" and (isinstance(error, AWAY) or is_ahead(key, error))


def is_ahead(key: Key[Any], error: Exception) -> bool:
    """Whether the server refused a key, or a tag, because its catalog is older than the one the key's class was
    generated from. A key of a text, `OpenKey`, was checked by nobody before."""
    return isinstance(error, InvalidRequest) and error.reason in _UNKNOWN_TO_SERVER and not isinstance(key, OpenKey)


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
