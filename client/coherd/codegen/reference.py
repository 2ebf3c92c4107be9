"""``docs/use/catalog-reference.md``: the built-in catalog as a reader sees it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import JSON_TYPE, DomainSpec, ResourceSpec
from coherd.contract.durations import format_duration

_SUMMARY: Final = (
    "> **TL;DR** The domains that a server serves without a catalog of your own, a table each: key, type of the value, "
    "policy.",
    "> [ttl.md](ttl.md) says who may change a TTL, [catalog.md](catalog.md) how you declare domains of your own.",
    "> Generated from `protos/coherd/domains` by `make gen`; do not edit.",
)


def catalog_reference(catalog: Catalog) -> str:
    """Text of the page."""
    lines = ["# The built-in catalog", "", *_SUMMARY, ""]
    for domain in catalog.domains.values():
        lines += _domain(domain)
    lines += ["## Named invalidations", "", "| name | value | what | tags |", "|---|---|---|---|"]
    for each in catalog.invalidations.values():
        tags = ", ".join(f"`{tag}`" for tag in each.tags)
        lines.append(f"| `{each.name}` | {'day' if each.is_date else 'text'} | {_cell(each.summary)} | {tags} |")
    return "\n".join(lines) + "\n"


def _domain(domain: DomainSpec) -> Iterator[str]:
    policy = domain.policy
    facts = [
        f"TTL {format_duration(policy.ttl_ms)}",
        f"stale {format_duration(policy.stale_ms)}",
        f"near cache {domain.near_cache.value}",
        f"on failover {domain.on_failover.value}",
        f"tags {', '.join(f'`{tag}`' for tag in sorted(domain.tags)) or 'none'}",
        *(["open"] if domain.open else []),
        *(["sensitive"] if domain.sensitive else []),
    ]
    yield from (f"## `{domain.name}`", "", domain.documentation, "", "; ".join(facts) + ".", "")
    yield from ("| resource | key | value | what |", "|---|---|---|---|")
    for resource in domain.resources.values():
        yield _resource(resource)
    yield ""


def _resource(resource: ResourceSpec) -> str:
    value = "JSON" if resource.value_type == JSON_TYPE else f"`{resource.value_type.rpartition('.')[2]}`"
    return f"| `{resource.name}` | `{resource.key_pattern}` | {value} | {_cell(resource.documentation)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
