# Generated from coherd/verbs/looking.py by `make gen`. Do not edit.
"""Looking: metrics, describe_catalog."""

from __future__ import annotations

from coherd.metrics import DomainMetrics
from coherd.sync.blocking import Blocking
from coherd.v1 import cache_service_pb2 as wire


class Looking(Blocking):
    """Verbs about the service itself."""

    def metrics(self, *domains: str, timeout_ms: int | None = None) -> dict[str, DomainMetrics]:
        """Counts by domain, in the order of the catalog; of every domain the caller may read if none is named."""
        return self._wait(self._cache.metrics(*domains, timeout_ms=timeout_ms))

    def describe_catalog(self, *domains: str, timeout_ms: int | None = None) -> wire.DescribeCatalogResponse:
        """The catalog as the service runs it, with the operator's overrides; of all domains if none is named.

        The answer is the message of the contract itself: it is documentation, and tools read it as such.
        """
        return self._wait(self._cache.describe_catalog(*domains, timeout_ms=timeout_ms))
