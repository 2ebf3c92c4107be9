"""A `Catalog` from what a server says of its own, with the operator's overrides in it. Pure.

What the answer does not carry is left open: the names of an enum's values (any text is taken) and access rules.
"""

from __future__ import annotations

import re
from typing import Final

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import (
    DomainSpec,
    IdentifierSpec,
    InvalidationSpec,
    Kind,
    NearCacheMode,
    OnFailover,
    ResourceSpec,
    TagPattern,
)
from coherd.contract.ttl import PolicySource, TtlPolicy
from coherd.v1 import annotations_pb2
from coherd.v1 import cache_service_pb2 as wire

_SOURCES: Final[dict[int, PolicySource]] = {
    wire.POLICY_SOURCE_RESOURCE: PolicySource.RESOURCE,
    wire.POLICY_SOURCE_OPERATOR: PolicySource.OPERATOR,
}
_NEAR: Final[dict[int, NearCacheMode]] = {
    annotations_pb2.NEAR_CACHE_PUSH: NearCacheMode.PUSH,
    annotations_pb2.NEAR_CACHE_STRICT: NearCacheMode.STRICT,
}
_FAILOVER: Final[dict[int, OnFailover]] = {annotations_pb2.ON_FAILOVER_KEEP: OnFailover.KEEP}
_INTEGER_TYPE: Final = re.compile(r"(u?)(?:int|fixed)(32|64)|(s)(?:int|fixed)(32|64)")


def catalog_of(answer: wire.DescribeCatalogResponse) -> Catalog:
    """The catalog a server describes."""
    patterns = {i.name: tuple(_tag_pattern(text) for text in i.tags) for i in answer.invalidations}
    any_tags = {(p.domain, p.identifier) for found in patterns.values() for p in found if p.any_value}
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


def _domain(described: wire.DomainDescription, any_tags: frozenset[str]) -> DomainSpec:
    resources = {r.name: _resource(described.name, r) for r in described.resources}
    return DomainSpec(
        name=described.name,
        resources=resources,
        policy=_policy(described.policy),
        tags=frozenset(described.tags),
        any_tags=any_tags,
        near_cache=_NEAR.get(described.near_cache, NearCacheMode.OFF),
        on_failover=_FAILOVER.get(described.on_failover, OnFailover.DROP),
        open=described.open,
        sensitive=described.sensitive,
        personal=frozenset(i.name for r in resources.values() for i in r.identifiers if i.personal),
        documentation=described.documentation,
    )


def _resource(domain: str, described: wire.ResourceDescription) -> ResourceSpec:
    return ResourceSpec(
        domain=domain,
        name=described.name,
        identifiers=tuple(_identifier(i) for i in described.identifiers),
        value_type=described.value_type,
        policy=_policy(described.policy),
        method=described.method,
        documentation=described.documentation,
    )


def _identifier(described: wire.IdentifierDescription) -> IdentifierSpec:
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


def _policy(described: wire.PolicyDescription) -> TtlPolicy:
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
