"""Counts as tables for people and as JSON for machines. Pure."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from coherd.contract.durations import format_duration
from coherd.metrics import DomainMetrics, Keyspace, Latency


def metrics_view(found: Mapping[str, DomainMetrics], *, with_resources: bool) -> Group:
    """A table of domains and, where asked for, one of each domain's resources."""
    tables = [_domains(found)]
    if with_resources:
        tables += [_resources(domain) for domain in found.values()]
    return Group(*tables)


def metrics_json(found: Mapping[str, DomainMetrics]) -> dict[str, Any]:
    """The counts by domain, under the names of the wire."""
    return {name: _plain(dataclasses.asdict(domain)) for name, domain in found.items()}


def size_text(size_bytes: int) -> str:
    """``512 B``, ``1.5 KiB``, ``3.2 GiB``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _domains(found: Mapping[str, DomainMetrics]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("domain")
    for column in ("hits", "stale", "misses", "near", "hit ratio", "sets", "deletes", "invalid.", "read", "written"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("get p50/p99", justify="right", no_wrap=True)
    table.add_column("set p50/p99", justify="right", no_wrap=True)
    table.add_column("ttl", justify="right", no_wrap=True)
    for m in found.values():
        reads = m.hits + m.stale_hits + m.misses + m.near_cache_hits
        table.add_row(
            Text(m.domain, "bold" if reads else ""),
            *(f"{count:,}" for count in (m.hits, m.stale_hits, m.misses, m.near_cache_hits)),
            f"{m.hit_ratio:.2%}" if reads else "-",
            *(f"{count:,}" for count in (m.sets, m.deletes, m.invalidations)),
            size_text(m.read_bytes),
            size_text(m.written_bytes),
            _latency(m.read_latency),
            _latency(m.write_latency),
            format_duration(m.recommended_ttl_ms),
        )
    return table


def _resources(domain: DomainMetrics) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=Text(f"Resources of {domain.domain}", "bold"), title_justify="left")
    table.add_column("key pattern", overflow="fold")
    for column in ("ttl", "keys", "memory", "counted at"):
        table.add_column(column, justify="right", no_wrap=True)
    for resource in domain.resources:
        ttl = format_duration(resource.recommended_ttl_ms)
        table.add_row(Text(resource.key_pattern), ttl, *_keyspace(resource.keyspace))
    table.add_section()
    ttl = format_duration(domain.recommended_ttl_ms)
    table.add_row(Text("all keys of the domain"), ttl, *_keyspace(domain.keyspace))
    others = [
        f"{count:,} {label}"
        for label, count in (
            ("fills", domain.fills),
            ("rejected fills", domain.rejected_fills),
            ("loads avoided", domain.loads_avoided),
            ("misses of invalidated entries", domain.dead),
            ("misses of foreign bytes", domain.foreign),
        )
        if count
    ]
    if others:
        table.caption = Text(", ".join(others), "dim")
        table.caption_justify = "left"
    return table


def _keyspace(counted: Keyspace | None) -> tuple[str, str, str]:
    if counted is None:
        return "-", "-", "not yet"
    return f"{counted.keys:,}", size_text(counted.bytes), counted.counted_at.strftime("%Y-%m-%d %H:%M:%SZ")


def _latency(latency: Latency) -> str:
    if not latency.count:
        return "-"
    return f"{latency.p50_us / 1000:.2f}/{latency.p99_us / 1000:.2f} ms"


def _plain(value: Any) -> Any:
    match value:
        case datetime.datetime():
            return value.isoformat()
        case dict():
            return {name: _plain(item) for name, item in value.items()}
        case list() | tuple():
            return [_plain(item) for item in value]
        case _:
            return value
