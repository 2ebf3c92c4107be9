"""A catalog as tables for people and as JSON for machines. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from coherd.cli.explain import policy_json
from coherd.cli.text import plain
from coherd.contract.catalog import Catalog, DomainSpec, ResourceSpec
from coherd.contract.durations import format_duration
from coherd.contract.ttl import PolicySource


def catalog_tables(catalog: Catalog, origin: str) -> Iterator[Table]:
    """Domains with their resources, then named invalidations."""
    table = Table(box=box.SIMPLE_HEAD, title=Text(f"Catalog ({origin})", "bold"), title_justify="left")
    for column in ("domain", "key pattern", "value", "ttl", "stale", "near cache", "tags"):
        table.add_column(column, overflow="fold")
    for domain in catalog.domains.values():
        table.add_section()
        marks = [mark for mark, present in (("open", domain.open), ("sensitive", domain.sensitive)) if present]
        first = Text(domain.name, "bold").append("\n" + ", ".join(marks) if marks else "", "dim")
        once = [Text(domain.near_cache.value), Text(", ".join(sorted(domain.tags)) or "-")]
        for resource in domain.resources.values() or [None]:
            table.add_row(first, *_row(domain, resource), *once)
            first, once = Text(), []
    yield table
    if catalog.invalidations:
        named = Table(box=box.SIMPLE_HEAD, title=Text("Named invalidations", "bold"), title_justify="left")
        for column in ("name", "removes", "tags"):
            named.add_column(column, overflow="fold")
        for spec in catalog.invalidations.values():
            tags = "\n".join(str(tag) for tag in spec.tags)
            named.add_row(Text(f"{spec.name}=…"), Text(plain(spec.summary)), Text(tags))
        yield named


def _row(domain: DomainSpec, resource: ResourceSpec | None) -> list[Text]:
    policy = resource.policy if resource else domain.policy
    changed = policy.source is PolicySource.OPERATOR
    return [
        Text(resource.key_pattern if resource else f"{domain.name}:…"),
        Text(resource.value_type.rpartition(".")[2] if resource else "Json"),
        Text(format_duration(policy.ttl_ms) + (" (operator)" if changed else "")),
        Text(format_duration(policy.stale_ms) if policy.stale_ms else "-"),
    ]


def catalog_json(catalog: Catalog) -> dict[str, Any]:
    """A catalog for machines, durations in milliseconds."""
    return {
        "fingerprint": catalog.fingerprint,
        "domains": [_domain_json(domain) for domain in catalog.domains.values()],
        "invalidations": [
            {"name": i.name, "summary": i.summary, "tags": [str(tag) for tag in i.tags]}
            for i in catalog.invalidations.values()
        ],
    }


def _domain_json(domain: DomainSpec) -> dict[str, Any]:
    return {
        "name": domain.name,
        "documentation": domain.documentation,
        "policy": policy_json(domain.policy),
        "tags": sorted(domain.tags),
        "near_cache": domain.near_cache.value,
        "on_failover": domain.on_failover.value,
        "open": domain.open,
        "sensitive": domain.sensitive,
        "resources": [_resource_json(domain, resource) for resource in domain.resources.values()],
    }


def _resource_json(domain: DomainSpec, resource: ResourceSpec) -> dict[str, Any]:
    return {
        "name": resource.name,
        "key_pattern": resource.key_pattern,
        "value_type": resource.value_type,
        "policy": policy_json(resource.policy),
        "method": resource.method,
        "documentation": resource.documentation,
        "identifiers": [
            {
                "name": identifier.name,
                "type": identifier.type_name,
                "unit": identifier.unit,
                "is_tag": identifier.name in domain.tags,
                "personal": identifier.personal,
                "documentation": identifier.documentation,
            }
            for identifier in resource.identifiers
        ],
    }
