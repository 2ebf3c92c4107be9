"""What the near cache knows of a domain: the server's rules for it, its revision, its hits."""

from __future__ import annotations

import itertools
from typing import NamedTuple

from coherd._near.kept import CountHit
from coherd.contract.near_cache import NearCacheMode


class NearDomain(NamedTuple):
    """How the server wants a domain to be kept."""

    mode: NearCacheMode
    tags: frozenset[str] = frozenset()
    """Identifiers its entries can be invalidated by."""
    any_tags: frozenset[str] = frozenset()
    """Identifiers that have a tag for any value."""


class HitCounter:
    """Counts in any thread without a lock and loses nothing: one step of `itertools.count` is atomic."""

    __slots__ = ("_taken", "count")

    def __init__(self) -> None:
        self.count: CountHit = itertools.count().__next__
        self._taken = 0

    def take(self) -> int:
        """Hits since it was last called. Not to be called by two threads at once."""
        total = self.count()  # the number of steps before this one; the step itself is no hit
        hits = total - self._taken
        self._taken = total + 1
        return hits

    def restore(self, hits: int) -> None:
        """Count hits again that were taken and could not be reported."""
        self._taken -= hits


class DomainState:
    """One domain between two calls of `NearCache.configure`."""

    __slots__ = ("count_hit", "name", "policy", "revision")

    def __init__(self, name: str, policy: NearDomain, count_hit: CountHit) -> None:
        self.name = name
        self.policy = policy
        self.count_hit = count_hit
        self.revision = 0
        """Rises with whatever voids every pending read of the domain."""


def domain_of_key(key: str) -> str | None:
    """Name of the domain of canonical key text; None if it has no resource."""
    domain, colon, _ = key.partition(":")
    return domain if colon else None


def domain_of_tag(tag: str) -> str:
    """Name of the domain of a canonical tag: ``analytics``, ``analytics:daily``, ``analytics/user:user123``."""
    return tag.partition("/")[0].partition(":")[0]
