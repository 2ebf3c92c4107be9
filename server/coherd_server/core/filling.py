"""Fills: values that were loaded under a lease. One that was overtaken by a change is dead on arrival.

A lease keeps the stamps of its grant: the epochs and nodes as they were before the load. A fill carries them, whatever
happened meanwhile [grant-time-stamps]; so a value loaded before an invalidation can never be valid after it (P1). It
must name its grant: a late copy of the request for the lease may have been granted anew under the same token, with
later stamps [fill-names-its-grant]. It can add no extra tags [tags-with-the-lease].
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from coherd.catalog.requests import FillItem, check_grant, check_set
from coherd.contract.reasons import Refusal
from coherd_server.core.counters import Counters
from coherd_server.core.failure import FOREIGN_VALUE, Failure, failure_of, refused
from coherd_server.core.lease_attempt import GrantedLeases, current_lease
from coherd_server.core.near.publish import ChangePublisher, distinct
from coherd_server.core.set_plan import SetPlan, needs_of, plan_of
from coherd_server.core.store import Fill, FillOutcome, Outdated, Store, StoreUnavailable
from coherd_server.core.validity import expected_block, extra_refs_of


class Filled(NamedTuple):
    """What a fill did."""

    stored: bool
    ttl_ms: int = 0


class Filler:
    """Carries out fills over one store.

    Args:
        store: where entries and leases live.
        granted: what this process has granted.
        publisher: tells near caches.
        counters: that every fill adds to.
        max_value_bytes: longest payload accepted.
        spread: source of random numbers in ``[0, 1)`` for jitter.
    """

    def __init__(
        self,
        store: Store,
        granted: GrantedLeases,
        publisher: ChangePublisher,
        counters: Counters,
        *,
        max_value_bytes: int,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._granted = granted
        self._publisher = publisher
        self._counters = counters
        self._max_value_bytes = max_value_bytes
        self._spread = spread

    async def fill(self, fill: FillItem) -> Filled | Failure:
        """Store a value under its lease, with the stamps of the grant; not where they are no longer current, or the
        lease is lost."""
        try:
            check_grant(fill.grant)
            ttl_ms = check_set(fill.item, self._max_value_bytes, self._spread())
            plan = plan_of(fill.item, ttl_ms, (), max(0, fill.load_ms))
            write = self._remembered(fill, plan) or await self._asked(fill, plan)
            if write is None:
                return self._filled(fill, FillOutcome.REJECTED, 0)
            notices = distinct(self._publisher.of_keys([fill.item.key]))
            (outcome,) = await self._store.fill([write], notices)
        except Refusal as refusal:
            return refused(refusal)
        except StoreUnavailable as error:
            return failure_of(error)
        if isinstance(outcome, StoreUnavailable):
            return failure_of(outcome)
        if isinstance(outcome, Outdated):
            outcome = FillOutcome.REJECTED
        if outcome is FillOutcome.STORED and (failure := await self._publisher.finish(notices)) is not None:
            return failure
        return FOREIGN_VALUE if outcome is FillOutcome.FOREIGN else self._filled(fill, outcome, plan.ttl_ms)

    def _remembered(self, fill: FillItem, plan: SetPlan) -> Fill | None:
        """What is to be stored, if this process has granted the lease and knows its stamps to be current as far as it
        was told: the store looks whether both still hold."""
        key = fill.item.key
        granted = self._granted.take(key.text, fill.token, fill.grant)
        if granted is None or fill.item.version is not None:  # a version counts even if it is dead
            return None
        lease, raw = granted
        plan = plan_of(fill.item, plan.ttl_ms, extra_refs_of(key, lease.block), plan.load_ms)
        known = self._store.remembered(needs_of([plan]))
        if known is None:
            return None
        basis, epochs = known
        if lease.block != expected_block(key, plan.extra, basis.identity, epochs):
            return None
        stamps = {tag: epoch for tag, (epoch, _) in epochs.items() if epoch is not None}
        entry = plan.entry(lease.block, basis.redis_now_ms)
        return Fill(key.text, entry, plan.lifetime_ms, raw, basis.identity, stamps)

    async def _asked(self, fill: FillItem, plan: SetPlan) -> Fill | None:
        """What is to be stored; None where the lease is lost, or its stamps are no longer current."""
        key = fill.item.key
        (values, leases, _), (_, ensured) = await asyncio.gather(
            self._store.read_leased([key.text], ()), self._store.ensure_epochs([], needs_of([plan]))
        )
        read, raw = values[0], leases[0] or b""
        lease = await current_lease(self._store, key, raw, read.identity, dict(ensured), plan.lifetime_ms)
        if lease is None or (lease.token, lease.grant) != (fill.token, fill.grant):
            return None
        plan = plan_of(fill.item, plan.ttl_ms, extra_refs_of(key, lease.block), plan.load_ms)
        entry = plan.entry(lease.block, read.redis_now_ms)
        return Fill(key.text, entry, plan.lifetime_ms, raw, read.identity)

    def _filled(self, fill: FillItem, outcome: FillOutcome, ttl_ms: int) -> Filled:
        counts = self._counters.counts[fill.item.key.domain.name]
        if outcome is FillOutcome.STORED:
            counts["fills"] += 1
            counts["written_bytes"] += len(fill.item.payload)
            return Filled(True, ttl_ms)
        counts["rejected_fills"] += 1
        return Filled(False)
