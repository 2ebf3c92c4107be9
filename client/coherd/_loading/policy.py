"""How values are loaded: what a client is told once, and what a call may override."""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal, NamedTuple, TypeAlias, TypedDict

from coherd.contract.limits import DEFAULT_LEASE_MS, MAX_LEASE_MS, MAX_TIMEOUT_MS, MIN_LEASE_MS, whole_number

MAX_COOLDOWN_MS: Final = 600_000
MAX_LOADS: Final = 1_000_000


class Nothing(enum.Enum):
    """Type of `NOTHING`."""

    NOTHING = "nothing"

    def __repr__(self) -> str:
        return "coherd.NOTHING"


NOTHING: Final = Nothing.NOTHING
"""What a loader returns for "there is nothing". None is a JSON value like any other."""

Stale: TypeAlias = Literal["serve", "wait"]
OnLoadError: TypeAlias = Literal["stale", "raise"]
OnUnavailable: TypeAlias = Literal["load", "raise"]
OnUndecodable: TypeAlias = Literal["load", "raise"]


@dataclass(frozen=True, slots=True)
class LoadPolicy:
    """How `get_or_load` and its kin behave. Given to `CacheClient.connect`; each field can be overridden per call.

    How long values live, stay usable as stale values and are refreshed early is the catalog's.

    Raises:
        ValueError: a field is out of its range.
    """

    stale: Stale = "serve"
    """What a caller does that finds a value past its TTL but within the resource's stale time. ``"serve"``: returns it
    at once, while one caller refreshes it in the background. ``"wait"``: waits for the fresh one."""
    soft_timeout_ms: int | None = None
    """With ``stale="wait"``: how long to wait before the stale value is returned after all; the load goes on. Without
    a stale value there is nothing to return, and the wait goes on. None: to the end. Range: 0..2**31 - 1."""
    load_timeout_ms: int = 30_000
    """Longest a load may run; then it is cancelled, its lease is released, and its callers get `LoadTimeout`. Also
    the longest a caller waits for somebody else's load. Range: 1..2**31 - 1."""
    on_load_error: OnLoadError = "stale"
    """What a caller that waited gets when loading failed. ``"stale"``: the stale value if there is one, else the error.
    ``"raise"``: the error."""
    error_pause_ms: int = 1_000
    """After a failed load of a key that has a stale value: how long nobody, in any process, tries again. Range:
    0..600,000."""
    total_timeout_ms: int | None = None
    """Longest a caller waits in all: for the service, for somebody else's load, for its own. Then it gets the stale
    value if there is one and ``on_load_error`` allows it, else `LoadTimeout`; the load goes on. None: as long as the
    other limits make it, at most 3 times ``load_timeout_ms`` and 4 times ``timeout_ms``. Range: 1..2**31 - 1."""
    lease_ms: int = DEFAULT_LEASE_MS
    """How soon a load whose process died is taken over by another. Living ones renew their lease three times in it.
    Range: 10..600,000."""
    on_unavailable: OnUnavailable = "load"
    """What happens while the service is unavailable or late. ``"load"``: the loader is called without it and nothing is
    stored, at most ``max_direct_loads`` at once. ``"raise"``: the error of the service is raised."""

    on_undecodable: OnUndecodable = "load"
    """What a stored value is that is not of the key's type. ``"load"``: a miss; it is deleted, and loaded anew.
    ``"raise"``: `UndecodableValue`."""

    def __post_init__(self) -> None:
        _one_of("stale", self.stale, "serve", "wait")
        _one_of("on_load_error", self.on_load_error, "stale", "raise")
        _one_of("on_unavailable", self.on_unavailable, "load", "raise")
        _one_of("on_undecodable", self.on_undecodable, "load", "raise")
        whole_number("lease_ms", self.lease_ms, MIN_LEASE_MS, MAX_LEASE_MS)
        whole_number("error_pause_ms", self.error_pause_ms, 0, MAX_COOLDOWN_MS)
        whole_number("load_timeout_ms", self.load_timeout_ms, 1, MAX_TIMEOUT_MS)
        if self.total_timeout_ms is not None:
            whole_number("total_timeout_ms", self.total_timeout_ms, 1, MAX_TIMEOUT_MS)
        if self.soft_timeout_ms is not None:
            whole_number("soft_timeout_ms", self.soft_timeout_ms, 0, MAX_TIMEOUT_MS)

    @property
    def leaves(self) -> bool:
        """Whether a caller may get its answer, or its error, while the load it began goes on."""
        return self.soft_timeout_ms is not None or self.total_timeout_ms is not None

    def override(self, options: LoadOptions) -> LoadPolicy:
        """The policy of a call.

        Raises:
            TypeError: there is no such option.
            ValueError: an option is out of its range.
        """
        return replace(self, **options) if options else self


class LoadOptions(TypedDict, total=False):
    """The fields of `LoadPolicy`, as keywords of a call."""

    stale: Stale
    soft_timeout_ms: int | None
    load_timeout_ms: int
    on_load_error: OnLoadError
    error_pause_ms: int
    total_timeout_ms: int | None
    lease_ms: int
    on_unavailable: OnUnavailable
    on_undecodable: OnUndecodable


class Terms(NamedTuple):
    """What a call says about leases and entries."""

    lease_ms: int
    tags: Mapping[str, str] | None
    ttl_ms: int | None
    nothing_ttl_ms: int | None
    timeout_ms: int
    """Of each exchange with the service."""
    has_fallback: bool = False
    """The caller goes on without the service."""


@dataclass(frozen=True, slots=True)
class LoadLimits:
    """What one client does at once, per event loop.

    Raises:
        ValueError: a limit is out of its range.
    """

    max_direct_loads: int = 16
    """Loads without the service, >= 1; further ones wait for their turn."""
    max_background_loads: int = 64
    """Loads nobody waits for, >= 0; beyond them stale values are served and left to the next caller to refresh."""

    max_loader_threads: int = 64
    """Threads of plain loaders, >= 1, those of loads that were given up included until they end; further ones wait at
    most their ``load_timeout_ms``, which begins anew with the load. The blocking client has no use for it."""

    def __post_init__(self) -> None:
        whole_number("max_loader_threads", self.max_loader_threads, 1, MAX_LOADS)
        whole_number("max_direct_loads", self.max_direct_loads, 1, MAX_LOADS)
        whole_number("max_background_loads", self.max_background_loads, 0, MAX_LOADS)


def _one_of(name: str, value: object, *allowed: str) -> None:
    if value not in allowed:
        raise ValueError(f"{name} is one of {', '.join(map(repr, allowed))}")
