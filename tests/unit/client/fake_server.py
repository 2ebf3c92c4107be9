"""gRPC in front of the memory of `coherd.testing`; interceptors watch the calls, and fail them as a test says.

Its clock stands unless a test advances it: what expires does so when the test says.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc import error_details_pb2, status_pb2

from coherd._rpc.methods import METHODS
from coherd.catalog.load import builtin_catalog
from coherd.catalog.overrides import TtlOverride, with_overrides
from coherd.contract.reasons import REASONS, reason_name
from coherd.errors import CacheError
from coherd.testing import FakeClock
from coherd.testing.memory import Kept
from coherd.testing.transport import MemoryTransport
from coherd.v1 import cache_service_pb2 as pb

PATIENT_MS: Final = 60_000
"""Time limit of calls that are to succeed: how long one takes says what else the machine does."""
Act = Callable[[Any, Any], Awaitable[Message]]
"""Answers a request, given its context."""


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
    gate: asyncio.Event | None = None
    """What it waits for before it is answered, well unless another fault is given."""
    after: bool = False
    """The call takes effect before it fails."""


class Interceptor(grpc.aio.ServerInterceptor):
    """Puts `around` around every unary call."""

    async def intercept_service(self, continuation: Any, handler_call_details: Any) -> Any:
        handler = await continuation(handler_call_details)
        if handler is None or handler.unary_unary is None:
            return handler
        rpc, act = handler_call_details.method.rpartition("/")[2], handler.unary_unary

        async def answer(request: Any, context: Any) -> Message:
            return await self.around(rpc, act, request, context)

        return grpc.unary_unary_rpc_method_handler(answer, handler.request_deserializer, handler.response_serializer)

    async def around(self, rpc: str, act: Act, request: Any, context: Any) -> Message:
        """The answer of ``act``, or what is to come instead."""
        raise NotImplementedError


class Watch(Interceptor):
    """Counts calls, those that fail too."""

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.metadata: dict[str, str] = {}
        """Of the last call."""
        self.running = 0
        self.most_running = 0

    async def around(self, rpc: str, act: Act, request: Any, context: Any) -> Message:
        self.calls[rpc] += 1
        self.metadata = dict(context.invocation_metadata())
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        try:
            return await act(request, context)
        finally:
            self.running -= 1


class Faults(Interceptor):
    """Fails calls with the faults of their rpc, one after the other."""

    def __init__(self) -> None:
        self.waiting: dict[str, list[Fault]] = {}
        """By rpc; each call takes the first one left."""

    async def around(self, rpc: str, act: Act, request: Any, context: Any) -> Message:
        if not self.waiting.get(rpc):
            return await act(request, context)
        fault = self.waiting[rpc].pop(0)
        answer = await act(request, context) if fault.after else None
        if fault.gate is not None:
            await fault.gate.wait()
        if fault.code is not None:
            await context.abort(fault.code, fault.text)
        if fault.reason:
            await _abort(context, fault)
        return answer or await act(request, context)


class BadItems(Interceptor):
    """Fails items of batches, which then take no effect."""

    def __init__(self) -> None:
        self.reasons: dict[str, int] = {}
        """By canonical text of a key."""
        self.once: dict[str, list[int]] = {}
        """By canonical text of a key; each attempt at it takes the first one left. 0: it is well."""
        self.asked: list[list[str]] = []
        """Keys of each batch."""

    async def around(self, rpc: str, act: Act, request: Any, context: Any) -> Message:
        field = {"BatchGet": "keys", "BatchSet": "items", "BatchLease": "items", "BatchFill": "items"}.get(rpc, "")
        items = getattr(request, field, ())
        texts = [_text(item) for item in items]
        if texts:
            self.asked.append(texts)
        once = [self.once[text].pop(0) if self.once.get(text) else 0 for text in texts]
        reasons = [first or self.reasons.get(text, 0) for first, text in zip(once, texts, strict=True)]
        if not any(reasons):
            return await act(request, context)
        good = [item for item, reason in zip(items, reasons, strict=True) if not reason]
        answered: Any = METHODS[rpc].response()
        if good:
            answered = await act(type(request)(**{field: good}), context)
        results, answer = iter(answered.results), type(answered)()
        for reason in reasons:
            if reason:
                retry_ms = REASONS[reason].retry_after_ms
                answer.results.add(
                    error=pb.ItemError(reason=reason, message="injected", field="key", retry_after_ms=retry_ms)
                )  # type: ignore[arg-type]
            else:
                answer.results.append(next(results))
        return answer


def _text(item: Any) -> str:
    """The key of an item of any batch."""
    item = item.set if hasattr(item, "set") else item
    return str(item.key.text if hasattr(item, "key") else item.text)


class FakeServer:
    """Use as an async context manager; `target` is where it listens.

    Args:
        target: to listen at; default: a free port of loopback.
        options: further options of the gRPC server.
        extra_handlers: of other services.
    """

    def __init__(
        self,
        *,
        target: str = "127.0.0.1:0",
        options: Sequence[tuple[str, Any]] = (),
        extra_handlers: Sequence[grpc.GenericRpcHandler] = (),
    ) -> None:
        self.target = target
        self.clock = FakeClock()
        self.draw = 0.0
        """Randomness of what it decides: no jitter, never early."""
        catalog = with_overrides(builtin_catalog(), {"content": TtlOverride(early_refresh=1.0)})
        self.transport = MemoryTransport(catalog, self.clock, draw=lambda: self.draw)
        self.watch, self._faults, self._bad_items = Watch(), Faults(), BadItems()
        self.bad_items = self._bad_items.reasons
        """Reason that items of batches with this key fail with."""
        self.bad_once, self.asked = self._bad_items.once, self._bad_items.asked
        self.calls = self.watch.calls
        self._options = options
        self._extra_handlers = extra_handlers

    async def __aenter__(self) -> FakeServer:
        self._server = grpc.aio.server(
            options=[("grpc.so_reuseport", 0), *self._options],
            interceptors=[self.watch, self._faults, self._bad_items],
        )
        handlers = {rpc: self._handler(rpc) for rpc in METHODS}
        service = grpc.method_handlers_generic_handler("coherd.v1.CacheService", handlers)
        self._server.add_generic_rpc_handlers((service, *self._extra_handlers))
        port = self._server.add_insecure_port(self.target)
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
        self._faults.waiting.setdefault(rpc, []).extend(faults)

    # What it has, and what a test puts there.

    def pass_s(self, seconds: float) -> None:
        """Let its time pass."""
        self.clock.advance(timedelta(seconds=seconds))

    def requests(self, rpc: str) -> list[Any]:
        """Those that took effect, in order."""
        return [call.request for call in self.transport.calls if call.rpc == rpc]

    @property
    def tokens(self) -> list[bytes]:
        """Of all requests for a grant, in order."""
        return [request.token for request in self.requests("Lease") if not request.renew]

    @property
    def fills(self) -> list[pb.FillRequest]:
        """As they came."""
        return self.requests("Fill")

    @property
    def largest_batch(self) -> int:
        """Most items of one call."""
        sizes = [len(request.keys) for request in self.requests("BatchGet")]
        return max(sizes + [len(request.items) for request in self.requests("BatchSet")])

    def ttl_ms(self, key: object) -> int | None:
        """For how long an entry was stored; None: nothing is there."""
        kept = self._memory.look(self._resolved(key)).kept
        return None if kept is None else kept.fresh_until_ms - kept.written_at_ms

    def put(self, key: object, payload: bytes, *, fresh_s: float, load_ms: int = 0) -> None:
        """Store a value that a load brought, fresh for so long (< 0: it is stale)."""
        resolved, now_ms = self._resolved(key), self.clock.now_ms
        until_ms, epochs = now_ms + int(fresh_s * 1000), self._memory.stamps(resolved, ())
        self._memory.store(resolved, Kept(payload, now_ms - 3_600_000, until_ms, 600_000, epochs, load_ms=load_ms))

    @property
    def leased(self) -> set[str]:
        """Keys that somebody has a lease of."""
        return {key for key in list(self._memory._leases) if self._memory.lease_ends_at_ms(self._resolved(key))}

    def grant(self, key: object, token: bytes, for_s: float = 60.0) -> None:
        """Give a key's lease to a token, whoever had it."""
        self._memory.grant(self._resolved(key), token, int(for_s * 1000), ())

    def release(self, key: object) -> None:
        """End a key's lease."""
        self._memory.release(self._resolved(key))

    def invalidate(self, key: object) -> None:
        """As somebody else does it, by a tag of the key."""
        self._memory.invalidate([self._resolved(key).tags[0][1]])

    @property
    def _memory(self) -> Any:
        return self.transport.memory

    def _resolved(self, key: object) -> Any:
        return self.transport.catalog.resolve(str(key))

    # The verbs.

    def _handler(self, rpc: str) -> Any:
        async def answer(request: Any, context: Any) -> Message:
            try:
                return await self._answer(rpc, request)
            except CacheError as error:
                await _abort(context, Fault(error.reason, text=str(error), field=error.field))
                raise AssertionError("aborted") from None

        return grpc.unary_unary_rpc_method_handler(
            answer, METHODS[rpc].message.FromString, lambda one: one.SerializeToString()
        )

    async def _answer(self, rpc: str, request: Any) -> Message:
        answer: Any = await self.transport.answer(rpc, request)
        if rpc == "Metrics":
            for domain in answer.domains:  # the census, which a memory has none of
                keys = [key for key in self._memory.texts() if key.startswith(f"{domain.domain}:")]
                domain.keyspace.keys = len(keys)
                domain.keyspace.counted_at.FromMilliseconds(self.clock.now_ms)
        return answer


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
