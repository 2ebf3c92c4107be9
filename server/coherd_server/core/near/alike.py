"""What all servers of a store must have alike for near caches, and what is done where they do not [alike-or-paused].

A server appends a change to the log only where its own settings say that the domain is kept near. So where one server
lets its clients keep what another changes without a word, nothing may be kept: near caches are paused, which costs
hits. Leases that differ cost time: whoever waits for a member to fall silent goes by that member's lease.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b

import structlog

from coherd.catalog.declared import DomainSpec
from coherd.contract.near_cache import NearCacheMode
from coherd_server.core.near.change_log import DIGEST_BYTES, MemberTerms

_log = structlog.get_logger("coherd.near")


def digest_of(domains: Mapping[str, DomainSpec]) -> bytes:
    """`DIGEST_BYTES` that are alike where the same domains are kept near, as strictly, under the same tags."""
    digest = blake2b(digest_size=DIGEST_BYTES)
    for name, domain in sorted(domains.items()):
        if domain.near_cache is not NearCacheMode.OFF:
            line = (name, domain.near_cache.value, *sorted(domain.tags), "*", *sorted(domain.any_tags))
            digest.update(" ".join(line).encode() + b"\n")
    return digest.digest()


class Alike:
    """Compares what this member goes by with what the others say.

    Args:
        own: of this member.
        pause: called with whether near caches are to be paused, after each look.
    """

    def __init__(self, own: MemberTerms, pause: Callable[[bool], None]) -> None:
        self.own = own
        self._pause = pause
        self._differ = False
        self._leases_ms = {own.lease_ms}

    def look(self, members: Iterable[MemberTerms]) -> None:
        """All members that may have near caches, or make changes, as the registry has them."""
        leases_ms = {self.own.lease_ms}
        differ = False
        for terms in members:
            leases_ms.add(terms.lease_ms)
            differ = differ or terms.domains != self.own.domains
        if leases_ms != self._leases_ms and len(leases_ms) > 1:
            _log.warning(
                "servers of this store differ in near_cache_lease: strict changes wait for the longest",
                leases_ms=sorted(leases_ms),
            )
        self._leases_ms = leases_ms
        if differ and not self._differ:
            _log.warning(
                "near caches are paused: servers of this store differ in near_cache, or in tags of what is kept near"
            )
        elif self._differ and not differ:
            _log.info("near caches go on: the servers of this store are alike")
        self._differ = differ
        self._pause(differ)
