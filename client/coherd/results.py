"""What the verbs answer besides plain values."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Entry(Generic[V]):
    """A cached value with its state, as of the answer."""

    value: V | None
    """The value; None if `negative`."""
    age_ms: int
    """Time since it was written, >= 0."""
    remaining_ttl_ms: int
    """Time until it is no longer fresh; 0 or less if `stale`."""
    stale: bool
    """Past its TTL, within the resource's stale time; only where stale values were accepted."""
    negative: bool
    """A remembered "there is nothing"."""
    version: int | None
    """The item version, if its writer gave one."""
    extra_tags: Mapping[str, str]
    """Extra tags its writer gave: identifier name to value."""


class SetOutcome(enum.Enum):
    """What a set did."""

    STORED = "stored"
    PRESENT = "present"
    """Not stored: `only_if_absent` was asked for and there is a fresh value."""
    OLDER_VERSION = "older_version"
    """Not stored: the stored item version is higher."""
    DROPPED = "dropped"
    """Not known to be stored: the service is unavailable, and the client was told to go on without it."""


@dataclass(frozen=True, slots=True)
class SetResult:
    """Answer of a set; true if the value was stored."""

    outcome: SetOutcome
    ttl_ms: int = 0
    """The TTL the value got, jitter included; 0 unless stored."""

    def __bool__(self) -> bool:
        return self.outcome is SetOutcome.STORED


@dataclass(frozen=True, slots=True)
class InvalidateResult:
    """Answer of an invalidation."""

    tags: tuple[str, ...]
    """Canonical texts of the tags that were invalidated, for instance ``analytics/user:user123``."""
    deleted_keys: int
    """Keys deleted by selectors of a single key."""
