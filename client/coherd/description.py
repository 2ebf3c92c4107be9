"""The catalog as the server runs it (`CacheClient.describe_catalog`)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from coherd.contract.catalog import NearCacheMode, OnFailover
from coherd.contract.ttl import PolicySource
from coherd.v1 import annotations_pb2
from coherd.v1 import cache_service_pb2 as wire

_NEAR_CACHE: Final[Mapping[int, NearCacheMode]] = {
    annotations_pb2.NEAR_CACHE_PUSH: NearCacheMode.PUSH,
    annotations_pb2.NEAR_CACHE_STRICT: NearCacheMode.STRICT,
}
_SOURCES: Final[Mapping[int, PolicySource]] = {
    wire.POLICY_SOURCE_RESOURCE: PolicySource.RESOURCE,
    wire.POLICY_SOURCE_OPERATOR: PolicySource.OPERATOR,
}


@dataclass(frozen=True, slots=True)
class PolicyDescription:
    """TTL policy in force, overrides applied."""

    ttl_ms: int
    """TTL a set gets that names none."""
    ttl_source: PolicySource
    """Where `ttl_ms` comes from."""
    max_ttl_ms: int
    stale_ms: int
    negative_ttl_ms: int
    """0: "there is nothing" is not remembered unless the call gives a TTL."""
    jitter: float
    early_refresh: float


@dataclass(frozen=True, slots=True)
class IdentifierDescription:
    """One identifier of a resource."""

    name: str
    type: str
    unit: str
    is_tag: bool
    personal: bool
    documentation: str


@dataclass(frozen=True, slots=True)
class ResourceDescription:
    """One resource."""

    name: str
    key_pattern: str
    identifiers: tuple[IdentifierDescription, ...]
    """In the order they stand in the key."""
    value_type: str
    """Full name of the value message."""
    policy: PolicyDescription
    method: str
    """Path of the typed read method."""
    documentation: str


@dataclass(frozen=True, slots=True)
class DomainDescription:
    """One domain."""

    name: str
    resources: tuple[ResourceDescription, ...]
    tags: tuple[str, ...]
    """Identifiers by which entries can be invalidated."""
    policy: PolicyDescription
    """Of undeclared resources."""
    near_cache: NearCacheMode
    on_failover: OnFailover
    open: bool
    sensitive: bool
    documentation: str


@dataclass(frozen=True, slots=True)
class InvalidationDescription:
    """One named invalidation."""

    name: str
    summary: str
    tags: tuple[str, ...]
    """Without values: ``analytics/user``, ``maintenance/date:*``."""


@dataclass(frozen=True, slots=True)
class CatalogDescription:
    """The whole catalog, or the domains asked for."""

    domains: Mapping[str, DomainDescription]
    invalidations: Mapping[str, InvalidationDescription]
    fingerprint: str
    """Digest of the whole catalog; differs if anything of it differs."""


def description_of(answer: wire.DescribeCatalogResponse) -> CatalogDescription:
    """The answer of the service, in the order of the catalog."""
    return CatalogDescription(
        domains={d.name: _domain(d) for d in answer.domains},
        invalidations={i.name: InvalidationDescription(i.name, i.summary, tuple(i.tags)) for i in answer.invalidations},
        fingerprint=answer.fingerprint,
    )


def _domain(d: wire.DomainDescription) -> DomainDescription:
    keep = d.on_failover == annotations_pb2.ON_FAILOVER_KEEP
    return DomainDescription(
        name=d.name,
        resources=tuple(_resource(r) for r in d.resources),
        tags=tuple(d.tags),
        policy=_policy(d.policy),
        near_cache=_NEAR_CACHE.get(d.near_cache, NearCacheMode.OFF),
        on_failover=OnFailover.KEEP if keep else OnFailover.DROP,
        open=d.open,
        sensitive=d.sensitive,
        documentation=d.documentation,
    )


def _resource(r: wire.ResourceDescription) -> ResourceDescription:
    return ResourceDescription(
        name=r.name,
        key_pattern=r.key_pattern,
        identifiers=tuple(
            IdentifierDescription(i.name, i.type, i.unit, i.is_tag, i.personal, i.documentation) for i in r.identifiers
        ),
        value_type=r.value_type,
        policy=_policy(r.policy),
        method=r.method,
        documentation=r.documentation,
    )


def _policy(p: wire.PolicyDescription) -> PolicyDescription:
    return PolicyDescription(
        ttl_ms=p.ttl_ms,
        ttl_source=_SOURCES.get(p.ttl_source, PolicySource.DOMAIN),
        max_ttl_ms=p.max_ttl_ms,
        stale_ms=p.stale_ms,
        negative_ttl_ms=p.negative_ttl_ms,
        jitter=p.jitter,
        early_refresh=p.early_refresh,
    )
