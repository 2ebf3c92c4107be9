"""Unary calls on `grpc.aio` under the transport protocol: deadlines, retries and errors."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import grpc.aio

from coherd._near import Kept
from coherd._rpc.attempts import repeat
from coherd._rpc.channels import Connection, LoopChannels
from coherd._rpc.methods import METHODS, Effect, Method, Request, Response
from coherd._rpc.status import error_of_status
from coherd._rpc.target import check_target
from coherd._rpc.tls import TlsConfig
from coherd._rpc.token import bearer_metadata
from coherd.contract.reasons import Retry
from coherd.errors import ClientClosed, DeadlineExceeded, ServerDefect, Unavailable
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
            method.rpc: channel.unary_unary(
                f"/coherd.v1.CacheService/{method.rpc}",
                request_serializer=method.message.SerializeToString,
                response_deserializer=method.response.FromString,
            )
            for method in METHODS.values()
        }
        return Connection(channel, calls)

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        return None

    async def call(self, method: Method[Request, Response], request: Request, timeout_ms: int) -> Response:
        deadline_s = time.monotonic() + timeout_ms / 1_000
        return await repeat(lambda: self.send(method, request, deadline_s), method.effect_of(request), deadline_s)

    async def close(self) -> None:
        self._closed = True
        await self._channels.close()

    async def send(self, method: Method[Request, Response], request: Request, deadline_s: float) -> Response:
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
                if not connected and method.effect is not Effect.READS:
                    # Sent now, it might still arrive and be lost; a read may be, and its failure says why.
                    raise Unavailable(f"cannot connect to the service at {self._target}", retry=Retry.SAFE)
                remaining_s = deadline_s - time.monotonic()
            message = method.message_of(request)
            gate = connection.waits if getattr(message, "wait_ms", 0) else connection.places
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
                answer: Response | None = await connection.calls[method.rpc](
                    message, timeout=remaining_s, metadata=self._metadata
                )
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
