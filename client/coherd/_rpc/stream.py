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

from coherd._near import Mark, NearCache, NearDomain
from coherd._rpc.changes import drop_changed
from coherd._rpc.deadlines import Deadlines
from coherd._rpc.keeping import keep, marks_of
from coherd._rpc.methods import Method, Request, Response
from coherd._rpc.outgoing import QUEUED_BYTES, Outgoing
from coherd._rpc.status import error_of_status
from coherd.contract.clock import boottime_s
from coherd.contract.near_cache import NearCacheMode
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, DeadlineExceeded, ServerDefect, Unavailable, error_of
from coherd.v1 import session_pb2 as wire
from coherd.v1.annotations_pb2 import NearCache as WireMode
from coherd.v1.errors_pb2 import ErrorReason

CLOSE_TIMEOUT_S: Final = 0.2
IDLE_ROUNDS: Final = 10
"""Thirds of a lease without any use after which it is left to lapse: idle clients cost the server nothing."""
LARGEST_BYTES: Final = 1 << 20
"""Of an operation, where the server does not say."""
_MODES: Final = {WireMode.NEAR_CACHE_PUSH: NearCacheMode.PUSH, WireMode.NEAR_CACHE_STRICT: NearCacheMode.STRICT}


class _Pending:
    """An operation that is not answered yet."""

    __slots__ = ("future", "marks", "method", "request")

    def __init__(
        self, future: asyncio.Future[Any], method: Method[Any, Any], request: Any, marks: list[Mark | None] | None
    ) -> None:
        self.future = future
        self.method = method
        self.request = request
        self.marks = marks

    def fail(self, error: CacheError) -> None:
        """Its caller, if there still is one, gets the error."""
        if not self.future.done():
            self.future.set_exception(error)
            self.future.exception()  # a caller that is cancelled now does not ask for it


class SessionStream:
    """A stream that was opened; made by `coherd._rpc.opening.open_stream`.

    Args:
        call: the rpc.
        channel: its channel, closed with it.
        near: the near cache that it keeps coherent; None: it has none.
        on_end: called once when it takes no more operations: it broke, was closed, or is asked to move.
    """

    def __init__(
        self,
        call: Any,
        channel: grpc.aio.Channel,
        welcome: wire.Welcome,
        near: NearCache | None,
        on_end: Callable[[SessionStream], None],
    ) -> None:
        self.is_open = True
        """Whether it takes operations."""
        self.is_lost = False
        """Whether it ended."""
        self.largest_bytes = int(welcome.window_bytes) or LARGEST_BYTES
        """A larger operation goes as a unary call."""
        self.near = near
        self._call: Any = call
        self._channel: Any = channel
        self._on_end = on_end
        self._pending: dict[int, _Pending] = {}
        self._out = Outgoing(self.largest_bytes, welcome.window)
        self._loop = asyncio.get_running_loop()
        self._deadlines = Deadlines(self._pending, self._expire)
        self._lease_s = welcome.near_cache_lease_ms / 1000
        self._asked_s = 0.0
        self._pushed = 0
        self._used = asyncio.Event()
        self._emptied = asyncio.Event()
        if near is not None:
            near.configure(
                {
                    one.domain: NearDomain(_MODES[one.mode], frozenset(one.tags), frozenset(one.any_tags))
                    for one in welcome.near_caches
                    if one.mode in _MODES
                }
            )
        self._tasks = [asyncio.create_task(self._write()), asyncio.create_task(self._read())]
        if near is not None and self._lease_s > 0:
            self._tasks.append(asyncio.create_task(self._extend(near)))

    # What callers use.

    @property
    def in_flight(self) -> int:
        """Operations that are not answered yet."""
        return len(self._pending)

    @property
    def has_room(self) -> bool:
        """Whether an operation need not wait before it is queued."""
        return self._out.queued_bytes <= QUEUED_BYTES

    async def ask(
        self, method: Method[Request, Response], request: Request, size_bytes: int, timeout_ms: int
    ) -> Response:
        """The answer to an operation.

        Args:
            method: its rpc.
            request: to it.
            size_bytes: of the request; at most `largest_bytes`.
            timeout_ms: until when it is waited for, >= 1.

        Raises:
            CacheError: it failed, as the service says; or the stream was lost, or the time is up.
        """
        if not self.has_room:
            timeout_ms = await self._wait_for_room(timeout_ms)
        if not self.is_open:
            raise Unavailable("the session ended", retry=Retry.SAFE)
        operation_id, future = self.begin(method, request, size_bytes, timeout_ms)
        try:
            return await future
        except asyncio.CancelledError:
            self.give_up(operation_id)
            raise

    def begin(
        self, method: Method[Request, Response], request: Request, size_bytes: int, timeout_ms: int
    ) -> tuple[int, asyncio.Future[Response]]:
        """As `ask`; to be called only while it is open and has room. Who is cancelled must `give_up`.

        Returns:
            The operation's id, and the future of its answer, or `CacheError`.
        """
        operation_id = self._out.add(method, request, size_bytes, timeout_ms)
        marks = None if self.near is None else marks_of(self.near, method, request, boottime_s())
        self._used.set()
        future: asyncio.Future[Any] = self._loop.create_future()
        self._pending[operation_id] = _Pending(future, method, request, marks)
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
        """Its caller waits no longer. Again does nothing."""
        pending = self._pending.pop(operation_id, None)
        if pending is None:
            return
        self._forget(pending)
        self._out.withdraw(operation_id)
        if not self._pending:
            self._emptied.set()

    def _forget(self, pending: _Pending) -> None:
        """It has no answer: it may have been done."""
        near = self.near
        if near is None:
            return
        if pending.marks is not None:
            for mark in pending.marks:
                if mark is not None:
                    near.release(mark)
        drop_changed(near, pending.method, pending.request, None)

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
                while not self.has_room and self.is_open:
                    await self._out.room()
        except TimeoutError:
            raise Unavailable("too much of this client waits to be sent", retry=Retry.SAFE) from None
        return max(1, int((until_s - self._loop.time()) * 1000))

    def _stop_taking(self) -> None:
        """No more operations. The near cache is the next stream's: this one drops from it, and keeps nothing in it."""
        if self.is_open:
            self.is_open = False
            if self.near is not None:
                self.near.disconnect()
                if not self.is_lost:
                    if hits := self.near.take_hits():
                        self._report(self.near, hits)
                    self._out.goodbye()  # only now: it is said to be empty
            self._out.wake()
            self._on_end(self)

    def _lose(self, error: CacheError) -> None:
        """The stream is gone: what was not sent surely did not arrive, of the rest nothing is known."""
        if self.is_lost:
            return
        self.is_lost = True
        self._stop_taking()
        self._deadlines.close()
        for operation_id, pending in list(self._pending.items()):
            self._forget(pending)
            # Whatever the error says of repeating is about the stream, not about what was sent on it.
            retry = Retry.IDEMPOTENT if self._out.is_sent(operation_id) else Retry.SAFE
            pending.fail(Unavailable(str(error), retry=retry, reason=error.reason))
        self._pending.clear()
        self._emptied.set()

    # Sending.

    async def _write(self) -> None:
        """Send what gathers, until closed."""
        try:
            await self._out.run(self._call, self._stamped)
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return  # the reading side learns why
        except BaseException:
            self._call.cancel()  # so that the reading side ends, too
            raise

    def _stamped(self, message: wire.SessionRequest) -> bytes:
        """The message, asking for a longer lease if it is time to; the lease counts from now [lease-from-sending]."""
        if self.near is not None and self.is_open:
            now_s = boottime_s()
            if now_s - self._asked_s >= self._lease_s / 3:
                self._asked_s = now_s
                message.asked_at_ms = max(1, int(now_s * 1000))
        return message.SerializeToString()

    async def _extend(self, near: NearCache) -> None:
        """While the near cache is used, ask for a longer lease a few times within it, and report its hits."""
        idle_rounds = 0
        while self.is_open:
            hits = near.take_hits()
            idle_rounds = 0 if hits or self._used.is_set() else idle_rounds + 1
            self._used.clear()
            if idle_rounds <= IDLE_ROUNDS:
                self._report(near, hits)
                await asyncio.sleep(self._lease_s / 3)
            else:
                await self._used.wait()

    def _report(self, near: NearCache, hits: dict[str, int]) -> None:
        if not self._out.say(wire.SessionRequest(heartbeat=wire.Heartbeat(near_cache_hits=hits))):
            near.give_back_hits(hits)

    # Receiving.

    async def _read(self) -> None:
        """Handle what the server says, in order, until the stream ends."""
        read = self._call.read
        error: CacheError = Unavailable("the session ended", retry=Retry.IDEMPOTENT)
        try:
            while True:
                data = await read()
                if not isinstance(data, bytes):
                    break
                message = wire.SessionResponse.FromString(data)
                kind = message.WhichOneof("message")
                if kind == "frame":
                    self._take(message.frame)
                elif kind == "push":
                    self._take_push(message.push)
                elif kind == "extension":
                    self._take_extension(message.extension)
                elif kind == "drain":
                    self._stop_taking()
        except grpc.aio.AioRpcError as lost:
            error = error_of_status(lost)
        except (DecodeError, grpc.aio.UsageError, asyncio.InvalidStateError):
            error = Unavailable("the session does not speak as it should", retry=Retry.IDEMPOTENT)
        finally:  # also after something unforeseen: nobody may wait for ever
            self._call.cancel()
            self._lose(error)

    def _take(self, frame: wire.ResponseFrame) -> None:
        pendings = self._pending
        for result in frame.results:
            pending = pendings.pop(result.id, None)
            if pending is None:
                continue
            method = pending.method
            if result.HasField(method.field):
                answer = getattr(result, method.field)
                if self.near is not None:
                    if pending.marks is not None:
                        keep(self.near, pending.marks, method, answer, serving=self.is_open)
                    else:
                        drop_changed(self.near, method, pending.request, answer)
                if not pending.future.done():
                    pending.future.set_result(answer)
                continue
            self._forget(pending)
            if result.HasField("error"):
                failed = result.error
                pending.fail(
                    error_of(failed.reason, failed.message, field=failed.field, retry_after_ms=failed.retry_after_ms)
                )
            else:
                pending.fail(ServerDefect("the answer is not one to the operation"))
        if not pendings:
            self._emptied.set()

    # The near cache.

    def _take_push(self, push: wire.PushFrame) -> None:
        """Drop what changed, then acknowledge it [acknowledge-after-dropping]."""
        near = self.near
        if near is not None:
            if push.flush or push.sequence != self._pushed + 1:
                near.flush()
            else:
                near.drop_keys(push.keys)
                near.drop_tags(push.tags)
        self._pushed = push.sequence
        if self.is_open:
            self._out.acknowledge(push.sequence)

    def _take_extension(self, extension: wire.LeaseExtension) -> None:
        if self.near is not None and self.is_open:
            until_s = (extension.counted_from_ms + extension.lease_ms) / 1000
            self.near.extend(until_s, boottime_s())
