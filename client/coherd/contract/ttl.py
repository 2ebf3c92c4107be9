"""TTL policy (docs/use/ttl.md): per-call TTL > operator's override > resource > domain, with jitter, stale, negative
and early refresh. Durations are integer milliseconds; random numbers are arguments in ``[0, 1)``.
"""

from __future__ import annotations

import enum
import math
from dataclasses import dataclass
from typing import Final

from coherd.contract.durations import format_duration
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason

DAY_MS: Final = 86_400_000
MAX_TTL_MS: Final = 366 * DAY_MS
"""No TTL is ever longer."""
MAX_STALE_MS: Final = 30 * DAY_MS
DEFAULT_MAX_TTL_MS: Final = 30 * DAY_MS
"""Bound of a per-call TTL where a declaration names none."""
MAX_JITTER: Final = 0.5
MAX_EARLY_REFRESH: Final = 10.0

_TTL: Final = ErrorReason.ERROR_REASON_TTL_INVALID


class PolicySource(enum.Enum):
    """Where the TTL of a policy comes from."""

    DOMAIN = "domain"
    RESOURCE = "resource"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class TtlPolicy:
    """How long values of a resource live; checked by `check`."""

    ttl_ms: int
    """TTL of a set that names none. Range: 1..366 d."""
    max_ttl_ms: int
    """Upper bound of a per-call TTL. Range: ttl_ms..366 d."""
    stale_ms: int = 0
    """How long after its TTL a value may be served while one caller refreshes it. Range: 0..30 d."""
    negative_ms: int = 0
    """How long "there is nothing" is remembered; 0: not. Range: 0..max_ttl_ms."""
    jitter: float = 0.0
    """A TTL is shortened by a random part of up to this fraction. Range: 0..0.5."""
    early_refresh: float = 0.0
    """XFetch beta; 0: no early refresh. Range: 0..10."""
    source: PolicySource = PolicySource.DOMAIN

    def check(self) -> None:
        """Raises:
        ValueError: a value is out of its range; the text names field and range.
        """
        _in_range("ttl", self.ttl_ms, 1, MAX_TTL_MS)
        _in_range("max", self.max_ttl_ms, self.ttl_ms, MAX_TTL_MS)
        _in_range("stale", self.stale_ms, 0, MAX_STALE_MS)
        _in_range("negative", self.negative_ms, 0, self.max_ttl_ms)
        if not 0 <= self.jitter <= MAX_JITTER:
            raise ValueError(f"jitter must be in 0..{MAX_JITTER}")
        if not 0 <= self.early_refresh <= MAX_EARLY_REFRESH:
            raise ValueError(f"early_refresh must be in 0..{MAX_EARLY_REFRESH:g}")


def _in_range(name: str, value: int, low: int, high: int) -> None:
    if not low <= value <= high:
        raise ValueError(
            f"{name} must be in {format_duration(low)}..{format_duration(high)}, not {format_duration(value)}"
        )


def choose_ttl_ms(policy: TtlPolicy, requested_ms: int | None, *, negative: bool = False, spread: float = 0.0) -> int:
    """The TTL a new value gets, in milliseconds, >= 1.

    Args:
        policy: in force for the key.
        requested_ms: the call's own TTL; taken as it is, without jitter.
        negative: the value is a remembered "there is nothing".
        spread: random number in ``[0, 1)`` that picks the jitter.

    Raises:
        Refusal: TTL_INVALID, if the request is not in 1..the policy's maximum, or a negative value is set without a TTL
            where the policy remembers none.
    """
    if requested_ms is not None:
        if not 1 <= requested_ms <= policy.max_ttl_ms:
            longest, given = format_duration(policy.max_ttl_ms), format_duration(requested_ms)
            raise Refusal(_TTL, f"a TTL must be in 1ms..{longest}, not {given}", field="ttl_ms")
        return requested_ms
    base_ms = policy.negative_ms if negative else policy.ttl_ms
    if base_ms == 0:
        raise Refusal(_TTL, 'the catalog does not remember "nothing" for this resource: give a TTL', field="ttl_ms")
    return max(1, base_ms - int(base_ms * policy.jitter * spread))


def refresh_early(policy: TtlPolicy, *, remaining_ms: int, load_ms: int, draw: float) -> bool:
    """Whether this caller should refresh a fresh value ahead of its expiry (XFetch: Vattani, Chierichetti, Lowenstein,
    "Optimal Probabilistic Cache Stampede Prevention", VLDB 2015).

    Args:
        policy: in force for the key.
        remaining_ms: time until the value is no longer fresh.
        load_ms: measured time of the last load; 0: unknown, never early.
        draw: random number in ``(0, 1]``.
    """
    if not policy.early_refresh or load_ms <= 0:
        return False
    return -load_ms * policy.early_refresh * math.log(draw) >= remaining_ms
