"""The state machine of the near cache."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from coherd._near.domains import DomainState, HitCounter, NearDomain, domain_of_key, domain_of_tag
from coherd._near.eviction import MAX_USES, EvictionQueue
from coherd._near.kept import Growth, Kept, TagIndex, size_bytes
from coherd._near.pending_reads import PendingRead, PendingReads
from coherd._near.statistics import NearStatistics
from coherd.contract.near_cache import NearCacheMode
from coherd.contract.reasons import Refusal
from coherd.contract.tags import derived_texts, extra_tags

LARGEST_SHARE: Final = 8
"""An entry of more than one part in so many of ``max_bytes`` is not kept: it would push out too much."""


class NearCache:
    """Values kept in this process. A reply is kept if its read was begun before it was asked for and nothing touched
    it since [mark-before-asking], and served under a lease of the server, of which nothing outlives a lapse
    [flush-after-a-lapse].

    Times are seconds of one clock of the caller's, which must also count suspension.

    Threads: `lookup` and `revoke` may be called by any, without a lock. All else is for one thread, the one that reads
    the session's stream; a blocking client hands its reads and own changes over to it. There is no lock that a fork
    could leave taken; the copy in a forked child may be cut off in the middle of a change, so a child makes a near
    cache anew [fork-drops].

    Why a `lookup` needs no lock: it reads the lease first, then the entry by one ``dict.get``, which the interpreter
    does not interrupt, and what it judges an entry by never changes. Those who drop take the entry out of that one
    dict, which is never replaced, before they return. So a look-up that starts after `drop_keys`, `drop_tags`, `flush`,
    `disconnect` or `configure` has returned never finds what they dropped; one that runs meanwhile counts as having
    come before. `extend` flushes before it sets the new lease, and `disconnect` ends the lease before it flushes, so
    whoever sees a lease sees only entries that it covers.
    """

    __slots__ = (
        "_domains",
        "_dropped",
        "_entries",
        "_evicted",
        "_flushes",
        "_growth",
        "_hits",
        "_kept",
        "_largest_bytes",
        "_lease_until_s",
        "_queue",
        "_reads",
        "_refused",
        "_revoked",
        "_tags",
        "_voided",
        "elsewhere",
    )

    def __init__(self, *, max_entries: int, max_bytes: int) -> None:
        """An empty one that keeps nothing until it is configured and has a lease.

        Args:
            max_entries: most entries, >= 1.
            max_bytes: most memory as reckoned (`NearStatistics.bytes`), >= 1.

        Raises:
            ValueError: a bound is less than 1.
        """
        if max_entries < 1 or max_bytes < 1:
            raise ValueError("a near cache is bounded by at least one entry and one byte")
        self._largest_bytes = max_bytes // LARGEST_SHARE
        self._entries: Final[dict[str, Kept]] = {}
        self._queue = EvictionQueue(max_entries, max_bytes)
        self._growth = Growth(self._largest_bytes)
        self._tags = TagIndex()
        self._reads = PendingReads()
        self._domains: dict[str, DomainState] = {}
        self._hits: dict[str, HitCounter] = {}
        self._lease_until_s = -math.inf
        self._revoked = object()
        self.elsewhere: Callable[[], Iterable[NearCache]] = tuple
        """Near caches of the same client in other event loops: its own changes `revoke` them."""
        self._kept = self._voided = self._refused = self._evicted = self._dropped = self._flushes = 0

    def lookup(self, key: str, now_s: float) -> Kept | None:
        """The value kept under a key, if the lease and the value's own expiry allow it; counts the hit. Any thread.

        Args:
            key: canonical text.
            now_s: read after the caller's own call began.
        """
        if now_s < self._lease_until_s:  # before the entry is looked up, see the class
            kept = self._entries.get(key)
            if kept is not None and now_s < kept.expires_s:
                if kept.uses < MAX_USES:
                    kept.uses += 1
                kept.count_hit()
                return kept
        return None

    def configure(self, policies: Mapping[str, NearDomain]) -> None:
        """Take over the server's rules at the start of a session: drops everything, ends the lease, voids reads.

        Args:
            policies: by domain; one that is not named is off.
        """
        self.disconnect()
        self._domains = {
            name: DomainState(name, policy, self._hits.setdefault(name, HitCounter()).count)
            for name, policy in policies.items()
            if policy.mode is not NearCacheMode.OFF
        }

    def begin_read(self, key: str, now_s: float) -> PendingRead | None:
        """Begin a read before its key is asked for. Each must end in `keep` or `release`; a key may have several.

        Args:
            key: canonical text.
            now_s: now.

        Returns:
            None if the reply is not to be kept: the domain is off or unknown, or there is no lease.
        """
        if not now_s < self._lease_until_s:
            return None
        text = key if type(key) is str else str.__str__(key)
        domain = self._domains.get(domain_of_key(text) or "")
        return None if domain is None else self._reads.begin(text, domain, now_s)

    def keep(
        self,
        read: PendingRead,
        *,
        payload: bytes,
        negative: bool,
        expires_s: float,
        extra_tags: Mapping[str, str],
    ) -> bool:
        """End a read with the reply: it is kept if nothing touched the read.

        Args:
            read: of `begin_read`.
            payload: the value as it came.
            negative: the reply says that there is nothing, and is to be remembered.
            expires_s: when it stops being fresh.
            extra_tags: tags of the entry besides those of its key, identifier to decoded value.

        Returns:
            Whether it was kept.
        """
        void = read.void
        self._reads.end(read)
        if void:
            self._voided += 1
            return False
        tags = _tags_of(read.key, read.domain, extra_tags)
        if tags is None or not self._fits(read, payload, len(tags), expires_s):
            self._refused += 1
            return False
        if self._growth:
            self._count_decoded(read.begun_s)
        kept = Kept(read.key, bytes(payload), negative, expires_s, len(tags), read.domain.count_hit, self._growth)
        before = self._entries.get(read.key)
        proven = False
        if before is not None:  # it expired, or another reply to the same question came first
            kept.uses = before.uses
            proven = self._forget(before)
        self._evict(self._queue.admit(kept, read.begun_s, proven=proven))
        self._tags.add(kept, tags)
        self._entries[read.key] = kept
        self._kept += 1
        return True

    def release(self, read: PendingRead) -> None:
        """End a read without a value to keep. Again does nothing.

        The call failed, was cancelled, found nothing, or what it found the server does not call near_cacheable.
        """
        self._reads.end(read)

    def drop_keys(self, keys: Iterable[str]) -> None:
        """Drop keys and void their reads: they were pushed, or changed by this client (done, failed or unknown)."""
        for key in keys:
            self._reads.touch(key)
            kept = self._entries.get(key)
            if kept is not None:
                self._forget(kept)
                self._dropped += 1

    def drop_tags(self, tags: Iterable[str]) -> None:
        """Drop what carries these tags, and void every pending read of their domains.

        All reads, because the extra tags of a value in flight are not known here.
        """
        for tag in tags:
            domain = self._domains.get(domain_of_tag(tag))
            if domain is None:
                continue
            domain.revision += 1
            for kept in self._tags.of(tag):
                self._forget(kept)
                self._dropped += 1

    def flush(self) -> None:
        """Drop everything and void all pending reads; the lease stays."""
        self._entries.clear()  # first: look-ups see nothing from here on
        self._growth.clear()
        self._queue.clear()
        self._tags.clear()
        for domain in self._domains.values():
            domain.revision += 1
        self._flushes += 1

    def extend(self, until_s: float, now_s: float) -> None:
        """Serve until then. If the lease had lapsed by now everything is flushed first: pushes may be missing.

        Args:
            until_s: counted from when the request it answers was sent; an earlier promise of more stands.
            now_s: now.
        """
        if self._growth:
            self._count_decoded(now_s)
        revoked = self._revoked
        if not now_s < self._lease_until_s:
            self.flush()
        self._lease_until_s = max(self._lease_until_s, until_s)
        if revoked is not self._revoked:
            self._lease_until_s = -math.inf

    def revoke(self) -> None:
        """Serve nothing until the next extension, which flushes first. Any thread.

        For changes that the client made in another event loop: they must be seen in this one, too, once acknowledged.
        """
        self._revoked = object()  # before the lease, so that an extension under way does not bring it back
        self._lease_until_s = -math.inf

    def disconnect(self) -> None:
        """The stream is lost: no lease, nothing kept, all pending reads void."""
        self._lease_until_s = -math.inf  # before the flush, see the class
        self.flush()

    def take_hits(self) -> dict[str, int]:
        """Hits per domain since they were last taken, domains without any left out. Each hit is given out once."""
        taken = {name: counter.take() for name, counter in self._hits.items()}
        return {name: hits for name, hits in taken.items() if hits}

    def restore_hits(self, hits: Mapping[str, int]) -> None:
        """Count hits again that were taken but could not be reported."""
        for name, number in hits.items():
            self._hits[name].restore(number)

    @property
    def statistics(self) -> NearStatistics:
        """Figures."""
        return NearStatistics(
            entries=len(self._entries),
            bytes=self._queue.bytes,
            tags=len(self._tags),
            pending_reads=self._reads.open,
            kept=self._kept,
            voided=self._voided,
            refused=self._refused,
            evicted=self._evicted,
            dropped=self._dropped,
            flushes=self._flushes,
        )

    def _count_decoded(self, now_s: float) -> None:
        """Count what hits have decoded since, and evict what there is no room for."""
        for kept in self._growth.take():
            if self._entries.get(kept.key) is kept:  # else it was dropped, with its decoded values
                by_bytes = kept.decoded_bytes - kept.counted_bytes
                kept.counted_bytes += by_bytes
                self._evict(self._queue.grow(kept, by_bytes, now_s))

    def _evict(self, evicted: Iterable[Kept]) -> None:
        for kept in evicted:
            del self._entries[kept.key]
            self._tags.remove(kept)
            kept.copied = kept.shared = None
            self._evicted += 1

    def _fits(self, read: PendingRead, payload: bytes, tags: int, expires_s: float) -> bool:
        return read.begun_s < expires_s and size_bytes(read.key, payload, tags) <= self._largest_bytes

    def _forget(self, kept: Kept) -> bool:
        """Take one entry out of everything; whether it had proven itself (`EvictionQueue.remove`)."""
        del self._entries[kept.key]  # first: look-ups do not see it from here on
        self._tags.remove(kept)
        kept.copied = kept.shared = None  # it may be held by those who grew, or by a look-up
        return self._queue.remove(kept)


def _tags_of(key: str, domain: DomainState, extra: Mapping[str, str]) -> tuple[str, ...] | None:
    """All tags of an entry, each once; None if the domain declares no such extra tag."""
    _, tags, any_tags = domain.policy
    derived = derived_texts(key, tags, any_tags)
    if not extra:
        return derived
    try:
        added = extra_tags(domain.name, extra, tags, any_tags, ())
    except Refusal:
        return None
    return tuple(dict.fromkeys((*derived, *(tag for _, tag in added))))
