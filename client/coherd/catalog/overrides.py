"""An operator's overrides of what a catalog declares: TTLs, and where clients keep values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import CatalogError
from coherd.contract.near_cache import NearCacheMode
from coherd.contract.ttl import PolicySource, TtlPolicy


class OverrideError(CatalogError):
    """An operator's overrides do not fit the catalog."""

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__([f"ttl override {name!r}: {text}" for name, text in problems])
        self.names = tuple(name for name, _ in problems)
        """Of the override at fault, by problem."""


@dataclass(frozen=True, slots=True)
class TtlOverride:
    """What an operator sets for a domain or resource; None leaves the declaration in force."""

    ttl_ms: int | None = None
    max_ttl_ms: int | None = None
    stale_ms: int | None = None
    negative_ms: int | None = None
    jitter: float | None = None
    early_refresh: float | None = None

    def apply(self, policy: TtlPolicy) -> TtlPolicy:
        """The policy with this override; a TTL over the maximum raises the maximum with it. The result is not checked:
        another override may follow."""
        names = ("ttl_ms", "max_ttl_ms", "stale_ms", "negative_ms", "jitter", "early_refresh")
        changes = {name: value for name in names if (value := getattr(self, name)) is not None}
        if self.ttl_ms is not None:
            changes["source"] = PolicySource.OPERATOR
            if self.max_ttl_ms is None:
                changes["max_ttl_ms"] = max(policy.max_ttl_ms, self.ttl_ms)
        return replace(policy, **changes)


def with_overrides(catalog: Catalog, overrides: Mapping[str, TtlOverride]) -> Catalog:
    """A catalog with an operator's TTL overrides, by ``domain`` or ``domain:resource``.

    What a resource's own override says wins over its domain's; the two are checked together.

    Raises:
        OverrideError: an override names nothing, or leads out of range.
    """
    problems: list[tuple[str, str]] = []
    domains = dict(catalog.domains)
    for name, override in sorted(overrides.items(), key=lambda item: item[0].count(":")):
        domain_name, _, resource_name = name.partition(":")
        domain = domains.get(domain_name)
        if domain is None or (resource_name and resource_name not in domain.resources):
            problems.append((name, "no such domain or resource in the catalog"))
            continue
        changed = {
            resource: replace(spec, policy=override.apply(spec.policy))
            for resource, spec in domain.resources.items()
            if resource_name in ("", resource)
        }
        policy = domain.policy if resource_name else override.apply(domain.policy)
        domains[domain_name] = replace(domain, resources={**domain.resources, **changed}, policy=policy)
    for domain_name in sorted({name.partition(":")[0] for name in overrides} & domains.keys()):
        domain = domains[domain_name]
        resources = {f"{domain_name}:{resource}": spec.policy for resource, spec in domain.resources.items()}
        for full_name, policy in {domain_name: domain.policy, **resources}.items():
            at_fault = full_name if full_name in overrides else domain_name
            if at_fault not in overrides:
                continue
            try:
                policy.check()
            except ValueError as error:
                problems.append((at_fault, str(error) if at_fault == full_name else f"{full_name}: {error}"))
                if full_name == domain_name:
                    break  # its resources would say the same
    if problems:
        raise OverrideError(problems)
    return replace(catalog, domains=domains)


def with_near_caches(catalog: Catalog, modes: Mapping[str, NearCacheMode]) -> Catalog:
    """A catalog with an operator's choice of where clients keep values, by domain.

    Raises:
        CatalogError: there is no such domain.
    """
    unknown = [name for name in modes if name not in catalog.domains]
    if unknown:
        raise CatalogError([f"near_cache override {name!r}: no such domain in the catalog" for name in unknown])
    changed = {name: replace(catalog.domains[name], near_cache=mode) for name, mode in modes.items()}
    return replace(catalog, domains={**catalog.domains, **changed})
