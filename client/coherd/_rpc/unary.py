"""Unary calls on `grpc.aio` under the transport protocol: deadlines, retries and errors."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import grpc.aio

from coherd._near import Kept
from coherd._rpc.connection import Connection, open_channel
from coherd._rpc.endpoint import bearer_metadata, check_target
from coherd._rpc.forks import ConnectedPerLoop
from coherd._rpc.methods import Effect, Method, Request, Response
from coherd._rpc.protocol import MAX_CALL_ITEMS
from coherd._rpc.retries import repeat
from coherd._rpc.sign_of_life import DEFAULT_SILENCE_MS, checked_silence
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
        silence_ms: int = DEFAULT_SILENCE_MS,
    ) -> None:
        """Does no I/O.

        Args:
            target: ``host:port``, or any gRPC target (``dns:///…``, ``unix:…``).
            tls: None: plain text.
            token: sent as bearer token with every call; without ``tls`` it crosses the network readable.
            silence_ms: longest silence of a server that owes an answer; then another connection is opened.

        Raises:
            ValueError: there is no service at such a target, gRPC cannot carry the token, or the silence is out of its
                range.
        """
        checked_silence(silence_ms)
        self._target = check_target(target)
        self.service: object = self._target
        """See `Transport.service`."""
        self._metadata = bearer_metadata(token)
        self._closed = False
        self._connections = ConnectedPerLoop(lambda: Connection(open_channel(target, tls), silence_ms, self._forget))

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
        return await repeat(
            lambda: self.send(method, request, deadline_s),
            method.effect_of(request),
            deadline_s,
            has_fallback=has_fallback,
        )

    async def close(self) -> None:
        self._closed = True
        own, _ = self._connections.take_all()  # channels of other loops end with their last call
        if own is not None:
            await own.close()

    def leave(self) -> None:
        """Use the running loop's connection for no more calls: its server is thought to stand still."""
        self._connections.by_loop.pop(asyncio.get_running_loop(), None)

    def _forget(self, connection: Connection) -> None:
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
