"""Counts as tables for people and as JSON for machines. Pure."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from coherd._calls.messages import fields_of
from coherd.contract.durations import format_duration
from coherd.v1 import cache_service_pb2 as pb

_DROPPED: Final = ("near", "written", "read", "set p50/p99", "get p50/p99", "stale", "deletes", "invalid.", "ttl")
"""Columns a narrow table leaves out, in this order: never the domain, nor hits, misses, hit ratio and sets."""
_WIDE_GAP: Final = 3
_NARROW_GAP: Final = 2


def metrics_view(
    domains: Mapping[str, pb.DomainMetrics],
    *,
    with_resources: bool,
    width: int,
    now: datetime.datetime,
    with_keyspace: bool = True,
) -> Group:
    """A table of domains and, where asked for, one of each domain's resources.

    Args:
        width: characters of a line; what does not fit is left out, never cut.
        now: the age of the census is counted to it; with a time zone.
        with_keyspace: also what the census counted.
    """
    tables = [_domains(domains, width)]
    if with_resources:
        tables += [_resources(domain, width, now, with_keyspace=with_keyspace) for domain in domains.values()]
    return Group(*tables, *_lost(domains.values()))


def metrics_json(domains: Mapping[str, pb.DomainMetrics]) -> dict[str, Any]:
    """The counts by domain, under the names of the wire."""
    return {name: _plain(fields_of(domain)) for name, domain in domains.items()}


def size_text(size_bytes: int) -> str:
    """``512 B``, ``1.5 KiB``, ``3.2 GiB``."""
    size = float(size_bytes)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size < 1024:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    return f"{size:.1f} TiB"


def _lost(domains: Iterable[pb.DomainMetrics]) -> Iterator[Text]:
    """What a part of the store that does not answer takes with it."""
    whole = [m.domain for m in domains if m.unavailable]
    parts = [f"{m.domain}:{r.resource}" for m in domains if not m.unavailable for r in m.resources if r.unavailable]
    uncounted = [m.domain for m in domains if m.uncounted]
    for what, names in (
        ("A part of the store does not answer, so every call fails for", whole + parts),
        ("Not counted, since the part of the store with the counters does not answer:", uncounted),
    ):
        if names:
            yield Text(f"{what} {', '.join(names)}.", "bold red")


def _domains(domains: Mapping[str, pb.DomainMetrics], width: int) -> Table:
    rows = [_domain_cells(m) for m in domains.values()]
    names = list(rows[0]) if rows else ["domain"]
    gap, left_out = _WIDE_GAP, []
    dropping = iter(_DROPPED)
    while _table_width(names, rows, gap) > width:
        if gap == _WIDE_GAP:
            gap = _NARROW_GAP
            continue
        name = next(dropping, None)
        if name is None:
            break
        if name in names:
            names.remove(name)
            left_out.append(name)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1) if gap == _WIDE_GAP else (0, 1, 0, 0))
    for name in names:
        table.add_column(name, justify="left" if name == "domain" else "right", no_wrap=True, min_width=len(name))
    for m, cells in zip(domains.values(), rows, strict=True):
        used = m.hits + m.stale_hits + m.misses + m.near_cache_hits
        table.add_row(Text(m.domain, "bold" if used else ""), *(cells[name] for name in names[1:]))
    if left_out:
        table.caption = Text(f"Left out at {width} columns: {', '.join(left_out)}.", "dim")
        table.caption_justify = "left"
    return table


def _domain_cells(m: pb.DomainMetrics) -> dict[str, str]:
    """Text of each column, by its heading."""
    reads = m.hits + m.stale_hits + m.misses + m.near_cache_hits
    return {
        "domain": m.domain,
        "hits": f"{m.hits:,}",
        "stale": f"{m.stale_hits:,}",
        "misses": f"{m.misses:,}",
        "near": f"{m.near_cache_hits:,}",
        "hit ratio": f"{m.hit_ratio:.2%}" if reads else "-",
        "sets": f"{m.sets:,}",
        "deletes": f"{m.deletes:,}",
        "invalid.": f"{m.invalidations:,}",
        "read": size_text(m.read_bytes),
        "written": size_text(m.written_bytes),
        "get p50/p99": _latency(m.read_latency),
        "set p50/p99": _latency(m.write_latency),
        "ttl": format_duration(m.recommended_ttl_ms),
    }


def _table_width(names: Sequence[str], rows: Sequence[Mapping[str, str]], gap: int) -> int:
    return 1 + sum(gap + max([len(name), *(len(cells[name]) for cells in rows)]) for name in names)


def _resources(domain: pb.DomainMetrics, width: int, now: datetime.datetime, *, with_keyspace: bool) -> Table:
    table = Table(box=box.SIMPLE_HEAD, title=Text(f"Resources of {domain.domain}", "bold"), title_justify="left")
    table.add_column("key pattern", overflow="fold")
    headings = ("ttl", "keys", "memory", "counted") if with_keyspace else ("ttl",)
    for heading in headings:
        table.add_column(heading, justify="right", no_wrap=True, min_width=len(heading))
    rows = [(r.key_pattern, r.recommended_ttl_ms, _counted(r)) for r in domain.resources]
    rows.append(("all keys of the domain", domain.recommended_ttl_ms, _counted(domain)))
    cells = [
        (format_duration(ttl_ms), *(_keyspace(counted, now) if with_keyspace else ())) for _, ttl_ms, counted in rows
    ]
    others_width = sum(
        _WIDE_GAP + max(len(heading), *(len(row[i]) for row in cells)) for i, heading in enumerate(headings)
    )
    for (pattern, _, _), row in zip(rows, cells, strict=True):
        if pattern is rows[-1][0]:
            table.add_section()
        table.add_row(Text(fold_pattern(pattern, width - others_width - _WIDE_GAP - 1)), *row)
    others = [
        f"{count:,} {one if count == 1 else more}"
        for one, more, count in (
            ("fill", "fills", domain.fills),
            ("rejected fill", "rejected fills", domain.rejected_fills),
            ("load avoided", "loads avoided", domain.loads_avoided),
            ("miss of an invalidated entry", "misses of invalidated entries", domain.dead),
            ("miss of foreign bytes", "misses of foreign bytes", domain.foreign),
        )
        if count
    ]
    if others:
        table.caption = Text(", ".join(others), "dim")
        table.caption_justify = "left"
    return table


def _counted(holder: pb.DomainMetrics | pb.ResourceMetrics) -> pb.KeyspaceCount | None:
    return holder.keyspace if holder.HasField("keyspace") else None


def _keyspace(counted: pb.KeyspaceCount | None, now: datetime.datetime) -> tuple[str, str, str]:
    if counted is None:
        return "-", "-", "not yet"
    age_s = max(0, round((now - counted.counted_at.ToDatetime(datetime.UTC)).total_seconds()))
    unit_s = next(unit_s for unit_s in (86_400, 3_600, 60, 1) if age_s >= 2 * unit_s or unit_s == 1)
    age = format_duration(age_s // unit_s * unit_s * 1000)
    return f"{counted.keys:,}", size_text(counted.bytes), f"{age} ago"


def _latency(latency: pb.LatencyQuantiles) -> str:
    if not latency.count:
        return "-"
    return f"{latency.p50_us / 1000:.2f}/{latency.p99_us / 1000:.2f} ms"


def _plain(value: Any) -> Any:
    match value:
        case datetime.datetime():
            return value.isoformat()
        case dict():
            # Microseconds of a histogram: a tenth is more than it knows.
            return {name: round(item, 1) if name.endswith("_us") else _plain(item) for name, item in value.items()}
        case list():
            return [_plain(item) for item in value]
        case _:
            return value


def fold_pattern(pattern: str, width: int) -> str:
    """A key pattern in lines of at most this many characters, cut behind colons where that suffices."""
    lines = [""]
    for part in pattern.replace(":", ":\0").split("\0"):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "\n".join(lines)
