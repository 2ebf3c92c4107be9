"""Counts of a domain as a caller sees them: stored counters of all server processes, and the latency of this one."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from coherd.catalog.catalog import Catalog
from coherd_server.core.census import Census
from coherd_server.core.census_note import CensusResult
from coherd_server.core.counters import Counters, Quantiles, hit_ratio
from coherd_server.core.failure import Failure, failure_of
from coherd_server.core.lost import Lost, lost_in
from coherd_server.core.store import Store, StoreUnavailable

_log = structlog.get_logger("coherd.metrics")


@dataclass(frozen=True, slots=True)
class DomainReport:
    """One domain's counts."""

    counts: Mapping[str, int] | None
    """None where the part of the store that holds them does not answer."""
    reads: Quantiles
    writes: Quantiles
    census: CensusResult | None
    """What the last whole census pass counted; None before the first, or where that is not known."""
    lost: Lost
    """What cannot be served just now."""

    @property
    def hit_ratio(self) -> float:
        """Share of reads that got a value, 0..1."""
        return hit_ratio(self.counts or {})


class Reporter:
    """Flushes pending counts to the store and reads them back."""

    def __init__(self, store: Store, counters: Counters, census: Census, catalog: Catalog) -> None:
        self._store = store
        self._catalog = catalog
        self._census = census
        self._counters = counters
        self._flushing: asyncio.Task[None] | None = None

    async def flush(self) -> None:
        """Store what was counted so far, also what another flush has taken and not stored yet. Cancelling it disturbs
        nobody, and loses nothing."""
        if self._flushing is not None:
            await asyncio.shield(self._flushing)
        if self._flushing is None:
            self._flushing = asyncio.create_task(self._store_counts())
        await asyncio.shield(self._flushing)

    async def _store_counts(self) -> None:
        """What was surely not stored is kept for the next time; where the outcome is unknown the counts are dropped
        rather than counted twice."""
        try:
            taken = self._counters.take()
            if taken:
                self._counters.put_back(await self._store.count(taken))
        finally:
            self._flushing = None

    async def run(self, interval_ms: int) -> None:
        """Flush every ``interval_ms`` until cancelled."""
        while True:
            await asyncio.sleep(interval_ms / 1000)
            await self.flush()

    async def report(self, domains: Sequence[str]) -> Mapping[str, DomainReport] | Failure:
        """One report per domain, this process's latest counts included."""
        try:
            await self.flush()
            stored = await self._store.counters(domains)
            census = await self._counted()
        except StoreUnavailable as error:
            return failure_of(error)
        reads, writes = self._counters.reads, self._counters.writes
        lost = lost_in(self._store, self._catalog)
        return {
            name: DomainReport(stored.get(name), reads[name].quantiles(), writes[name].quantiles(), census, lost)
            for name in domains
        }

    async def _counted(self) -> CensusResult | None:
        """Raises:
        StoreUnavailable: the store does not answer, not just the part of it that holds the result.
        """
        try:
            return await self._census.result()
        except StoreUnavailable:
            if self._store.one_primary or self._store.trouble():
                raise
            return None
