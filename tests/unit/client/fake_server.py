"""A real `grpc.aio` server with a dict behind it, that fails as told. Knows keys and tags of the built-in catalog."""

from __future__ import annotations

import asyncio
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from coherd.catalog.load import builtin_catalog
from coherd.contract.limits import GRANT_BYTES
from coherd.contract.reasons import REASONS, Refusal, reason_name
from coherd.contract.ttl import choose_ttl_ms
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2

RPCS: dict[str, type[Message]] = {
    "Get": wire.GetRequest,
    "BatchGet": wire.BatchGetRequest,
    "Set": wire.SetRequest,
    "BatchSet": wire.BatchSetRequest,
    "Lease": wire.LeaseRequest,
    "BatchLease": wire.BatchLeaseRequest,
    "Fill": wire.FillRequest,
    "BatchFill": wire.BatchFillRequest,
    "Delete": wire.DeleteRequest,
    "Touch": wire.TouchRequest,
    "Invalidate": wire.InvalidateRequest,
    "Metrics": wire.MetricsRequest,
    "DescribeCatalog": wire.DescribeCatalogRequest,
}


@dataclass
class Fault:
    """How one call fails."""

    reason: int = 0
    """With Coherd's details."""
    code: grpc.StatusCode | None = None
    """Without any, as a proxy would."""
    text: str = "injected"
    field: str = ""
    retry_after_ms: int | None = None
    """None: as the reason table says."""
    delay_s: float = 0.0
    """Before it is answered, well unless another fault is given."""
    after: bool = False
    """The call takes effect before it fails."""


@dataclass
class Stored:
    """An entry."""

    request: wire.SetRequest
    tags: frozenset[str]
    written_s: float
    ttl_ms: int


@dataclass
class Leased:
    """A lease. One whose token nobody knows is somebody else's."""

    token: bytes
    until_s: float
    grant: bytes = b""


@dataclass
class FakeServer:
    """Use as an async context manager; `target` is where it listens."""

    entries: dict[str, Stored] = field(default_factory=dict)
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    """By rpc; each call takes the first one left."""
    leases: dict[str, Leased] = field(default_factory=dict)
    tokens: list[bytes] = field(default_factory=list)
    """Of all requests for a grant, in order."""
    fills: list[wire.FillRequest] = field(default_factory=list)
    """As they came."""
    stale: dict[str, wire.Hit] = field(default_factory=dict)
    """Served beside leases; dropped by a fill."""
    bad_items: dict[str, int] = field(default_factory=dict)
    """Reason that items of batches with this key fail with."""
    calls: Counter[str] = field(default_factory=Counter)
    metadata: dict[str, str] = field(default_factory=dict)
    """Of the last call."""
    largest_batch: int = 0
    running: int = 0
    most_running: int = 0
    target: str = ""
    options: Sequence[tuple[str, Any]] = ()
    extra_handlers: Sequence[grpc.GenericRpcHandler] = ()

    async def __aenter__(self) -> FakeServer:
        self._server = grpc.aio.server(options=[("grpc.so_reuseport", 0), *self.options])
        handlers = {name: self._handler(name, request) for name, request in RPCS.items()}
        self._server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler("coherd.v1.CacheService", handlers),)
        )
        self._server.add_generic_rpc_handlers(tuple(self.extra_handlers))
        port = self._server.add_insecure_port(self.target or "127.0.0.1:0")
        self.target = f"127.0.0.1:{port}"
        await self._server.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Ends all calls at once."""
        await self._server.stop(0)

    def fail(self, rpc: str, *faults: Fault) -> None:
        """The next calls of an rpc fail like this."""
        self.faults.setdefault(rpc, []).extend(faults)

    def _handler(self, name: str, request: type[Message]) -> Any:
        act: Callable[[Any], Awaitable[Message]] = getattr(self, "_" + name.lower())

        async def handle(message: Any, context: Any) -> Any:
            self.calls[name] += 1
            self.metadata = dict(context.invocation_metadata())
            self.running += 1
            self.most_running = max(self.most_running, self.running)
            try:
                return await answer(message, context)
            finally:
                self.running -= 1

        async def answer(message: Any, context: Any) -> Any:
            waiting = self.faults.get(name)
            fault = waiting.pop(0) if waiting else None
            if fault is None:
                return await self._answered(act, message, context)
            result = await self._answered(act, message, context) if fault.after else None
            await asyncio.sleep(fault.delay_s)
            if fault.code is not None:
                await context.abort(fault.code, fault.text)
            if fault.reason:
                await _abort(context, fault)
            return result or await self._answered(act, message, context)

        return grpc.unary_unary_rpc_method_handler(
            handle, request.FromString, lambda answer: answer.SerializeToString()
        )

    async def _answered(self, act: Callable[[Any], Awaitable[Message]], message: Any, context: Any) -> Message:
        try:
            return await act(message)
        except Refusal as refusal:
            await _abort(context, Fault(refusal.reason, text=str(refusal), field=refusal.field))
            raise AssertionError("aborted") from None

    # The verbs.

    def _valid(self, key: keys_pb2.Key) -> Stored | None:
        entry = self.entries.get(builtin_catalog().resolve(key.text).text)
        if entry is None or (time.monotonic() - entry.written_s) * 1_000 >= entry.ttl_ms:
            return None
        return entry

    def _read(self, key: keys_pb2.Key) -> wire.GetResponse:
        entry = self._valid(key)
        if entry is None:
            return wire.GetResponse(miss=wire.Miss(reason=wire.MISS_REASON_ABSENT))
        age_ms = int((time.monotonic() - entry.written_s) * 1_000)
        request = entry.request
        return wire.GetResponse(
            hit=wire.Hit(
                value=request.value,
                age_ms=age_ms,
                remaining_ttl_ms=entry.ttl_ms - age_ms,
                negative=request.negative,
                version=request.version if request.HasField("version") else None,
                extra_tags=request.extra_tags,
            )
        )

    def _write(self, request: wire.SetRequest) -> wire.SetResponse:
        resolved = builtin_catalog().resolve(request.key.text)
        ttl_ms = choose_ttl_ms(
            resolved.policy, request.ttl_ms if request.HasField("ttl_ms") else None, negative=request.negative
        )
        present = self._valid(request.key)
        if request.only_if_absent and present is not None:
            return wire.SetResponse(outcome=wire.SET_OUTCOME_PRESENT)
        if present is not None and request.HasField("version") and present.request.version > request.version:
            return wire.SetResponse(outcome=wire.SET_OUTCOME_OLDER_VERSION)
        extra = {f"{resolved.domain.name}/{name}:{value}" for name, value in request.extra_tags.items()}
        tags = frozenset({tag for _, tag in resolved.tags} | extra)
        self.entries[resolved.text] = Stored(request, tags, time.monotonic(), ttl_ms)
        return wire.SetResponse(outcome=wire.SET_OUTCOME_STORED, ttl_ms=ttl_ms)

    async def _get(self, request: wire.GetRequest) -> Message:
        return self._read(request.key)

    async def _batchget(self, request: wire.BatchGetRequest) -> Message:
        self.largest_batch = max(self.largest_batch, len(request.keys))
        answer = wire.BatchGetResponse()
        for key in request.keys:
            try:
                if key.text in self.bad_items:
                    raise Refusal(self.bad_items[key.text], "injected", field="key")
                result = self._read(key)
            except Refusal as refusal:
                answer.results.add(error=_item_error(refusal))
            else:
                answer.results.add(hit=result.hit) if result.HasField("hit") else answer.results.add(miss=result.miss)
        return answer

    async def _set(self, request: wire.SetRequest) -> Message:
        return self._write(request)

    async def _batchset(self, request: wire.BatchSetRequest) -> Message:
        self.largest_batch = max(self.largest_batch, len(request.items))
        answer = wire.BatchSetResponse()
        for item in request.items:
            try:
                if item.key.text in self.bad_items:
                    raise Refusal(self.bad_items[item.key.text], "injected", field="key")
                answer.results.add(set=self._write(item))
            except Refusal as refusal:
                answer.results.add(error=_item_error(refusal))
        return answer

    async def _lease(self, request: wire.LeaseRequest) -> Message:
        end_s = time.monotonic() + request.wait_ms / 1_000
        while True:
            answer = self._judge(request)
            if not answer.HasField("held") or answer.held.HasField("stale") or time.monotonic() >= end_s:
                return answer
            await asyncio.sleep(0.01)

    def _judge(self, request: wire.LeaseRequest) -> wire.LeaseResponse:
        name, now_s = builtin_catalog().resolve(request.key.text).text, time.monotonic()
        lease = self.leases.get(name)
        lives = lease is not None and now_s < lease.until_s
        stale = self.stale.get(name)
        if request.renew:
            if lease is None or not lives or (lease.token, lease.grant) != (request.token, request.grant):
                return wire.LeaseResponse(held=wire.LeaseHeld(retry_after_ms=200))
            lease.until_s = now_s + request.lease_ms / 1_000
            return wire.LeaseResponse(granted=wire.LeaseGranted(lease_ms=request.lease_ms, grant=lease.grant))
        self.tokens.append(request.token)
        read = self._read(request.key)
        if read.HasField("hit") and stale is None:
            return wire.LeaseResponse(hit=read.hit)
        if lease is not None and lives and lease.token != request.token:
            return wire.LeaseResponse(held=wire.LeaseHeld(retry_after_ms=200, stale=stale))
        grant = os.urandom(GRANT_BYTES)
        self.leases[name] = Leased(request.token, now_s + request.lease_ms / 1_000, grant)
        return wire.LeaseResponse(granted=wire.LeaseGranted(lease_ms=request.lease_ms, stale=stale, grant=grant))

    async def _batchlease(self, request: wire.BatchLeaseRequest) -> Message:
        answer = wire.BatchLeaseResponse()
        for item in request.items:
            try:
                if item.key.text in self.bad_items:
                    raise Refusal(self.bad_items[item.key.text], "injected", field="key")
                answer.results.add(lease=self._judge(item))
            except Refusal as refusal:
                answer.results.add(error=_item_error(refusal))
        return answer

    def _store(self, request: wire.FillRequest) -> wire.FillResponse:
        self.fills.append(request)
        name = request.set.key.text
        lease = self.leases.get(name)
        if lease is None or lease.token != request.token or time.monotonic() >= lease.until_s:
            return wire.FillResponse(outcome=wire.FILL_OUTCOME_REJECTED)
        if request.abandon:
            del self.leases[name]
            if request.cooldown_ms:
                self.leases[name] = Leased(request.token, time.monotonic() + request.cooldown_ms / 1_000)
            return wire.FillResponse(outcome=wire.FILL_OUTCOME_ABANDONED)
        if lease.grant != request.grant:
            return wire.FillResponse(outcome=wire.FILL_OUTCOME_REJECTED)
        done = self._write(request.set)
        del self.leases[name]
        self.stale.pop(name, None)
        return wire.FillResponse(outcome=wire.FILL_OUTCOME_STORED, ttl_ms=done.ttl_ms)

    async def _fill(self, request: wire.FillRequest) -> Message:
        return self._store(request)

    async def _batchfill(self, request: wire.BatchFillRequest) -> Message:
        answer = wire.BatchFillResponse()
        for item in request.items:
            try:
                answer.results.add(fill=self._store(item))
            except Refusal as refusal:
                answer.results.add(error=_item_error(refusal))
        return answer

    async def _delete(self, request: wire.DeleteRequest) -> Message:
        self.leases.pop(request.key.text, None)
        return wire.DeleteResponse(existed=self.entries.pop(request.key.text, None) is not None)

    async def _touch(self, request: wire.TouchRequest) -> Message:
        entry = self._valid(request.key)
        if entry is None:
            return wire.TouchResponse()
        entry.ttl_ms = request.ttl_ms
        entry.written_s = time.monotonic()
        return wire.TouchResponse(touched=True, ttl_ms=request.ttl_ms)

    async def _invalidate(self, request: wire.InvalidateRequest) -> Message:
        catalog = builtin_catalog()
        answer = wire.InvalidateResponse()
        for selector in request.selectors:
            if selector.HasField("named"):
                answer.tags.extend(catalog.tags_of_invalidation(selector.named.name, selector.named.value))
            elif selector.HasField("tag"):
                tag = selector.tag
                answer.tags.extend(catalog.tags_of_identifier(tag.identifier, tag.value, tag.domain))
            elif selector.HasField("resource"):
                answer.tags.extend(catalog.tags_of_resource(selector.resource.domain, selector.resource.resource))
            elif selector.HasField("domain"):
                answer.tags.extend(catalog.tags_of_domain(selector.domain.domain))
            else:
                answer.deleted_keys += self.entries.pop(selector.key.text, None) is not None
        gone = set(answer.tags)
        self.entries = {key: entry for key, entry in self.entries.items() if not entry.tags & gone}
        return answer

    async def _metrics(self, request: wire.MetricsRequest) -> Message:
        answer = wire.MetricsResponse()
        for domain in request.domains or builtin_catalog().domains:
            spec = builtin_catalog().domain(domain)
            keys = sum(key.startswith(domain + ":") for key in self.entries)
            metrics = answer.domains.add(domain=domain, hits=3, misses=1, hit_ratio=0.75)
            metrics.recommended_ttl_ms = spec.policy.ttl_ms
            metrics.keyspace.keys = keys
            metrics.keyspace.counted_at.FromSeconds(1_754_438_400)
            for resource in spec.resources.values():
                metrics.resources.add(resource=resource.name, key_pattern=resource.key_pattern)
        return answer

    async def _describecatalog(self, request: wire.DescribeCatalogRequest) -> Message:
        answer = wire.DescribeCatalogResponse(fingerprint="fake")
        for domain in request.domains or builtin_catalog().domains:
            answer.domains.add(name=builtin_catalog().domain(domain).name)
        return answer


def _item_error(refusal: Refusal) -> wire.ItemError:
    rule = REASONS[refusal.reason]
    return wire.ItemError(
        reason=refusal.reason,  # type: ignore[arg-type]
        message=str(refusal),
        field=refusal.field,
        retry_after_ms=rule.retry_after_ms,
    )


async def _abort(context: Any, fault: Fault) -> None:
    """Ends a call as the real server does."""
    rule = REASONS[fault.reason]
    code = grpc.StatusCode[rule.code]
    details: list[Message] = [error_details_pb2.ErrorInfo(reason=reason_name(fault.reason), domain="coherd")]
    if fault.field:
        details.append(error_details_pb2.BadRequest(field_violations=[{"field": fault.field}]))
    retry_after_ms = rule.retry_after_ms if fault.retry_after_ms is None else fault.retry_after_ms
    if retry_after_ms:
        advice = error_details_pb2.RetryInfo()
        advice.retry_delay.FromMilliseconds(retry_after_ms)
        details.append(advice)
    status = status_pb2.Status(code=code.value[0], message=fault.text)
    for detail in details:
        packed = AnyMessage()
        packed.Pack(detail)
        status.details.append(packed)
    await context.abort(code, fault.text, (("grpc-status-details-bin", status.SerializeToString()),))
