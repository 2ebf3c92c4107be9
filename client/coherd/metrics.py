"""Counts per domain as the service reports them (`CacheClient.metrics`)."""

from __future__ import annotations

import datetime
from dataclasses import dataclass

from coherd.v1 import cache_service_pb2 as wire


@dataclass(frozen=True, slots=True)
class Keyspace:
    """What the census counted of a domain or resource."""

    keys: int
    """Entries, dead ones included."""
    bytes: int
    """Bytes of keys and entries."""
    counted_at: datetime.datetime
    """When, in UTC."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Latency of operations, measured in the server that answered."""

    count: int
    p50_us: float
    p90_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class ResourceMetrics:
    """One resource of a domain."""

    resource: str
    key_pattern: str
    """For instance ``analytics:daily:user:{user}:date:{date}``."""
    recommended_ttl_ms: int
    """TTL a set gets that names none."""
    keyspace: Keyspace | None
    """None before the first census."""


@dataclass(frozen=True, slots=True)
class DomainMetrics:
    """One domain. Totals since the counters were created, over all replicas; another replica's last second may be
    missing."""

    domain: str
    hits: int
    """Reads answered with a fresh value, by a server."""
    stale_hits: int
    misses: int
    near_cache_hits: int
    hit_ratio: float
    """(hits + stale_hits + near_cache_hits) / all reads, 0..1; 0 before the first read."""
    sets: int
    fills: int
    rejected_fills: int
    loads_avoided: int
    """Callers that were spared a load by somebody else's."""
    invalidations: int
    """Tags of this domain that were invalidated."""
    deletes: int
    read_bytes: int
    written_bytes: int
    foreign: int
    """Misses because the stored bytes are not Coherd's."""
    dead: int
    """Misses because the entry was invalidated."""
    recommended_ttl_ms: int
    resources: tuple[ResourceMetrics, ...]
    """In declared order."""
    keyspace: Keyspace | None
    """None before the first census."""
    read_latency: Latency
    write_latency: Latency


def metrics_of(answer: wire.MetricsResponse) -> dict[str, DomainMetrics]:
    """The answer of the service by domain, in the order of the catalog."""
    return {domain.domain: _domain(domain) for domain in answer.domains}


def _domain(m: wire.DomainMetrics) -> DomainMetrics:
    return DomainMetrics(
        domain=m.domain,
        hits=m.hits,
        stale_hits=m.stale_hits,
        misses=m.misses,
        near_cache_hits=m.near_cache_hits,
        hit_ratio=m.hit_ratio,
        sets=m.sets,
        fills=m.fills,
        rejected_fills=m.rejected_fills,
        loads_avoided=m.loads_avoided,
        invalidations=m.invalidations,
        deletes=m.deletes,
        read_bytes=m.read_bytes,
        written_bytes=m.written_bytes,
        foreign=m.foreign,
        dead=m.dead,
        recommended_ttl_ms=m.recommended_ttl_ms,
        resources=tuple(
            ResourceMetrics(r.resource, r.key_pattern, r.recommended_ttl_ms, _keyspace(r)) for r in m.resources
        ),
        keyspace=_keyspace(m),
        read_latency=_latency(m.read_latency),
        write_latency=_latency(m.write_latency),
    )


def _keyspace(holder: wire.DomainMetrics | wire.ResourceMetrics) -> Keyspace | None:
    if not holder.HasField("keyspace"):
        return None
    counted = holder.keyspace
    return Keyspace(counted.keys, counted.bytes, counted.counted_at.ToDatetime(datetime.UTC))


def _latency(m: wire.LatencyQuantiles) -> Latency:
    return Latency(m.count, m.p50_us, m.p90_us, m.p99_us)
