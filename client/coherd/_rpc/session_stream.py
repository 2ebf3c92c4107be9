"""One session: operations in, answers and pushes out.

Operations of one turn of the event loop share a frame, and while a frame is on its way the next one gathers. The
reading side handles everything in the order it came, which is what the near cache relies on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any, Final

import grpc.aio
from google.protobuf.message import DecodeError

from coherd._near import NearCache
from coherd._rpc.deadlines import Deadlines
from coherd._rpc.methods import Method, Request, Response
from coherd._rpc.send_queue import SendQueue
from coherd._rpc.session_near import Reads, SessionNear
from coherd._rpc.sign_of_life import SignOfLife
from coherd._rpc.status import error_of_status
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, DeadlineExceeded, ServerDefect, Unavailable, error_of
from coherd.v1 import session_pb2
from coherd.v1.errors_pb2 import ErrorReason

CLOSE_TIMEOUT_S: Final = 0.2
"""Longest a session that is closed waits for the server to end it."""
LARGEST_BYTES: Final = 1 << 20
"""Largest request over a session, where the server does not say."""


class _Pending:
    """An operation that is not answered yet."""

    __slots__ = ("future", "method", "reads", "request")

    def __init__(self, future: asyncio.Future[Any], method: Method[Any, Any], request: Any) -> None:
        self.future = future
        self.method = method
        self.request = request
        self.reads: Reads = None

    def fail(self, error: CacheError) -> None:
        """Give its caller, if there still is one, the error."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller that is cancelled now does not ask for it


class SessionStream:
    """One session; `coherd._rpc.session_opening.open_stream` makes it.

    Args:
        call: the rpc, on which the server has been greeted.
        channel: its channel, closed with it.
        welcome: what the server answered.
        near: the near cache that it keeps coherent; None: it has none.
        on_end: called once when it takes no more operations: it broke, was closed, or is asked to move.
        silence_ms: longest silence of a server that owes an answer; then the session is lost.
    """

    def __init__(
        self,
        call: Any,
        channel: grpc.aio.Channel,
        welcome: session_pb2.Welcome,
        near: NearCache | None,
        on_end: Callable[[SessionStream], None],
        silence_ms: int,
    ) -> None:
        self.is_open = True
        """Whether it takes operations."""
        self.is_lost = False
        """Whether it ended."""
        self.is_silent = False
        """Whether it ended since the server gave no sign of life."""
        self._call: Any = call
        self._channel: Any = channel
        self._on_end = on_end
        self._pending: dict[int, _Pending] = {}
        self._out = SendQueue(int(welcome.window_bytes) or LARGEST_BYTES, welcome.window)
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._pending, self._expire)
        self.near = None if near is None else SessionNear(near, welcome, self._out)
        """What it does for the near cache."""
        self._emptied = asyncio.Event()
        self._life = SignOfLife(self._loop, silence_ms, self._expects, self._ping, self._fall_silent)
        self._pings = welcome.answers_pings
        self._tasks = [asyncio.create_task(self._out.run(call, self._stamp)), asyncio.create_task(self._read())]
        if self.near is not None:
            self._tasks.append(asyncio.create_task(self.near.keep_lease()))

    # What callers use.

    @property
    def in_flight(self) -> int:
        """Operations that are not answered yet."""
        return len(self._pending)

    def carries(self, method: Method[Request, Any], request: Request) -> bool:
        """Whether a request is not too large for a session; a larger one goes as a unary call."""
        return method.size_bytes(request) <= self._out.largest_bytes

    async def ask(self, method: Method[Request, Response], request: Request, timeout_ms: int) -> Response:
        """The answer to an operation.

        Args:
            method: its rpc.
            request: to it, which the session `carries`.
            timeout_ms: until when it is waited for, >= 1.

        Raises:
            CacheError: it failed, as the service says; or the stream was lost, or the time is up.
        """
        if not self._out.has_room:
            timeout_ms = await self._wait_for_room(timeout_ms)
        if not self.is_open:
            raise Unavailable("the session ended", retry=Retry.SAFE)
        begun = self.begin(method, request, timeout_ms)
        if begun is None:
            raise AssertionError("there is room, and the session carries it")
        operation_id, future = begun
        try:
            return await future
        except asyncio.CancelledError:
            self.give_up(operation_id)
            raise

    def begin(
        self, method: Method[Request, Response], request: Request, timeout_ms: int
    ) -> tuple[int, asyncio.Future[Response]] | None:
        """As `ask`; to be called only while it is open. Who is cancelled must `give_up`.

        Returns:
            The operation's id, and the future of its answer, or `CacheError`; None where it must wait for room, or is
            larger than a session carries.
        """
        future: asyncio.Future[Any] = self._loop.create_future()
        pending = _Pending(future, method, request)
        operation_id = self._out.add(method, request, timeout_ms)
        if operation_id is None:
            return None
        if self.near is not None:
            pending.reads = self.near.begin(method, request)
        self._pending[operation_id] = pending
        self._deadlines.add(operation_id, timeout_ms)
        return operation_id, future

    async def close(self) -> None:
        """End it; what is not answered fails. Safe to repeat."""
        self._stop_taking()
        self._out.end()
        try:
            if not self.is_lost:
                # The server ends the stream, unless it still has operations to answer.
                await asyncio.wait(self._tasks[:2], timeout=CLOSE_TIMEOUT_S)
        finally:
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            self._lose(Unavailable("the session was closed", retry=Retry.IDEMPOTENT))
            if self._channel is not None:
                await self._channel.close(None)
            # gRPC ends its thread with the last of its objects, which a fork waits for: none is left to the collector.
            self._tasks.clear()
            self._call = self._channel = None

    async def finish(self, timeout_s: float) -> None:
        """Wait for what is not answered yet, then end it."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while self._pending:
                    self._emptied.clear()
                    await self._emptied.wait()
        await self.close()

    # Giving up.

    def give_up(self, operation_id: int) -> None:
        """Forget an operation whose caller waits no longer. Again does nothing."""
        pending = self._pending.pop(operation_id, None)
        if pending is None:
            return
        self._fail_near(pending)
        self._out.withdraw(operation_id)
        if not self._pending:
            self._emptied.set()

    def _fail_near(self, pending: _Pending) -> None:
        if self.near is not None:
            self.near.failed(pending.method, pending.request, pending.reads)

    def _expire(self, operation_id: int) -> None:
        pending = self._pending[operation_id]
        sent = self._out.is_sent(operation_id)
        self.give_up(operation_id)
        if sent:
            text, retry = "no answer within the time limit", Retry.IDEMPOTENT
        else:
            text, retry = "not sent within the time limit: the service takes nothing; nothing was changed", Retry.SAFE
        pending.fail(DeadlineExceeded(text, reason=ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, retry=retry))

    async def _wait_for_room(self, timeout_ms: int) -> int:
        """The time that is left when there is room, or the stream takes no more operations."""
        until_s = self._loop.time() + timeout_ms / 1000
        try:
            async with asyncio.timeout_at(until_s):
                while not self._out.has_room and self.is_open:
                    await self._out.room()
        except TimeoutError:
            raise Unavailable("too much of this client waits to be sent", retry=Retry.SAFE) from None
        return max(1, int((until_s - self._loop.time()) * 1000))

    def _stop_taking(self) -> None:
        """No more operations."""
        if self.is_open:
            self.is_open = False
            if self.near is not None:
                self.near.leave(lost=self.is_lost)
            self._out.wake()
            self._on_end(self)

    def _lose(self, error: CacheError) -> None:
        """The stream is gone: what was not sent surely did not arrive, of the rest nothing is known."""
        if self.is_lost:
            return
        self.is_lost = True
        self._life.close()
        self._stop_taking()
        self._deadlines.close()
        for operation_id, pending in list(self._pending.items()):
            self._fail_near(pending)
            # Whatever the error says of repeating is about the stream, not about what was sent on it.
            retry = Retry.IDEMPOTENT if self._out.is_sent(operation_id) else Retry.SAFE
            pending.fail(Unavailable(str(error), retry=retry, reason=error.reason))
        self._pending.clear()
        self._emptied.set()

    # The server's sign of life.

    def _stamp(self, message: session_pb2.SessionRequest) -> None:
        """A message is about to be sent."""
        if self.near is not None:
            self.near.stamp(message)
        if self._pings:
            self._life.watch()

    def _expects(self) -> bool:
        return bool(self._pending) or (self.near is not None and self.near.keeps_lease)

    def _ping(self) -> bool:
        return self._out.say(session_pb2.SessionRequest(ping=session_pb2.Ping()))

    def _fall_silent(self) -> None:
        self.is_silent = True
        self._lose(Unavailable("the service gave no sign of life, and its session was ended", retry=Retry.IDEMPOTENT))
        self._call.cancel()

    # Receiving.

    async def _read(self) -> None:
        """Handle what the server says, in order, until the stream ends."""
        read, life = self._call.read, self._life
        error: CacheError = Unavailable("the session ended", retry=Retry.IDEMPOTENT)
        try:
            while True:
                data = await read()
                if not isinstance(data, bytes):
                    break
                life.heard = True
                message = session_pb2.SessionResponse.FromString(data)
                kind = message.WhichOneof("message")
                if kind == "frame":
                    self._take(message.frame)
                elif kind == "push" and self.near is not None:
                    self.near.take_push(message.push)
                elif kind == "extension" and self.near is not None:
                    self.near.take_extension(message.extension)
                elif kind == "drain":
                    self._stop_taking()
        except grpc.aio.AioRpcError as lost:
            error = error_of_status(lost)
        except (DecodeError, grpc.aio.UsageError, asyncio.InvalidStateError):
            error = Unavailable("the session does not speak as it should", retry=Retry.IDEMPOTENT)
        finally:  # also after something unforeseen: nobody may wait for ever
            self._call.cancel()
            self._lose(error)

    def _take(self, frame: session_pb2.ResponseFrame) -> None:
        pendings = self._pending
        for result in frame.results:
            pending = pendings.pop(result.id, None)
            if pending is None:
                continue
            method = pending.method
            if result.HasField(method.field):
                answer = getattr(result, method.field)
                if self.near is not None:
                    self.near.answered(method, pending.request, pending.reads, answer)
                if not pending.future.done():
                    pending.future.set_result(answer)
                continue
            self._fail_near(pending)
            if result.HasField("error"):
                failed = result.error
                pending.fail(
                    error_of(failed.reason, failed.message, field=failed.field, retry_after_ms=failed.retry_after_ms)
                )
            else:
                pending.fail(ServerDefect("the answer is not one to the operation"))
        if not pendings:
            self._emptied.set()
