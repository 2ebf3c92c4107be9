"""Fills: values that were loaded under a lease. One that was overtaken by a change is dead on arrival.

A lease keeps the stamps of its grant: the epochs and nodes as they were before the load. A fill carries them, whatever
happened meanwhile [grant-time-stamps]; so a value loaded before an invalidation can never be valid after it (P1). It
must name its grant: a late copy of the request for the lease may have been granted anew under the same token, with
later stamps [fill-names-its-grant]. It can add no extra tags [tags-with-the-lease].
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from coherd.catalog.requests import FillItem, check_grant, check_set
from coherd.contract.reasons import Refusal
from coherd_server.core.counters import Counters
from coherd_server.core.failure import FOREIGN_VALUE, Failure, failure_of, refused
from coherd_server.core.granted_leases import GrantedLease, GrantedLeases
from coherd_server.core.lease_attempt import current_lease
from coherd_server.core.near.change_log import ChangeNotice
from coherd_server.core.near.publish import ChangePublisher, distinct, is_told
from coherd_server.core.set_plan import SetPlan, needs_of, plan_of
from coherd_server.core.store import EpochRead, Fill, FillOutcome, Outdated, Store, StoreUnavailable, ValueRead
from coherd_server.core.validity import expected_block, extra_refs_of


class Filled(NamedTuple):
    """What a fill did."""

    stored: bool
    ttl_ms: int = 0


class _Planned(NamedTuple):
    """A fill that was checked."""

    fill: FillItem
    plan: SetPlan
    """Without the extra tags, which only its lease knows."""


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
        return (await self.fill_many([fill]))[0]

    async def fill_many(self, fills: Sequence[FillItem]) -> list[Filled | Failure]:
        """As `fill` for each, in order, in as few round trips as for one. Of two of one lease one is stored."""
        done: dict[int, Filled | Failure] = {}
        planned: dict[int, _Planned] = {}
        for index, fill in enumerate(fills):
            try:
                check_grant(fill.grant)
                ttl_ms = check_set(fill.item, self._max_value_bytes, self._spread())
                planned[index] = _Planned(fill, plan_of(fill.item, ttl_ms, (), max(0, fill.load_ms)))
            except Refusal as refusal:
                done[index] = refused(refusal)
        writes = self._remembered(planned)
        asked = {index: one for index, one in planned.items() if index not in writes}
        if asked:
            await self._ask(asked, writes, done)
        if writes:
            await self._write(planned, writes, done)
        return [done[index] for index in range(len(fills))]

    async def _write(
        self, planned: Mapping[int, _Planned], writes: Mapping[int, Fill], done: dict[int, Filled | Failure]
    ) -> None:
        """Store what is to be stored, and end it once near caches are told."""
        notices = self._publisher.of_keys([planned[index].fill.item.key for index in writes])
        outcomes = await self._store.fill(list(writes.values()), distinct(notices))
        untold: dict[ChangeNotice, list[int]] = {}
        for index, outcome, notice in zip(writes, outcomes, notices, strict=True):
            fill, plan = planned[index]
            if isinstance(outcome, StoreUnavailable):
                done[index] = failure_of(outcome)
            elif outcome is FillOutcome.FOREIGN:
                done[index] = FOREIGN_VALUE
            elif outcome is FillOutcome.STORED and notice is not None and not is_told(notice):
                untold.setdefault(notice, []).append(index)
            else:
                outcome = FillOutcome.REJECTED if isinstance(outcome, Outdated) else outcome
                done[index] = self._filled(fill, outcome, plan.ttl_ms)
        failures = await asyncio.gather(*(self._publisher.finish([notice]) for notice in untold))
        for indexes, failure in zip(untold.values(), failures, strict=True):
            for index in indexes:
                fill, plan = planned[index]
                done[index] = failure or self._filled(fill, FillOutcome.STORED, plan.ttl_ms)

    def _remembered(self, planned: Mapping[int, _Planned]) -> dict[int, Fill]:
        """What is to be stored of those whose lease this process has granted, with stamps that are current as far as it
        was told: the store looks whether both still hold."""
        granted: dict[int, tuple[GrantedLease, SetPlan]] = {}
        for index, (fill, plan) in planned.items():
            found = self._granted.take(fill.item.key.text, fill.token, fill.grant)
            if found is not None and fill.item.version is None:  # a version counts even if it is dead
                extra = extra_refs_of(fill.item.key, found.lease.block)
                granted[index] = found, plan_of(fill.item, plan.ttl_ms, extra, plan.load_ms)
        known = self._store.remembered(needs_of(plan for _, plan in granted.values())) if granted else None
        if known is None:
            return {}
        basis, epochs = known
        stamps = {tag: epoch for tag, (epoch, _) in epochs.items() if epoch is not None}
        writes: dict[int, Fill] = {}
        for index, ((lease, raw), plan) in granted.items():
            key = plan.item.key
            if lease.block == expected_block(key, plan.extra, basis.identity, epochs):
                entry = plan.entry(lease.block, basis.redis_now_ms)
                writes[index] = Fill(key.text, entry, plan.lifetime_ms, raw, basis.identity, stamps, plan.tags)
        return writes

    async def _ask(
        self, asked: Mapping[int, _Planned], writes: dict[int, Fill], done: dict[int, Filled | Failure]
    ) -> None:
        """What is to be stored of those whose lease must be looked at. Where it is lost, or its stamps are no longer
        current, the fill is rejected."""
        try:
            reads, (_, ensured) = await asyncio.gather(
                self._store.read_leased([fill.item.key.text for fill, _ in asked.values()], ()),
                self._store.ensure_epochs([], needs_of(plan for _, plan in asked.values())),
            )
            values, leases, _ = reads
            found = await asyncio.gather(
                *(
                    self._judged(one, value, lease or b"", ensured)
                    for one, value, lease in zip(asked.values(), values, leases, strict=True)
                )
            )
        except StoreUnavailable as error:
            if len(asked) == 1 or self._store.one_primary:
                done.update(dict.fromkeys(asked, failure_of(error)))
            else:  # so that a node that is down fails only its own items
                await asyncio.gather(*(self._ask({index: one}, writes, done) for index, one in asked.items()))
            return
        for (index, (fill, _)), write in zip(asked.items(), found, strict=True):
            if write is None:
                done[index] = self._filled(fill, FillOutcome.REJECTED, 0)
            else:
                writes[index] = write

    async def _judged(
        self, one: _Planned, read: ValueRead, raw: bytes, ensured: Mapping[str, EpochRead]
    ) -> Fill | None:
        """What is to be stored under the lease that was read; None where it is not that of the fill.

        Raises:
            StoreUnavailable: epochs of extra tags cannot be read.
        """
        fill, plan = one
        key = fill.item.key
        epochs = {tag: ensured[tag] for tag in plan.tags}
        lease = await current_lease(self._store, key, raw, read.identity, epochs, plan.lifetime_ms)
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
