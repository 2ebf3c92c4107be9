"""Operations over the session under the transport protocol, and as unary calls where there is none."""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import Iterable
from typing import Any, NamedTuple

from coherd._near import Kept, NearCache
from coherd._rpc.attempts import repeat
from coherd._rpc.changes import drop_changed
from coherd._rpc.clock import boottime_s
from coherd._rpc.link import SessionLink
from coherd._rpc.loops import LoopLinks
from coherd._rpc.opening import new_client_id
from coherd._rpc.retries import EFFECTS, Effect
from coherd._rpc.tls import TlsConfig
from coherd._rpc.token import bearer_metadata
from coherd._rpc.unary import UnaryTransport, open_channel
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, ClientClosed, DeadlineExceeded
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2
from coherd.v1.errors_pb2 import ErrorReason


class NearCacheBounds(NamedTuple):
    """How much is kept near, per event loop."""

    max_entries: int = 20_000
    """More make a push that drops all of them block the event loop: about 80 ms for 20,000."""
    max_bytes: int = 64 << 20
    """Reckoned memory of values, keys and what is kept beside them."""


class SessionTransport:
    """Operations share frames on one stream; what it cannot carry, and all while there is none, goes as unary calls.

    Usable from any number of event loops and, in forked children, again.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: TlsConfig | None = None,
        token: str | None = None,
        near_cache: NearCacheBounds | None,
    ) -> None:
        """Does no I/O.

        Args:
            target: ``host:port``, or any gRPC target.
            tls: None: plain text.
            token: sent as bearer token; without ``tls`` it crosses the network readable.
            near_cache: bounds of the near cache of each event loop; None: none is kept.

        Raises:
            ValueError: as `UnaryTransport`.
        """
        self._unary = UnaryTransport(target, tls=tls, token=token)
        self._closed = False
        metadata = bearer_metadata(token)

        def make() -> SessionLink:
            near = None if near_cache is None else NearCache(**near_cache._asdict())
            if near is not None:
                near.elsewhere = functools.partial(self._others_of, near)
            return SessionLink(lambda: open_channel(target, tls), metadata, new_client_id(), near)

        self._links = LoopLinks(make)
        self._by_loop = self._links.by_loop

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        link = self._by_loop.get(loop or asyncio.get_running_loop())
        if link is None or (near := link.near) is None:
            return None
        return near.lookup(key, boottime_s())

    def _others_of(self, near: NearCache) -> Iterable[NearCache]:
        """Near caches of the other event loops."""
        by_loop = self._links.by_loop
        if len(by_loop) < 2:
            return ()
        return [link.near for link in list(by_loop.values()) if link.near is not None and link.near is not near]

    async def get(self, key: str, accept_stale: bool, timeout_ms: int) -> wire.GetResponse:
        deadline_s = time.monotonic() + timeout_ms / 1_000
        link = self._by_loop.get(asyncio.get_running_loop())
        failed: CacheError | None = None
        answer: wire.GetResponse
        if link is not None and (stream := link.stream) is not None and stream.has_room:
            operation_id, future = stream.get(key, accept_stale, timeout_ms)
            try:
                answer = await future
            except asyncio.CancelledError:
                stream.give_up(operation_id)
                raise
            except CacheError as error:
                failed = error
            else:
                return answer
        request = wire.GetRequest(key=keys_pb2.Key(text=key), accept_stale=accept_stale)
        answer = await self._ask_until("get", "Get", request, deadline_s, EFFECTS["Get"], failed)
        return answer

    async def batch_get(self, request: wire.BatchGetRequest, timeout_ms: int) -> wire.BatchGetResponse:
        answer: wire.BatchGetResponse = await self._ask("batch_get", "BatchGet", request, timeout_ms)
        return answer

    async def set(self, request: wire.SetRequest, timeout_ms: int) -> wire.SetResponse:
        answer: wire.SetResponse = await self._ask("set", "Set", request, timeout_ms)
        return answer

    async def batch_set(self, request: wire.BatchSetRequest, timeout_ms: int) -> wire.BatchSetResponse:
        answer: wire.BatchSetResponse = await self._ask("batch_set", "BatchSet", request, timeout_ms)
        return answer

    async def lease(self, request: wire.LeaseRequest, timeout_ms: int) -> wire.LeaseResponse:
        effect = Effect.IDEMPOTENT if request.renew else Effect.ONCE
        answer: wire.LeaseResponse = await self._ask("lease", "Lease", request, timeout_ms, effect)
        return answer

    async def fill(self, request: wire.FillRequest, timeout_ms: int) -> wire.FillResponse:
        answer: wire.FillResponse = await self._ask("fill", "Fill", request, timeout_ms)
        return answer

    async def batch_lease(self, request: wire.BatchLeaseRequest, timeout_ms: int) -> wire.BatchLeaseResponse:
        effect = Effect.IDEMPOTENT if all(item.renew for item in request.items) else Effect.ONCE
        answer: wire.BatchLeaseResponse = await self._ask("batch_lease", "BatchLease", request, timeout_ms, effect)
        return answer

    async def batch_fill(self, request: wire.BatchFillRequest, timeout_ms: int) -> wire.BatchFillResponse:
        answer: wire.BatchFillResponse = await self._ask("batch_fill", "BatchFill", request, timeout_ms)
        return answer

    async def delete(self, request: wire.DeleteRequest, timeout_ms: int) -> wire.DeleteResponse:
        answer: wire.DeleteResponse = await self._ask("delete", "Delete", request, timeout_ms)
        return answer

    async def touch(self, request: wire.TouchRequest, timeout_ms: int) -> wire.TouchResponse:
        answer: wire.TouchResponse = await self._ask("touch", "Touch", request, timeout_ms)
        return answer

    async def invalidate(self, request: wire.InvalidateRequest, timeout_ms: int) -> wire.InvalidateResponse:
        answer: wire.InvalidateResponse = await self._ask("invalidate", "Invalidate", request, timeout_ms)
        return answer

    async def metrics(self, request: wire.MetricsRequest, timeout_ms: int) -> wire.MetricsResponse:
        return await self._unary.metrics(request, timeout_ms)

    async def describe_catalog(
        self, request: wire.DescribeCatalogRequest, timeout_ms: int
    ) -> wire.DescribeCatalogResponse:
        return await self._unary.describe_catalog(request, timeout_ms)

    async def close(self) -> None:
        self._closed = True
        await self._links.close()
        await self._unary.close()

    async def _ask(self, kind: str, rpc: str, request: Any, timeout_ms: int, effect: Effect | None = None) -> Any:
        """The answer, over the session if there is one; repeated where that is allowed.

        Args:
            kind: of the operation, as in `coherd.v1.Operation`.
            rpc: that does the same.
            request: of both.
            timeout_ms: of all attempts.
            effect: of sending it twice; default: as declared.
        """
        deadline_s = time.monotonic() + timeout_ms / 1_000
        if self._closed:
            raise ClientClosed("the client is closed")
        failed: CacheError | None = None
        stream = self._links.current().stream
        if stream is not None and request.ByteSize() <= stream.largest_bytes:
            try:
                return await stream.ask(kind, request, timeout_ms)
            except CacheError as error:
                failed = error
        return await self._ask_until(kind, rpc, request, deadline_s, effect or EFFECTS[rpc], failed)

    async def _ask_until(
        self, kind: str, rpc: str, request: Any, deadline_s: float, effect: Effect, failed: CacheError | None
    ) -> Any:
        """Attempts until a moment of `time.monotonic`, after a first one that failed, if there was one."""
        if self._closed and failed is None:
            raise ClientClosed("the client is closed")
        link = self._links.current()
        return await repeat(
            lambda: self._attempt(link, kind, rpc, request, effect, deadline_s), effect, deadline_s, failed=failed
        )

    async def _attempt(
        self, link: SessionLink, kind: str, rpc: str, request: Any, effect: Effect, deadline_s: float
    ) -> Any:
        if self._closed:
            raise ClientClosed("the client was closed during the call")
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceeded(
                "the time limit passed", reason=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, retry=Retry.IDEMPOTENT
            )
        stream = await link.ready(remaining_s)
        if stream is not None and request.ByteSize() <= stream.largest_bytes:
            return await stream.ask(kind, request, max(1, int((deadline_s - time.monotonic()) * 1_000)))
        answer: Any = None
        try:
            answer = await self._unary.send(rpc, effect, request, deadline_s)
            return answer
        finally:
            if link.near is not None:
                drop_changed(link.near, kind, request, answer)
