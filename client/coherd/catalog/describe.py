"""A catalog as ``DescribeCatalog`` answers it, and such an answer as a catalog again. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from coherd.catalog import options
from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import (
    DomainSpec,
    IdentifierSpec,
    InvalidationSpec,
    Kind,
    OnFailover,
    ResourceSpec,
    TagPattern,
)
from coherd.contract.near_cache import NearCacheMode
from coherd.contract.ttl import PolicySource, TtlPolicy
from coherd.v1 import cache_service_pb2 as pb

_SOURCES: Final = {
    pb.POLICY_SOURCE_DOMAIN: PolicySource.DOMAIN,
    pb.POLICY_SOURCE_RESOURCE: PolicySource.RESOURCE,
    pb.POLICY_SOURCE_OPERATOR: PolicySource.OPERATOR,
}
_SOURCE_NUMBERS: Final = {source: number for number, source in _SOURCES.items()}
_NEAR_CACHE_NUMBERS: Final = {mode: number for number, mode in options.NEAR_CACHE_MODES.items()}
_ON_FAILOVER_NUMBERS: Final = {choice: number for number, choice in options.ON_FAILOVER.items()}
_INTEGER_TYPE: Final = re.compile(r"(u?)(?:int|fixed)(32|64)|(s)(?:int|fixed)(32|64)")


def describe(catalog: Catalog, domains: Iterable[str]) -> pb.DescribeCatalogResponse:
    """The named domains, or all where none is named, and the named invalidations.

    Raises:
        Refusal: DOMAIN_UNKNOWN.
    """
    names = list(dict.fromkeys(domains)) or list(catalog.domains)
    return pb.DescribeCatalogResponse(
        domains=[_domain_description(catalog.domain(name)) for name in names],
        invalidations=[_invalidation_description(spec) for spec in catalog.invalidations.values()],
        fingerprint=catalog.fingerprint,
    )


def _domain_description(spec: DomainSpec) -> pb.DomainDescription:
    return pb.DomainDescription(
        name=spec.name,
        resources=[_resource_description(spec, resource) for resource in spec.resources.values()],
        tags=sorted(spec.tags),
        policy=_policy_description(spec.policy),
        near_cache=_NEAR_CACHE_NUMBERS[spec.near_cache],
        on_failover=_ON_FAILOVER_NUMBERS[spec.on_failover],
        open=spec.open,
        sensitive=spec.sensitive,
        documentation=spec.documentation,
    )


def _resource_description(domain: DomainSpec, spec: ResourceSpec) -> pb.ResourceDescription:
    return pb.ResourceDescription(
        name=spec.name,
        key_pattern=spec.key_pattern,
        identifiers=[
            pb.IdentifierDescription(
                name=identifier.name,
                type=identifier.type_name,
                unit=identifier.unit,
                is_tag=identifier.name in domain.tags,
                personal=identifier.name in domain.personal,
                documentation=identifier.documentation,
            )
            for identifier in spec.identifiers
        ],
        value_type=spec.value_type,
        policy=_policy_description(spec.policy),
        method=spec.method,
        documentation=spec.documentation,
    )


def _policy_description(policy: TtlPolicy) -> pb.PolicyDescription:
    return pb.PolicyDescription(
        ttl_ms=policy.ttl_ms,
        ttl_source=_SOURCE_NUMBERS[policy.source],
        max_ttl_ms=policy.max_ttl_ms,
        stale_ms=policy.stale_ms,
        negative_ttl_ms=policy.negative_ms,
        jitter=policy.jitter,
        early_refresh=policy.early_refresh,
    )


def _invalidation_description(spec: InvalidationSpec) -> pb.InvalidationDescription:
    return pb.InvalidationDescription(name=spec.name, summary=spec.summary, tags=[str(tag) for tag in spec.tags])


def catalog_of(answer: pb.DescribeCatalogResponse) -> Catalog:
    """The catalog that a server describes, with its operator's overrides.

    What the answer does not carry is left open: the names of an enum's values (any text is taken) and access rules.
    """
    patterns = {i.name: tuple(_tag_pattern(text) for text in i.tags) for i in answer.invalidations}
    any_tags = {(p.domain, p.identifier) for tags in patterns.values() for p in tags if p.any_value}
    domains = {d.name: _domain(d, frozenset(i for name, i in any_tags if name == d.name)) for d in answer.domains}
    dates = {
        (domain.name, identifier.name)
        for domain in domains.values()
        for resource in domain.resources.values()
        for identifier in resource.identifiers
        if identifier.kind is Kind.DATE
    }
    invalidations = {
        i.name: InvalidationSpec(
            i.name,
            i.summary,
            patterns[i.name],
            is_date=all((p.domain, p.identifier) in dates for p in patterns[i.name]),
            personal=any(p.domain in domains and p.identifier in domains[p.domain].personal for p in patterns[i.name]),
        )
        for i in answer.invalidations
    }
    return Catalog(domains, invalidations, {}, answer.fingerprint)


def _domain(described: pb.DomainDescription, any_tags: frozenset[str]) -> DomainSpec:
    resources = {r.name: _resource(described.name, r) for r in described.resources}
    return DomainSpec(
        name=described.name,
        resources=resources,
        policy=_policy(described.policy),
        tags=frozenset(described.tags),
        any_tags=any_tags,
        near_cache=options.NEAR_CACHE_MODES.get(described.near_cache, NearCacheMode.OFF),
        on_failover=options.ON_FAILOVER.get(described.on_failover, OnFailover.DROP),
        open=described.open,
        sensitive=described.sensitive,
        personal=frozenset(i.name for r in resources.values() for i in r.identifiers if i.personal),
        documentation=described.documentation,
    )


def _resource(domain: str, described: pb.ResourceDescription) -> ResourceSpec:
    return ResourceSpec(
        domain=domain,
        name=described.name,
        identifiers=tuple(_identifier(i) for i in described.identifiers),
        value_type=described.value_type,
        policy=_policy(described.policy),
        method=described.method,
        documentation=described.documentation,
    )


def _identifier(described: pb.IdentifierDescription) -> IdentifierSpec:
    integer = _INTEGER_TYPE.fullmatch(described.type)
    low = high = 0
    if integer is not None:
        unsigned = bool(integer[1]) or described.type.startswith("fixed")
        bits = int(integer[2] or integer[4])
        low, high = (0, 2**bits - 1) if unsigned else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        kind = Kind.INTEGER
    else:
        kind = {"bool": Kind.BOOL, "date": Kind.DATE}.get(described.type, Kind.STRING)
    return IdentifierSpec(
        name=described.name,
        kind=kind,
        type_name=described.type,
        low=low,
        high=high,
        unit=described.unit,
        personal=described.personal,
        documentation=described.documentation,
    )


def _policy(described: pb.PolicyDescription) -> TtlPolicy:
    return TtlPolicy(
        described.ttl_ms,
        described.max_ttl_ms,
        described.stale_ms,
        described.negative_ttl_ms,
        described.jitter,
        described.early_refresh,
        _SOURCES.get(described.ttl_source, PolicySource.DOMAIN),
    )


def _tag_pattern(text: str) -> TagPattern:
    """``maintenance/date:*`` -> its parts."""
    left, _, anything = text.partition(":")
    domain, _, identifier = left.partition("/")
    return TagPattern(domain, identifier, bool(anything))
