"""What the verbs need of a connection; they know no gRPC."""

from __future__ import annotations

import asyncio
from typing import Protocol

from coherd._near import Kept
from coherd.v1 import cache_service_pb2 as wire


class Transport(Protocol):
    """Carries requests to a server and answers back.

    Every call takes its time limit in milliseconds, >= 1, which covers connecting and all repetitions, and raises only
    `coherd.errors.CacheError`. Cancelling one call disturbs no other.
    """

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        """The value that a near cache holds under canonical key text: that of the running event loop, or, from any
        thread, that of another loop."""
        ...

    async def get(self, key: str, accept_stale: bool, timeout_ms: int) -> wire.GetResponse:
        """As CacheService.Get, of canonical key text: no request is made of it that would only be copied."""
        ...

    async def batch_get(self, request: wire.BatchGetRequest, timeout_ms: int) -> wire.BatchGetResponse:
        """As CacheService.BatchGet."""
        ...

    async def set(self, request: wire.SetRequest, timeout_ms: int) -> wire.SetResponse:
        """As CacheService.Set."""
        ...

    async def batch_set(self, request: wire.BatchSetRequest, timeout_ms: int) -> wire.BatchSetResponse:
        """As CacheService.BatchSet."""
        ...

    async def lease(self, request: wire.LeaseRequest, timeout_ms: int) -> wire.LeaseResponse:
        """As CacheService.Lease. The time limit covers ``wait_ms`` too.

        Unless it renews, a request that may have arrived is never sent again, whatever its rpc declares: a late copy
        could grant the key anew to a token under which a load already runs, and so make a value storable that was
        loaded before a change (P1). Callers repeat with another token.
        """
        ...

    async def fill(self, request: wire.FillRequest, timeout_ms: int) -> wire.FillResponse:
        """As CacheService.Fill."""
        ...

    async def batch_lease(self, request: wire.BatchLeaseRequest, timeout_ms: int) -> wire.BatchLeaseResponse:
        """As CacheService.BatchLease; repeated as `lease` is."""
        ...

    async def batch_fill(self, request: wire.BatchFillRequest, timeout_ms: int) -> wire.BatchFillResponse:
        """As CacheService.BatchFill."""
        ...

    async def delete(self, request: wire.DeleteRequest, timeout_ms: int) -> wire.DeleteResponse:
        """As CacheService.Delete."""
        ...

    async def touch(self, request: wire.TouchRequest, timeout_ms: int) -> wire.TouchResponse:
        """As CacheService.Touch."""
        ...

    async def invalidate(self, request: wire.InvalidateRequest, timeout_ms: int) -> wire.InvalidateResponse:
        """As CacheService.Invalidate."""
        ...

    async def metrics(self, request: wire.MetricsRequest, timeout_ms: int) -> wire.MetricsResponse:
        """As CacheService.Metrics."""
        ...

    async def describe_catalog(
        self, request: wire.DescribeCatalogRequest, timeout_ms: int
    ) -> wire.DescribeCatalogResponse:
        """As CacheService.DescribeCatalog."""
        ...

    async def close(self) -> None:
        """Ends calls in flight with `ClientClosed`; later calls raise it too. Safe to repeat."""
        ...
