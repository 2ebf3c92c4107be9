"""The verbs of the service over `Memory`: requests in, answers out, one item at a time.

The semantics are those of `coherd_server.core`; the differential test holds the two together.
Everything raises `coherd.contract.reasons.Refusal` and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from coherd.catalog import requests
from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.catalog.declared import DomainSpec
from coherd.contract.ttl import choose_ttl_ms, refresh_early
from coherd.testing.clock import FakeClock
from coherd.testing.counts import Counts
from coherd.testing.memory import Kept, Lookup, Memory, State
from coherd.v1 import cache_service_pb2 as pb

HELD_RETRY_MS: Final = 100
_MISSES: Final = {
    State.ABSENT: pb.MISS_REASON_ABSENT,
    State.INVALIDATED: pb.MISS_REASON_INVALIDATED,
    State.STALE: pb.MISS_REASON_EXPIRED,
}


class Verbs:
    """What a server does with one item.

    Args:
        catalog: of the keys.
        memory: where entries live.
        counts: that every verb adds to.
        clock: gives the time.
        draw: source of random numbers in ``[0, 1)``, for jitter and early refresh.
        max_value_bytes: longest payload accepted.
    """

    def __init__(
        self,
        catalog: Catalog,
        memory: Memory,
        counts: Counts,
        clock: FakeClock,
        *,
        draw: Callable[[], float],
        max_value_bytes: int,
    ) -> None:
        self._catalog = catalog
        self._memory = memory
        self._counts = counts
        self._clock = clock
        self._draw = draw
        self._max_value_bytes = max_value_bytes

    def get(self, key: ResolvedKey, *, accept_stale: bool) -> pb.GetResponse:
        """The value or a miss."""
        lookup = self._memory.look(key)
        domain = key.domain.name
        if lookup.kept is not None and (lookup.state is State.FRESH or (accept_stale and lookup.state is State.STALE)):
            self._counts.add(domain, "hits" if lookup.state is State.FRESH else "stale_hits")
            self._counts.add(domain, "read_bytes", len(lookup.kept.payload))
            return pb.GetResponse(hit=_hit(lookup, lookup.kept))
        self._counts.add(domain, "misses")
        if lookup.state is State.INVALIDATED:
            self._counts.add(domain, "dead")
        return pb.GetResponse(miss=pb.Miss(reason=_MISSES[lookup.state]))

    def set(self, request: pb.SetRequest) -> pb.SetResponse:
        """Store a value."""
        item = requests.set_item(self._catalog, request)
        key = item.key
        ttl_ms = self._check(item)
        extra = requests.extra_tags_of(item)
        if item.only_if_absent and self._memory.look(key).state is State.FRESH:
            return pb.SetResponse(outcome=pb.SET_OUTCOME_PRESENT)
        entry = self._entry(item, ttl_ms)._replace(epochs=self._memory.stamps(key, extra), extra=extra)
        if not self._memory.store(key, entry):
            return pb.SetResponse(outcome=pb.SET_OUTCOME_OLDER_VERSION)
        self._counts.add(key.domain.name, "sets")
        self._counts.add(key.domain.name, "written_bytes", len(item.payload))
        return pb.SetResponse(outcome=pb.SET_OUTCOME_STORED, ttl_ms=ttl_ms)

    def delete(self, key: ResolvedKey) -> bool:
        """Remove an entry; whether one was stored."""
        self._counts.add(key.domain.name, "deletes")
        return self._memory.remove(key)

    def touch(self, request: pb.TouchRequest) -> pb.TouchResponse:
        """Give a fresh entry a new TTL."""
        key = self._catalog.key_of(request.key)
        requested_ms = request.ttl_ms if request.HasField("ttl_ms") else None
        if requested_ms is not None:
            choose_ttl_ms(key.policy, requested_ms)
        lookup = self._memory.look(key)
        if lookup.state is not State.FRESH or lookup.kept is None:
            return pb.TouchResponse()
        ttl_ms = choose_ttl_ms(key.policy, requested_ms, negative=lookup.kept.negative)
        self._memory.renew(key, lookup.kept, ttl_ms)
        return pb.TouchResponse(touched=True, ttl_ms=ttl_ms)

    def invalidate(self, request: pb.InvalidateRequest) -> pb.InvalidateResponse:
        """Invalidate all that the selectors select."""
        requests.check_selectors(request)
        tags: dict[str, DomainSpec] = {}
        keys: list[ResolvedKey] = []
        for selector in request.selectors:
            selection = self._catalog.select(selector)
            tags.update(selection.tags)
            if selection.key is not None:
                keys.append(selection.key)
        existed = {text: self._memory.remove(key) for text, key in {key.text: key for key in keys}.items()}
        for key in keys:
            self._counts.add(key.domain.name, "deletes")
        self._memory.invalidate(list(tags))
        for domain in tags.values():
            self._counts.add(domain.name, "invalidations")
        return pb.InvalidateResponse(tags=list(tags), deleted_keys=sum(existed[key.text] for key in keys))

    def metrics(self, request: pb.MetricsRequest) -> pb.MetricsResponse:
        """Counts of the named domains, or of all."""
        specs = [self._catalog.domain(name) for name in dict.fromkeys(request.domains)] or list(
            self._catalog.domains.values()
        )
        return pb.MetricsResponse(domains=[self._counts.of(spec) for spec in specs])

    def lease(self, item: requests.LeaseItem) -> pb.LeaseResponse:
        """A value, the lease, or that somebody else has it; looks once and counts nothing."""
        requests.check_lease(item)
        key = item.key
        lookup = self._memory.look(key)
        fresh = lookup.state is State.FRESH
        early = fresh and self._is_early(key, lookup)
        if fresh and not early and lookup.kept is not None:
            return pb.LeaseResponse(hit=_hit(lookup, lookup.kept))
        extra = requests.extra_tags_of(item)
        stale = _hit(lookup, lookup.kept) if lookup.kept and (early or lookup.state is State.STALE) else None
        lease = self._memory.lease_of(key)
        if lease is not None and lease.token != item.token:
            if early:
                return pb.LeaseResponse(hit=stale)
            return _held(stale)
        if lease is not None:
            requests.check_same_extra(lease.extra, extra)
            self._memory.hold(key, item.token, item.lease_ms)
        elif self._memory.was_granted(key, item.token):
            return _held(stale)  # its own lease, overtaken: a late copy of the request, whose lease nobody would use
        else:
            lease = self._memory.grant(key, item.token, item.lease_ms, extra)
        return _granted(item.lease_ms, lease.grant, stale)

    def renew(self, item: requests.LeaseItem) -> pb.LeaseResponse:
        """Let a lease of this token and grant live on, or answer that it is lost."""
        requests.check_lease(item)
        requests.check_grant(item.grant)
        requests.extra_tags_of(item)
        lease = self._memory.lease_of(item.key)
        if lease is None or (lease.token, lease.grant) != (item.token, item.grant):
            return _held()
        self._memory.hold(item.key, item.token, item.lease_ms)
        self._count(item, requests.LeaseOutcome.JOINED, waited=False)
        return _granted(item.lease_ms, lease.grant)

    def count_lease(self, item: requests.LeaseItem, answer: pb.LeaseResponse, *, waited: bool) -> None:
        """Count the answer that the callers of `lease` get in the end."""
        kind = requests.LeaseOutcome.MISS
        part = answer.granted if answer.HasField("granted") else answer.held
        if answer.HasField("hit"):
            kind = requests.LeaseOutcome.HIT
            self._counts.add(item.key.domain.name, "read_bytes", len(answer.hit.value))
        elif part.HasField("stale"):
            kind = requests.LeaseOutcome.STALE
            self._counts.add(item.key.domain.name, "read_bytes", len(part.stale.value))
        self._count(item, kind, waited=waited)

    def _count(self, item: requests.LeaseItem, kind: requests.LeaseOutcome, *, waited: bool) -> None:
        for name, by in requests.lease_counts(item, kind, waited=waited).items():
            self._counts.add(item.key.domain.name, name, by)

    def fill(self, request: pb.FillRequest) -> pb.FillResponse:
        """Store a value under its lease, or release that."""
        fill = requests.fill_item(self._catalog, request)
        key = fill.item.key
        if request.abandon:
            requests.check_release(fill.token, request.cooldown_ms)
            held = self._memory.hold(key, fill.token, request.cooldown_ms)
            return pb.FillResponse(outcome=pb.FILL_OUTCOME_ABANDONED if held else pb.FILL_OUTCOME_REJECTED)
        requests.check_grant(fill.grant)
        ttl_ms = self._check(fill.item)
        lease = self._memory.lease_of(key)
        if lease is not None and (lease.token, lease.grant) == (fill.token, fill.grant):
            entry = self._entry(fill.item, ttl_ms)
            entry = entry._replace(epochs=lease.epochs, extra=lease.extra, load_ms=max(0, fill.load_ms))
            if self._memory.store(key, entry):
                self._counts.add(key.domain.name, "fills")
                self._counts.add(key.domain.name, "written_bytes", len(fill.item.payload))
                return pb.FillResponse(outcome=pb.FILL_OUTCOME_STORED, ttl_ms=ttl_ms)
            self._memory.release(key)
        self._counts.add(key.domain.name, "rejected_fills")
        return pb.FillResponse(outcome=pb.FILL_OUTCOME_REJECTED)

    def _check(self, item: requests.SetItem) -> int:
        return requests.check_set(item, self._max_value_bytes, self._draw())

    def _entry(self, item: requests.SetItem, ttl_ms: int) -> Kept:
        now_ms = self._clock.now_ms
        return Kept(
            payload=item.payload,
            written_at_ms=now_ms,
            fresh_until_ms=now_ms + ttl_ms,
            stale_ms=0 if item.negative else item.key.policy.stale_ms,
            epochs=(),
            version=item.version,
            negative=item.negative,
        )

    def _is_early(self, key: ResolvedKey, lookup: Lookup) -> bool:
        load_ms = 0 if lookup.kept is None else lookup.kept.load_ms
        return refresh_early(key.policy, remaining_ms=lookup.remaining_ms, load_ms=load_ms, draw=1.0 - self._draw())


def _granted(lease_ms: int, grant: bytes, stale: pb.Hit | None = None) -> pb.LeaseResponse:
    return pb.LeaseResponse(granted=pb.LeaseGranted(lease_ms=lease_ms, stale=stale, grant=grant))


def _held(stale: pb.Hit | None = None) -> pb.LeaseResponse:
    return pb.LeaseResponse(held=pb.LeaseHeld(retry_after_ms=HELD_RETRY_MS, stale=stale))


def _hit(lookup: Lookup, kept: Kept) -> pb.Hit:
    return pb.Hit(
        value=kept.payload,
        age_ms=lookup.age_ms,
        remaining_ttl_ms=lookup.remaining_ms,
        stale=lookup.state is State.STALE,
        negative=kept.negative,
        version=kept.version,
        extra_tags=kept.extra_tags,
    )
