"""A catalog as tables for people and as JSON for machines. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from rich import box
from rich.cells import cell_len
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from coherd.catalog.catalog import Catalog
from coherd.catalog.declared import DomainSpec, ResourceSpec
from coherd.cli.explain import policy_json
from coherd.cli.output import plain
from coherd.contract.durations import format_duration
from coherd.contract.ttl import PolicySource

_HEADINGS: Final = ("domain", "key pattern", "value", "ttl", "stale", "near cache", "tags")
_GAP: Final = 3


def catalog_views(catalog: Catalog, origin: str, width: int) -> Iterator[RenderableType]:
    """Domains with their resources, then named invalidations.

    Args:
        width: characters of a line; where the table is wider, each key pattern gets a line of its own.
    """
    title = Text(f"Catalog ({origin})", "bold")
    rows = [row for domain in catalog.domains.values() for row in _rows(domain)]
    widths = [
        max(cell_len(line) for cell in column for line in cell.plain.split("\n"))
        for column in zip(*([[Text(h) for h in _HEADINGS], *rows]), strict=True)
    ]
    if sum(widths) + _GAP * len(widths) < width:
        yield _table(catalog, title)
    else:
        yield _lines(catalog, title)
    if catalog.invalidations:
        named = Table(box=box.SIMPLE_HEAD, title=Text("Named invalidations", "bold"), title_justify="left")
        named.add_column("name", no_wrap=True)
        named.add_column("removes", overflow="fold")
        named.add_column("tags", overflow="fold")
        for spec in catalog.invalidations.values():
            tags = "\n".join(str(tag) for tag in spec.tags)
            named.add_row(Text(f"{spec.name}=…"), Text(plain(spec.summary)), Text(tags))
        yield named


def _table(catalog: Catalog, title: Text) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left")
    for heading in _HEADINGS:
        table.add_column(heading, overflow="fold")
    for domain in catalog.domains.values():
        table.add_section()
        for row in _rows(domain):
            table.add_row(*row)
    return table


def _rows(domain: DomainSpec) -> Iterator[list[Text]]:
    """Cells by `_HEADINGS`; what is the domain's stands in its first row only."""
    marks = _marks(domain)
    first = Text(domain.name, "bold").append("\n" + ", ".join(marks) if marks else "", "dim")
    near = domain.near_cache.value
    once = [Text(near), Text(", ".join(sorted(domain.tags)) or "-")]
    for resource in domain.resources.values() or [None]:
        yield [first, *_row(domain, resource), *once]
        first, once = Text(), [Text(), Text()]


def _lines(catalog: Catalog, title: Text) -> Text:
    """The same for narrow terminals: a block per domain, two lines per resource."""
    text = Text("\n").join([title, Text()])
    for domain in catalog.domains.values():
        about = [*_marks(domain), f"near cache {domain.near_cache.value}"]
        text.append(f"\n{domain.name}", "bold").append(f"  {', '.join(about)}\n", "dim")
        text.append(f"  tags: {', '.join(sorted(domain.tags)) or '-'}\n", "dim")
        for resource in domain.resources.values() or [None]:
            pattern, value, ttl, stale = _row(domain, resource)
            text.append("  ").append_text(pattern).append(f"\n      {value}, ttl {ttl}, stale {stale}\n")
    return text


def _marks(domain: DomainSpec) -> list[str]:
    return [mark for mark, present in (("open", domain.open), ("sensitive", domain.sensitive)) if present]


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
