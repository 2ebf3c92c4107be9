"""Counts per domain, as `coherd.v1.DomainMetrics` has them."""

from __future__ import annotations

from collections import Counter, defaultdict

from coherd.catalog.declared import DomainSpec
from coherd.v1 import cache_service_pb2 as pb


class Counts:
    """What a server counts. Latencies count operations and measure nothing; there is no census."""

    def __init__(self) -> None:
        self._counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        self._timed: dict[str, Counter[str]] = {"read_latency": Counter(), "write_latency": Counter()}

    def add(self, domain: str, name: str, by: int = 1) -> None:
        """Add to a field of `coherd.v1.DomainMetrics`."""
        self._counts[domain][name] += by

    def timed(self, name: str, domains: set[str]) -> None:
        """One call was measured for each of the domains: ``read_latency`` or ``write_latency``."""
        self._timed[name].update(domains)

    def of(self, spec: DomainSpec) -> pb.DomainMetrics:
        """One domain's counts."""
        counts = self._counts[spec.name]
        hits = counts["hits"] + counts["stale_hits"] + counts["near_cache_hits"]
        total = hits + counts["misses"]
        return pb.DomainMetrics(
            domain=spec.name,
            hit_ratio=hits / total if total else 0.0,
            recommended_ttl_ms=spec.policy.ttl_ms,
            resources=[
                pb.ResourceMetrics(resource=one.name, key_pattern=one.key_pattern, recommended_ttl_ms=one.policy.ttl_ms)
                for one in spec.resources.values()
            ],
            read_latency=pb.LatencyQuantiles(count=self._timed["read_latency"][spec.name]),
            write_latency=pb.LatencyQuantiles(count=self._timed["write_latency"][spec.name]),
            **counts,  # type: ignore[arg-type]
        )
