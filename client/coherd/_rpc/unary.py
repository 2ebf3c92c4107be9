"""Unary calls on `grpc.aio` under the transport protocol: deadlines, retries and errors."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import grpc.aio

from coherd._near import Kept
from coherd._rpc.calls import attempts_of
from coherd._rpc.connection import Connection, open_channel
from coherd._rpc.connection_events import ConnectionEventKind, ConnectionEvents
from coherd._rpc.endpoint import bearer_metadata, check_target
from coherd._rpc.failure_policy import FailurePolicy
from coherd._rpc.forks import ConnectedPerLoop
from coherd._rpc.guard import Guard
from coherd._rpc.methods import Effect, Method, Request, Response
from coherd._rpc.per_loop import PerLoop
from coherd._rpc.protocol import MAX_CALL_ITEMS
from coherd._rpc.retries import repeat
from coherd._rpc.status import error_of_status
from coherd._rpc.tls import TlsConfig
from coherd.contract.reasons import Retry
from coherd.errors import ClientClosed, DeadlineExceeded, ServerDefect, Unavailable
from coherd.v1.errors_pb2 import ErrorReason

_SILENT: Final = "the service gave no sign of life"
_READY: Final = grpc.ChannelConnectivity.READY


class UnaryTransport:
    """One call per request, each on its own HTTP/2 stream of a shared connection.

    Usable from any number of event loops and, in forked children, again: see `coherd._rpc.forks`.
    """

    def __init__(
        self,
        target: str,
        *,
        tls: TlsConfig | None = None,
        token: str | None = None,
        failures: FailurePolicy | None = None,
        on_event: Callable[[Any], object] | None = None,
    ) -> None:
        """Does no I/O.

        Args:
            target: ``host:port``, or any gRPC target (``dns:///…``, ``unix:…``).
            tls: None: plain text.
            token: sent as bearer token with every call; without ``tls`` it crosses the network readable.
            failures: what is done about a service that fails. Default: ``FailurePolicy()``.
            on_event: called with each `ConnectionEvent`.

        Raises:
            ValueError: there is no service at such a target, or gRPC cannot carry the token.
        """
        policy = FailurePolicy() if failures is None else failures
        self.events = ConnectionEvents(on_event)
        self._guards = PerLoop(lambda: Guard(policy, self.events))
        self._target = check_target(target)
        self.service: object = self._target
        """See `Transport.service`."""
        self._metadata = bearer_metadata(token)
        self._closed = False
        self._connections = ConnectedPerLoop(
            lambda: Connection(open_channel(target, tls), policy.silence_ms, self._fell_silent)
        )

    def lookup_near(self, key: str, loop: asyncio.AbstractEventLoop | None = None) -> Kept | None:
        return None

    peek_near = lookup_near

    def owes_turn(self) -> bool:
        return False

    def items_at_once(self, items: int, *, reads: bool) -> int:
        return MAX_CALL_ITEMS

    async def call(
        self, method: Method[Request, Response], request: Request, timeout_ms: int, has_fallback: bool = False
    ) -> Response:
        deadline_s = time.monotonic() + timeout_ms / 1_000
        call = attempts_of(self.send, method, request, timeout_ms, has_fallback)
        return await repeat(call, self._guards.current(), deadline_s)

    async def close(self) -> None:
        self._closed = True
        guard, _ = self._guards.take_all()
        if guard is not None:
            await guard.close()
        own, _ = self._connections.take_all()  # channels of other loops end with their last call
        if own is not None:
            await own.close()

    @property
    def counts(self) -> Mapping[ConnectionEventKind, int]:
        return self.events.counts

    def leave(self) -> None:
        """Use the running loop's connection for no more calls: its server is thought to stand still."""
        self._connections.by_loop.pop(asyncio.get_running_loop(), None)

    def _fell_silent(self, connection: Connection) -> None:
        self.events.happened(ConnectionEventKind.SERVER_SILENT)
        loop = asyncio.get_running_loop()
        if self._connections.by_loop.get(loop) is connection:
            del self._connections.by_loop[loop]

    async def send(self, method: Method[Request, Response], request: Request, deadline_s: float) -> Response:
        """One attempt, at most until a moment of `time.monotonic`."""
        if self._closed:
            raise ClientClosed("the client is closed")
        remaining_s = deadline_s - time.monotonic()
        if remaining_s <= 0:
            raise DeadlineExceeded(
                "the time limit passed", reason=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, retry=Retry.IDEMPOTENT
            )
        connection = self._connections.current()
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
                answer: Any = await connection.ask(method.rpc, message, remaining_s, self._metadata)
            finally:
                gate.release()
        except grpc.aio.AioRpcError as error:
            failure = error_of_status(error)
            if not connected and type(failure) is Unavailable and not failure.reason:
                # Such a call is a read: it may be repeated whatever became of it.
                raise Unavailable(f"cannot connect to the service at {self._target}", retry=Retry.SAFE) from error
            raise failure  # noqa: B904 - it has its cause
        except grpc.aio.UsageError as error:
            if connection.is_silent and not self._closed:
                raise Unavailable(_SILENT, retry=Retry.SAFE) from None
            raise ClientClosed("the client was closed during the call") from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            # Closing a channel cancels its calls, not their callers.
            if self._closed:
                raise ClientClosed("the client was closed during the call") from None
            if connection.is_silent:
                raise Unavailable(_SILENT, retry=Retry.IDEMPOTENT) from None
            raise
        finally:
            connection.in_flight -= 1
        if answer is None:
            raise ServerDefect("the answer is not a Coherd message")
        return method.answer_of(answer)
