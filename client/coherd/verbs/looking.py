"""Looking: metrics, describe_catalog."""

from __future__ import annotations

from coherd._rpc.methods import DESCRIBE_CATALOG, METRICS
from coherd.metrics import DomainMetrics, metrics_of
from coherd.v1 import cache_service_pb2 as wire
from coherd.verbs.base import Verbs


class Looking(Verbs):
    """Verbs about the service itself."""

    async def metrics(self, *domains: str, timeout_ms: int | None = None) -> dict[str, DomainMetrics]:
        """Counts by domain, in the order of the catalog; of every domain the caller may read if none is named."""
        answer = await self._transport.call(METRICS, wire.MetricsRequest(domains=domains), self._limit_ms(timeout_ms))
        return metrics_of(answer)

    async def describe_catalog(self, *domains: str, timeout_ms: int | None = None) -> wire.DescribeCatalogResponse:
        """The catalog as the service runs it, with the operator's overrides; of all domains if none is named.

        The answer is the message of the contract itself: it is documentation, and tools read it as such.
        """
        request = wire.DescribeCatalogRequest(domains=domains)
        return await self._transport.call(DESCRIBE_CATALOG, request, self._limit_ms(timeout_ms))
