"""Counts of a domain as a wire message."""

from __future__ import annotations

from coherd.catalog.declared import DomainSpec
from coherd.v1 import cache_service_pb2 as pb
from coherd_server.core.census_note import CensusResult
from coherd_server.core.counters import COUNTERS, Quantiles
from coherd_server.core.report import DomainReport


def domain_metrics(spec: DomainSpec, report: DomainReport) -> pb.DomainMetrics:
    """One domain's counts."""
    metrics = pb.DomainMetrics(
        domain=spec.name,
        hit_ratio=report.hit_ratio,
        recommended_ttl_ms=spec.policy.ttl_ms,
        resources=[
            pb.ResourceMetrics(
                resource=one.name,
                key_pattern=one.key_pattern,
                recommended_ttl_ms=one.policy.ttl_ms,
                keyspace=_keyspace(report.census, f"{spec.name}:{one.name}"),
            )
            for one in spec.resources.values()
        ],
        keyspace=_keyspace(report.census, spec.name),
        read_latency=_latency(report.reads),
        write_latency=_latency(report.writes),
    )
    for name in COUNTERS:
        setattr(metrics, name, report.counts.get(name, 0))
    return metrics


def _keyspace(census: CensusResult | None, name: str) -> pb.KeyspaceCount | None:
    if census is None:
        return None
    count = pb.KeyspaceCount(keys=census.keys.get(name, 0), bytes=census.sizes.get(name, 0))
    count.counted_at.FromMilliseconds(census.counted_at_ms)
    return count


def _latency(quantiles: Quantiles) -> pb.LatencyQuantiles:
    return pb.LatencyQuantiles(
        count=quantiles.measured, p50_us=quantiles.p50_us, p90_us=quantiles.p90_us, p99_us=quantiles.p99_us
    )
