"""A transport that needs no server: the requests of a client answered from memory."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from coherd._near import Kept
from coherd._rpc.methods import (
    BATCH_FILL,
    BATCH_GET,
    BATCH_LEASE,
    BATCH_SET,
    DELETE,
    DESCRIBE_CATALOG,
    FILL,
    GET,
    INVALIDATE,
    LEASE,
    METRICS,
    SET,
    TOUCH,
    Method,
    Request,
    Response,
)
from coherd.catalog import requests
from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.catalog.describe import describe
from coherd.contract.reasons import REASONS, Refusal
from coherd.errors import CacheError, ClientClosed, error_of
from coherd.testing.clock import FakeClock
from coherd.testing.counts import Counts
from coherd.testing.faults import Faults
from coherd.testing.memory import Memory
from coherd.testing.verbs import Verbs
from coherd.testing.waiting import Changes, Watch
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2

RPCS: Final = tuple(method.name for method in wire.DESCRIPTOR.services_by_name["CacheService"].methods)
"""Names of the rpcs of CacheService."""
MAX_VALUE_BYTES: Final = 1 << 20
MAX_BATCH_ITEMS: Final = 10_000


class Call(NamedTuple):
    """One request, as the client sent it."""

    rpc: str
    """``Get``, ``BatchSet``, ``Invalidate``: its name in CacheService."""
    request: Message

    @property
    def keys(self) -> tuple[str, ...]:
        """Texts of the keys in it."""
        return tuple(_keys_in(self.request))


class MemoryTransport:
    """Implements `coherd._rpc.protocol.Transport` in memory. Usable from any thread and any event loop.

    Args:
        catalog: what the service would run.
        clock: its time.
        draw: source of random numbers in ``[0, 1)``, for jitter and early refresh.
        max_value_bytes: longest payload accepted.
    """

    def __init__(
        self,
        catalog: Catalog,
        clock: FakeClock,
        *,
        draw: Callable[[], float],
        max_value_bytes: int = MAX_VALUE_BYTES,
    ) -> None:
        self.calls: list[Call] = []
        self.catalog = catalog
        self._clock = clock
        self._changes = Changes()
        self.memory = Memory(clock, self._changes.wake)
        self._counts = Counts()
        self._verbs = Verbs(catalog, self.memory, self._counts, clock, draw=draw, max_value_bytes=max_value_bytes)
        self._faults = Faults(RPCS)
        self._closed = False
        self.lock = threading.RLock()
        self._answers: dict[str, Callable[[Any], Awaitable[Any]]] = {
            GET.rpc: self._get,
            BATCH_GET.rpc: self._batch_get,
            SET.rpc: self._set,
            BATCH_SET.rpc: self._batch_set,
            LEASE.rpc: self._lease,
            BATCH_LEASE.rpc: self._batch_lease,
            FILL.rpc: self._fill,
            BATCH_FILL.rpc: self._batch_fill,
            DELETE.rpc: self._delete,
            TOUCH.rpc: self._touch,
            INVALIDATE.rpc: self._invalidate,
            METRICS.rpc: self._metrics,
            DESCRIBE_CATALOG.rpc: self._describe_catalog,
        }
        clock.on_advance(self._changes.wake)

    def failing(self, error: CacheError, *rpcs: str, takes_effect: bool = False) -> AbstractContextManager[None]:
        """See `coherd.testing.FakeCache.failing`."""
        return self._faults.failing(error, rpcs, takes_effect=takes_effect)

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        return None

    async def call(self, method: Method[Request, Response], request: Request, timeout_ms: int) -> Response:
        answer: Response = await self._answers[method.rpc](method.message_of(request))
        return answer

    async def _get(self, request: wire.GetRequest) -> wire.GetResponse:
        with self._serving("Get", request):
            resolved = self._key(request.key)
            answer = self._verbs.get(resolved, accept_stale=request.accept_stale)
            self._counts.timed("read_latency", {resolved.domain.name})
        return answer

    async def _batch_get(self, request: wire.BatchGetRequest) -> wire.BatchGetResponse:
        answer = wire.BatchGetResponse()
        with self._serving("BatchGet", request):
            requests.check_batch(len(request.keys), MAX_BATCH_ITEMS)
            domains: set[str] = set()
            for each in request.keys:
                result = answer.results.add()
                try:
                    key = self._key(each)
                except Refusal as refusal:
                    result.error.CopyFrom(_item_error(refusal))
                    continue
                got = self._verbs.get(key, accept_stale=request.accept_stale)
                domains.add(key.domain.name)
                if got.HasField("hit"):
                    result.hit.CopyFrom(got.hit)
                else:
                    result.miss.CopyFrom(got.miss)
            self._counts.timed("read_latency", domains)
        return answer

    async def _set(self, request: wire.SetRequest) -> wire.SetResponse:
        with self._serving("Set", request):
            answer = self._verbs.set(request)
            self._count_sets([(request, answer)])
        return answer

    async def _batch_set(self, request: wire.BatchSetRequest) -> wire.BatchSetResponse:
        answer = wire.BatchSetResponse()
        with self._serving("BatchSet", request):
            requests.check_batch(len(request.items), MAX_BATCH_ITEMS)
            done: list[tuple[wire.SetRequest, wire.SetResponse]] = []
            for item in request.items:
                result = answer.results.add()
                try:
                    stored = self._verbs.set(item)
                except Refusal as refusal:
                    result.error.CopyFrom(_item_error(refusal))
                else:
                    done.append((item, stored))
                    result.set.CopyFrom(stored)
            self._count_sets(done)
        return answer

    async def _lease(self, request: wire.LeaseRequest) -> wire.LeaseResponse:
        with self._changes.watch() as watch:
            with self._serving("Lease", request):
                item = requests.lease_item(self.catalog, request)
                if request.renew:
                    return self._verbs.renew(item)
                answer = self._verbs.lease(item)
                if not (item.wait_ms and _holds_back(answer)):
                    self._verbs.count_lease(item.key, answer, waited=False)
                    return answer
            return await self._wait(item, watch)

    async def _wait(self, item: requests.LeaseItem, watch: Watch) -> wire.LeaseResponse:
        """Look again at every change, until there is another answer than that somebody else loads, or the wait is over:
        by the cache's clock, or by real time where that stands still."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + item.wait_ms / 1000
        end_ms = self._clock.now_ms + item.wait_ms
        while True:
            await watch.change(max(0.0, min(end_s - loop.time(), self._lease_ends_in_s(item.key))))
            with self.lock:
                self._check_open("the client was closed during the call")
                answer = self._verbs.lease(item)
                if not _holds_back(answer) or self._clock.now_ms >= end_ms or loop.time() >= end_s:
                    self._verbs.count_lease(item.key, answer, waited=True)
                    return answer

    def _lease_ends_in_s(self, key: ResolvedKey) -> float:
        """Real time until the lease that is waited for ends by itself."""
        with self.lock:
            ends_at_ms = self.memory.lease_ends_at_ms(key)
        if ends_at_ms is None or not self._clock.runs:
            return float("inf")
        return (ends_at_ms - self._clock.now_ms) / 1000 + 0.001

    async def _batch_lease(self, request: wire.BatchLeaseRequest) -> wire.BatchLeaseResponse:
        answer = wire.BatchLeaseResponse()
        with self._serving("BatchLease", request):
            requests.check_batch_lease(request, MAX_BATCH_ITEMS)
            for each in request.items:
                result = answer.results.add()
                try:
                    item = requests.lease_item(self.catalog, each)
                    leased = self._verbs.renew(item) if each.renew else self._verbs.lease(item)
                except Refusal as refusal:
                    result.error.CopyFrom(_item_error(refusal))
                    continue
                if not each.renew:
                    self._verbs.count_lease(item.key, leased, waited=False)
                result.lease.CopyFrom(leased)
        return answer

    async def _fill(self, request: wire.FillRequest) -> wire.FillResponse:
        with self._serving("Fill", request):
            return self._verbs.fill(request)

    async def _batch_fill(self, request: wire.BatchFillRequest) -> wire.BatchFillResponse:
        answer = wire.BatchFillResponse()
        with self._serving("BatchFill", request):
            requests.check_batch(len(request.items), MAX_BATCH_ITEMS)
            for item in request.items:
                result = answer.results.add()
                try:
                    result.fill.CopyFrom(self._verbs.fill(item))
                except Refusal as refusal:
                    result.error.CopyFrom(_item_error(refusal))
        return answer

    async def _delete(self, request: wire.DeleteRequest) -> wire.DeleteResponse:
        with self._serving("Delete", request):
            existed = self._verbs.delete(self._key(request.key))
        return wire.DeleteResponse(existed=existed)

    async def _touch(self, request: wire.TouchRequest) -> wire.TouchResponse:
        with self._serving("Touch", request):
            return self._verbs.touch(request)

    async def _invalidate(self, request: wire.InvalidateRequest) -> wire.InvalidateResponse:
        with self._serving("Invalidate", request):
            return self._verbs.invalidate(request)

    async def _metrics(self, request: wire.MetricsRequest) -> wire.MetricsResponse:
        with self._serving("Metrics", request):
            return self._verbs.metrics(request)

    async def _describe_catalog(self, request: wire.DescribeCatalogRequest) -> wire.DescribeCatalogResponse:
        with self._serving("DescribeCatalog", request):
            return describe(self.catalog, request.domains)

    async def close(self) -> None:
        self._closed = True
        self._changes.wake()

    @contextmanager
    def _serving(self, rpc: str, request: Message) -> Iterator[None]:
        """Note the call, fail it where a test asks for that, and turn refusals into errors."""
        with self.lock:
            self._check_open("the client is closed")
            self.calls.append(Call(rpc, request))
            self._faults.before(rpc)
            try:
                yield
            except Refusal as refusal:
                rule = REASONS[refusal.reason]
                raise error_of(
                    refusal.reason, str(refusal), field=refusal.field, retry_after_ms=rule.retry_after_ms
                ) from None
            self._faults.after(rpc)

    def _check_open(self, otherwise: str) -> None:
        if self._closed:
            raise ClientClosed(otherwise)

    def _key(self, key: keys_pb2.Key) -> ResolvedKey:
        return self.catalog.key_of(key)

    def _count_sets(self, done: Sequence[tuple[wire.SetRequest, wire.SetResponse]]) -> None:
        stored = [request for request, answer in done if answer.outcome == wire.SET_OUTCOME_STORED]
        self._counts.timed("write_latency", {self._key(request.key).domain.name for request in stored})


def _holds_back(answer: wire.LeaseResponse) -> bool:
    """Whether a caller that can wait does."""
    return answer.HasField("held") and not answer.held.HasField("stale")


def _item_error(refusal: Refusal) -> wire.ItemError:
    return wire.ItemError(
        reason=refusal.reason,  # type: ignore[arg-type]
        message=str(refusal),
        field=refusal.field,
        retry_after_ms=REASONS[refusal.reason].retry_after_ms,
    )


def _keys_in(message: Message) -> Iterator[str]:
    """Texts of the keys anywhere in a request, in order."""
    for descriptor, value in message.ListFields():
        if descriptor.message_type is None or descriptor.message_type.GetOptions().map_entry:
            continue
        for each in value if isinstance(value, Sequence) else (value,):
            if isinstance(each, keys_pb2.Key):
                yield each.text
            else:
                yield from _keys_in(each)
