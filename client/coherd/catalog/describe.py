"""The catalog as ``DescribeCatalog`` answers it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import DomainSpec, InvalidationSpec, NearCacheMode, OnFailover, ResourceSpec
from coherd.contract.ttl import PolicySource, TtlPolicy
from coherd.v1 import annotations_pb2
from coherd.v1 import cache_service_pb2 as pb

_SOURCES: Final = {
    PolicySource.DOMAIN: pb.POLICY_SOURCE_DOMAIN,
    PolicySource.RESOURCE: pb.POLICY_SOURCE_RESOURCE,
    PolicySource.OPERATOR: pb.POLICY_SOURCE_OPERATOR,
}
_NEAR: Final = {
    NearCacheMode.OFF: annotations_pb2.NEAR_CACHE_OFF,
    NearCacheMode.PUSH: annotations_pb2.NEAR_CACHE_PUSH,
    NearCacheMode.STRICT: annotations_pb2.NEAR_CACHE_STRICT,
}
_FAILOVER: Final = {
    OnFailover.DROP: annotations_pb2.ON_FAILOVER_DROP,
    OnFailover.KEEP: annotations_pb2.ON_FAILOVER_KEEP,
}


def describe(catalog: Catalog, domains: Iterable[str]) -> pb.DescribeCatalogResponse:
    """The named domains, or all where none is named, and the named invalidations.

    Raises:
        Refusal: DOMAIN_UNKNOWN.
    """
    names = list(dict.fromkeys(domains)) or list(catalog.domains)
    return pb.DescribeCatalogResponse(
        domains=[_domain(catalog.domain(name)) for name in names],
        invalidations=[_invalidation(spec) for spec in catalog.invalidations.values()],
        fingerprint=catalog.fingerprint,
    )


def _domain(spec: DomainSpec) -> pb.DomainDescription:
    return pb.DomainDescription(
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


def _resource(domain: DomainSpec, spec: ResourceSpec) -> pb.ResourceDescription:
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
        policy=_policy(spec.policy),
        method=spec.method,
        documentation=spec.documentation,
    )


def _policy(policy: TtlPolicy) -> pb.PolicyDescription:
    return pb.PolicyDescription(
        ttl_ms=policy.ttl_ms,
        ttl_source=_SOURCES[policy.source],
        max_ttl_ms=policy.max_ttl_ms,
        stale_ms=policy.stale_ms,
        negative_ttl_ms=policy.negative_ms,
        jitter=policy.jitter,
        early_refresh=policy.early_refresh,
    )


def _invalidation(spec: InvalidationSpec) -> pb.InvalidationDescription:
    return pb.InvalidationDescription(name=spec.name, summary=spec.summary, tags=[str(tag) for tag in spec.tags])
