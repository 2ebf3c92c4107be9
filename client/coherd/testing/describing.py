"""The catalog as DescribeCatalog answers it; a test holds it against a real server's answer."""

from __future__ import annotations

from collections.abc import Sequence

from coherd.contract.catalog import Catalog, DomainSpec, NearCacheMode, OnFailover, ResourceSpec
from coherd.contract.ttl import PolicySource, TtlPolicy
from coherd.v1 import annotations_pb2
from coherd.v1 import cache_service_pb2 as wire

_SOURCES = {
    PolicySource.DOMAIN: wire.POLICY_SOURCE_DOMAIN,
    PolicySource.RESOURCE: wire.POLICY_SOURCE_RESOURCE,
    PolicySource.OPERATOR: wire.POLICY_SOURCE_OPERATOR,
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


def describe(catalog: Catalog, domains: Sequence[str]) -> wire.DescribeCatalogResponse:
    """The named domains, or all, and the named invalidations.

    Raises:
        Refusal: DOMAIN_UNKNOWN.
    """
    return wire.DescribeCatalogResponse(
        domains=[_domain(catalog.domain(name)) for name in dict.fromkeys(domains or catalog.domains)],
        invalidations=[
            wire.InvalidationDescription(name=spec.name, summary=spec.summary, tags=[str(tag) for tag in spec.tags])
            for spec in catalog.invalidations.values()
        ],
        fingerprint=catalog.fingerprint,
    )


def _domain(spec: DomainSpec) -> wire.DomainDescription:
    return wire.DomainDescription(
        name=spec.name,
        resources=[_resource(spec, resource) for resource in spec.resources.values()],
        tags=sorted(spec.tags),
        policy=_policy(spec.policy),
        near_cache=_NEAR[spec.near_cache],
        on_failover=_FAILOVER[spec.on_failover],
        open=spec.open,
        sensitive=spec.sensitive,
        documentation=spec.documentation,
    )


def _resource(domain: DomainSpec, spec: ResourceSpec) -> wire.ResourceDescription:
    return wire.ResourceDescription(
        name=spec.name,
        key_pattern=spec.key_pattern,
        identifiers=[
            wire.IdentifierDescription(
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
        policy=_policy(spec.policy),
        method=spec.method,
        documentation=spec.documentation,
    )


def _policy(policy: TtlPolicy) -> wire.PolicyDescription:
    return wire.PolicyDescription(
        ttl_ms=policy.ttl_ms,
        ttl_source=_SOURCES[policy.source],
        max_ttl_ms=policy.max_ttl_ms,
        stale_ms=policy.stale_ms,
        negative_ttl_ms=policy.negative_ms,
        jitter=policy.jitter,
        early_refresh=policy.early_refresh,
    )
