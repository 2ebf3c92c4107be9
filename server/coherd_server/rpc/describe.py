"""The catalog and its counts as wire messages."""

from __future__ import annotations

from coherd.contract.catalog import DomainSpec, InvalidationSpec, NearCacheMode, OnFailover, ResourceSpec
from coherd.contract.ttl import PolicySource, TtlPolicy
from coherd.v1 import annotations_pb2
from coherd.v1 import cache_service_pb2 as pb
from coherd_server.domain.census_note import CensusResult
from coherd_server.domain.counters import COUNTERS, Quantiles
from coherd_server.domain.report import DomainReport

_SOURCES = {
    PolicySource.DOMAIN: pb.POLICY_SOURCE_DOMAIN,
    PolicySource.RESOURCE: pb.POLICY_SOURCE_RESOURCE,
    PolicySource.OPERATOR: pb.POLICY_SOURCE_OPERATOR,
}
_NEAR = {
    NearCacheMode.OFF: annotations_pb2.NEAR_CACHE_OFF,
    NearCacheMode.PUSH: annotations_pb2.NEAR_CACHE_PUSH,
    NearCacheMode.STRICT: annotations_pb2.NEAR_CACHE_STRICT,
}
_FAILOVER = {
    OnFailover.DROP: annotations_pb2.ON_FAILOVER_DROP,
    OnFailover.KEEP: annotations_pb2.ON_FAILOVER_KEEP,
}


def describe_policy(policy: TtlPolicy) -> pb.PolicyDescription:
    """TTL policy in force."""
    return pb.PolicyDescription(
        ttl_ms=policy.ttl_ms,
        ttl_source=_SOURCES[policy.source],
        max_ttl_ms=policy.max_ttl_ms,
        stale_ms=policy.stale_ms,
        negative_ttl_ms=policy.negative_ms,
        jitter=policy.jitter,
        early_refresh=policy.early_refresh,
    )


def describe_resource(domain: DomainSpec, spec: ResourceSpec) -> pb.ResourceDescription:
    """One resource."""
    return pb.ResourceDescription(
        name=spec.name,
        key_pattern=spec.key_pattern,
        identifiers=[
            pb.IdentifierDescription(
                name=one.name,
                type=one.type_name,
                unit=one.unit,
                is_tag=one.name in domain.tags,
                personal=one.name in domain.personal,
                documentation=one.documentation,
            )
            for one in spec.identifiers
        ],
        value_type=spec.value_type,
        policy=describe_policy(spec.policy),
        method=spec.method,
        documentation=spec.documentation,
    )


def describe_domain(spec: DomainSpec) -> pb.DomainDescription:
    """One domain."""
    return pb.DomainDescription(
        name=spec.name,
        resources=[describe_resource(spec, resource) for resource in spec.resources.values()],
        tags=sorted(spec.tags),
        policy=describe_policy(spec.policy),
        near_cache=_NEAR[spec.near_cache],
        on_failover=_FAILOVER[spec.on_failover],
        open=spec.open,
        sensitive=spec.sensitive,
        documentation=spec.documentation,
    )


def describe_invalidation(spec: InvalidationSpec) -> pb.InvalidationDescription:
    """One named invalidation."""
    return pb.InvalidationDescription(name=spec.name, summary=spec.summary, tags=[str(tag) for tag in spec.tags])


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
