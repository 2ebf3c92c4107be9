"""Tables at the width of a terminal: nothing that matters is cut."""

from __future__ import annotations

import datetime
import io

import pytest
from rich.console import Console, RenderableType

from coherd.catalog.load import builtin_catalog
from coherd.cli.catalog_view import catalog_views
from coherd.cli.metrics_view import fold_pattern, metrics_json, metrics_view
from coherd.v1 import cache_service_pb2 as pb

NOW = datetime.datetime(2025, 8, 6, 12, tzinfo=datetime.UTC)


def shown(width: int, *views: RenderableType) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False, emoji=False, markup=False)
    for view in views:
        console.print(view)
    file = console.file
    assert isinstance(file, io.StringIO)
    return file.getvalue()


def counted() -> dict[str, pb.DomainMetrics]:
    keyspace = pb.KeyspaceCount(keys=1234, bytes=99_999)
    keyspace.counted_at.FromDatetime(NOW - datetime.timedelta(seconds=42))
    latency = pb.LatencyQuantiles(count=3, p50_us=590.123456789, p90_us=900, p99_us=12_345.6)
    pattern = "analytics:content_engagement:content:{content}:and:{and}:so:{so}:on:{on}"
    domain = pb.DomainMetrics(
        domain="analytics",
        hits=1_234_567,
        stale_hits=1_000,
        misses=345_678,
        sets=345_600,
        deletes=12_345,
        invalidations=3_456,
        read_bytes=10**9,
        written_bytes=10**8,
        recommended_ttl_ms=3_600_000,
        keyspace=keyspace,
        read_latency=latency,
        write_latency=latency,
        resources=[pb.ResourceMetrics(resource="content_engagement", key_pattern=pattern, keyspace=keyspace)],
    )
    return {"analytics": domain}


@pytest.mark.parametrize("width", [60, 80, 100, 120, 160])
def test_no_count_is_cut_at_any_width(width: int) -> None:
    text = shown(width, metrics_view(counted(), with_resources=True, width=width, now=NOW))
    assert "…" not in text
    for cell in ("analytics", "1,234,567", "345,678", "345,600", "hit ratio", "1,234", "42s ago"):
        assert cell in text
    assert max(map(len, text.splitlines())) <= width
    assert ("written" in text) is (width == 160 or "Left out" in text)


def test_without_the_keyspace() -> None:
    text = shown(100, metrics_view(counted(), with_resources=True, width=100, now=NOW, with_keyspace=False))
    assert "42s ago" not in text
    assert "memory" not in text


def test_one_of_a_kind_is_singular() -> None:
    domain = pb.DomainMetrics(domain="a", fills=1, rejected_fills=2, loads_avoided=1, dead=1, foreign=1)
    text = " ".join(shown(160, metrics_view({"a": domain}, with_resources=True, width=160, now=NOW)).split())
    assert "1 fill, 2 rejected fills, 1 load avoided, 1 miss of an invalidated entry, 1 miss of foreign bytes" in text


def test_latencies_for_machines_are_rounded() -> None:
    assert metrics_json(counted())["analytics"]["read_latency"]["p50_us"] == 590.1


@pytest.mark.parametrize("width", [60, 80, 160])
def test_every_key_pattern_is_in_one_piece(width: int) -> None:
    catalog = builtin_catalog()
    text = shown(width, *catalog_views(catalog, "built-in", width))
    for domain in catalog.domains.values():
        for resource in domain.resources.values():
            assert resource.key_pattern in text


def test_patterns_fold_behind_colons() -> None:
    assert fold_pattern("a:bb:{cc}", 20) == "a:bb:{cc}"
    assert fold_pattern("a:bb:{cc}", 5) == "a:bb:\n{cc}"
    assert fold_pattern("a:bb:{cc}", 2) == "a:\nbb:\n{cc}"
