"""Unary calls on `grpc.aio` under the transport protocol: deadlines, retries and errors."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import grpc.aio
from google.protobuf.message import Message

from coherd._near import Kept
from coherd._rpc.attempts import repeat
from coherd._rpc.channels import Connection, LoopChannels
from coherd._rpc.retries import EFFECTS, Effect
from coherd._rpc.status import error_of_status
from coherd._rpc.target import check_target
from coherd._rpc.tls import TlsConfig
from coherd._rpc.token import bearer_metadata
from coherd.contract.reasons import Retry
from coherd.errors import ClientClosed, DeadlineExceeded, ServerDefect, Unavailable
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import keys_pb2
from coherd.v1.errors_pb2 import ErrorReason

MAX_ANSWER_BYTES: Final = 256 * 1024 * 1024
"""Longest answer a client takes; a batch of large values is split before it gets there."""

OPTIONS: Final[tuple[tuple[str, int], ...]] = (
    # gRPC repeats nothing by itself: what may be repeated is decided here, by reason and by rpc.
    ("grpc.enable_retries", 0),
    # The server allows a ping every 10 s, with or without calls.
    ("grpc.keepalive_time_ms", 20_000),
    ("grpc.keepalive_timeout_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.http2.max_pings_without_data", 0),
    # A restarted server is found again within the back-off of a call.
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 2_000),
    ("grpc.max_receive_message_length", MAX_ANSWER_BYTES),
    ("grpc.max_send_message_length", -1),
    # Connections are never shared behind our back: not with a forked parent's, not with another client's credentials.
    ("grpc.use_local_subchannel_pool", 1),
    # A cache is inside: the proxy of the environment is for the outside.
    ("grpc.enable_http_proxy", 0),
)
"""Channel options."""

_RPCS: Final[dict[str, tuple[type[Message], type[Message]]]] = {
    "Get": (wire.GetRequest, wire.GetResponse),
    "BatchGet": (wire.BatchGetRequest, wire.BatchGetResponse),
    "Set": (wire.SetRequest, wire.SetResponse),
    "BatchSet": (wire.BatchSetRequest, wire.BatchSetResponse),
    "Lease": (wire.LeaseRequest, wire.LeaseResponse),
    "BatchLease": (wire.BatchLeaseRequest, wire.BatchLeaseResponse),
    "Fill": (wire.FillRequest, wire.FillResponse),
    "BatchFill": (wire.BatchFillRequest, wire.BatchFillResponse),
    "Delete": (wire.DeleteRequest, wire.DeleteResponse),
    "Touch": (wire.TouchRequest, wire.TouchResponse),
    "Invalidate": (wire.InvalidateRequest, wire.InvalidateResponse),
    "Metrics": (wire.MetricsRequest, wire.MetricsResponse),
    "DescribeCatalog": (wire.DescribeCatalogRequest, wire.DescribeCatalogResponse),
}
_READY: Final = grpc.ChannelConnectivity.READY


def open_channel(target: str, tls: TlsConfig | None) -> grpc.aio.Channel:
    """A channel of its own connection. Does no I/O."""
    options: list[tuple[str, Any]] = list(OPTIONS)
    if tls is None:
        return grpc.aio.insecure_channel(target, options)
    if tls.server_name is not None:
        options.append(("grpc.ssl_target_name_override", tls.server_name))
    return grpc.aio.secure_channel(target, tls.credentials(), options)


class UnaryTransport:
    """One call per request, each on its own HTTP/2 stream of a shared connection.

    Usable from any number of event loops and, in forked children, again: see `coherd._rpc.channels`.
    """

    def __init__(self, target: str, *, tls: TlsConfig | None = None, token: str | None = None) -> None:
        """Does no I/O.

        Args:
            target: ``host:port``, or any gRPC target (``dns:///…``, ``unix:…``).
            tls: None: plain text.
            token: sent as bearer token with every call; without ``tls`` it crosses the network readable.

        Raises:
            ValueError: there is no service at such a target, or gRPC cannot carry the token.
        """
        self._target = check_target(target)
        self._tls = tls
        self._metadata = bearer_metadata(token)
        self._closed = False
        self._channels = LoopChannels(self._connect)

    def _connect(self) -> Connection:
        channel = open_channel(self._target, self._tls)
        calls = {
            name: channel.unary_unary(
                f"/coherd.v1.CacheService/{name}",
                request_serializer=request.SerializeToString,
                response_deserializer=answer.FromString,
            )
            for name, (request, answer) in _RPCS.items()
        }
        return Connection(channel, calls)

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        return None

    async def get(self, key: str, accept_stale: bool, timeout_ms: int) -> wire.GetResponse:
        request = wire.GetRequest(key=keys_pb2.Key(text=key), accept_stale=accept_stale)
        answer: wire.GetResponse = await self._call("Get", request, timeout_ms)
        return answer

    async def batch_get(self, request: wire.BatchGetRequest, timeout_ms: int) -> wire.BatchGetResponse:
        answer: wire.BatchGetResponse = await self._call("BatchGet", request, timeout_ms)
        return answer

    async def set(self, request: wire.SetRequest, timeout_ms: int) -> wire.SetResponse:
        answer: wire.SetResponse = await self._call("Set", request, timeout_ms)
        return answer

    async def batch_set(self, request: wire.BatchSetRequest, timeout_ms: int) -> wire.BatchSetResponse:
        answer: wire.BatchSetResponse = await self._call("BatchSet", request, timeout_ms)
        return answer

    async def lease(self, request: wire.LeaseRequest, timeout_ms: int) -> wire.LeaseResponse:
        effect = Effect.IDEMPOTENT if request.renew else Effect.ONCE
        answer: wire.LeaseResponse = await self._call("Lease", request, timeout_ms, effect)
        return answer

    async def fill(self, request: wire.FillRequest, timeout_ms: int) -> wire.FillResponse:
        answer: wire.FillResponse = await self._call("Fill", request, timeout_ms)
        return answer

    async def batch_lease(self, request: wire.BatchLeaseRequest, timeout_ms: int) -> wire.BatchLeaseResponse:
        effect = Effect.IDEMPOTENT if all(item.renew for item in request.items) else Effect.ONCE
        answer: wire.BatchLeaseResponse = await self._call("BatchLease", request, timeout_ms, effect)
        return answer

    async def batch_fill(self, request: wire.BatchFillRequest, timeout_ms: int) -> wire.BatchFillResponse:
        answer: wire.BatchFillResponse = await self._call("BatchFill", request, timeout_ms)
        return answer

    async def delete(self, request: wire.DeleteRequest, timeout_ms: int) -> wire.DeleteResponse:
        answer: wire.DeleteResponse = await self._call("Delete", request, timeout_ms)
        return answer

    async def touch(self, request: wire.TouchRequest, timeout_ms: int) -> wire.TouchResponse:
        answer: wire.TouchResponse = await self._call("Touch", request, timeout_ms)
        return answer

    async def invalidate(self, request: wire.InvalidateRequest, timeout_ms: int) -> wire.InvalidateResponse:
        answer: wire.InvalidateResponse = await self._call("Invalidate", request, timeout_ms)
        return answer

    async def metrics(self, request: wire.MetricsRequest, timeout_ms: int) -> wire.MetricsResponse:
        answer: wire.MetricsResponse = await self._call("Metrics", request, timeout_ms)
        return answer

    async def describe_catalog(
        self, request: wire.DescribeCatalogRequest, timeout_ms: int
    ) -> wire.DescribeCatalogResponse:
        answer: wire.DescribeCatalogResponse = await self._call("DescribeCatalog", request, timeout_ms)
        return answer

    async def close(self) -> None:
        self._closed = True
        await self._channels.close()

    async def _call(self, rpc: str, request: Message, timeout_ms: int, effect: Effect | None = None) -> Any:
        """Sends until it is answered, may not be repeated, or its time is up. ``effect``: default as declared."""
        effect = effect or EFFECTS[rpc]
        deadline_s = time.monotonic() + timeout_ms / 1_000
        return await repeat(lambda: self.send(rpc, effect, request, deadline_s), effect, deadline_s)

    async def send(self, rpc: str, effect: Effect, request: Message, deadline_s: float) -> Any:
        """One attempt, at most until a moment of `time.monotonic`."""
        if self._closed:
            raise ClientClosed("the client is closed")
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceeded(
                "the time limit passed", reason=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, retry=Retry.IDEMPOTENT
            )
        connection = self._channels.current()
        connection.in_flight += 1
        connected = True
        try:
            if connection.channel.get_state() is not _READY:
                connected = await connection.ready(remaining_s)
                if not connected and effect is not Effect.READS:
                    # Sent now, it might still arrive and be lost; a read may be, and its failure says why.
                    raise Unavailable(f"cannot connect to the service at {self._target}", retry=Retry.SAFE)
                remaining_s = deadline_s - time.monotonic()
            gate = connection.waits if getattr(request, "wait_ms", 0) else connection.places
            if gate.locked():
                try:
                    async with asyncio.timeout(remaining_s):
                        await gate.acquire()
                except TimeoutError:
                    raise Unavailable("too many calls of this client are in flight", retry=Retry.SAFE) from None
            else:
                await gate.acquire()  # at once
            try:
                remaining_s = max(0.001, deadline_s - time.monotonic())
                answer = await connection.calls[rpc](request, timeout=remaining_s, metadata=self._metadata)
            finally:
                gate.release()
        except grpc.aio.AioRpcError as error:
            failure = error_of_status(error)
            if not connected and type(failure) is Unavailable and not failure.reason:
                raise Unavailable(f"cannot connect to the service at {self._target}", retry=failure.retry) from error
            raise failure  # noqa: B904 - it has its cause
        except grpc.aio.UsageError as error:
            raise ClientClosed("the client was closed during the call") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if self._closed and (task is None or not task.cancelling()):
                # Closing a channel cancels its calls, not their callers.
                raise ClientClosed("the client was closed during the call") from None
            raise
        finally:
            connection.in_flight -= 1
        if answer is None:
            raise ServerDefect("the answer is not a Coherd message")
        return answer
