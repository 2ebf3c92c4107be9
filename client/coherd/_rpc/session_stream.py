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
from coherd._rpc.frames import AnswerFrame, decode_message
from coherd._rpc.methods import BATCH_GET, BATCH_SET, GET, SET, Method, Response
from coherd._rpc.operations import Operation
from coherd._rpc.send_queue import SendQueue
from coherd._rpc.session_near import SessionNear
from coherd._rpc.sign_of_life import SignOfLife
from coherd._rpc.status import error_of_status
from coherd._rpc.unanswered import Asked, Unanswered
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, Unavailable
from coherd.v1 import session_pb2

CLOSE_TIMEOUT_S: Final = 0.2
"""Longest a session that is closed waits for the server to end it."""
LARGEST_BYTES: Final = 1 << 20
"""Largest request over a session, where the server does not say."""


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
        largest_bytes = int(welcome.window_bytes) or LARGEST_BYTES
        self._unanswered = Unanswered()
        self._out = SendQueue(largest_bytes, welcome.window, self._unanswered)
        self._loop = asyncio.get_running_loop()
        self.near = None if near is None else SessionNear(near, welcome, self._out)
        """What it does for the near cache."""
        self._unanswered.near = self.near
        self._life = SignOfLife(self._loop, silence_ms, self)
        self._pings = bool(welcome.answers_pings)
        self._tasks = [asyncio.create_task(self._out.run(call, self._sending)), asyncio.create_task(self._read())]
        if self.near is not None:
            self._tasks.append(asyncio.create_task(self.near.keep_lease()))

    # What callers use.

    @property
    def in_flight(self) -> int:
        """Gets, sets and operations that are not answered yet."""
        return self._unanswered.items

    @property
    def most_items(self) -> int:
        """Most keys of a batch that the session carries."""
        return self._out.most_operations

    def carries(self, method: Method[Any, Any], request: Any) -> bool:
        """Whether a request is not too large for a session; a larger one goes as a unary call."""
        if method.size_bytes(request) > self._out.largest_bytes:
            return False
        return method not in (BATCH_GET, BATCH_SET) or len(request.keys) <= self.most_items

    async def ask(self, method: Method[Any, Response], request: Any, timeout_ms: int) -> Response:
        """The answer to what is asked.

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
        asked, future = begun
        try:
            return await future  # type: ignore[no-any-return]
        except asyncio.CancelledError:
            self.give_up(asked, future)
            raise

    def begin(
        self, method: Method[Any, Any], request: Any, timeout_ms: int
    ) -> tuple[Asked, asyncio.Future[Any]] | None:
        """As `ask`; to be called only while it is open. Who is cancelled must `give_up`.

        Returns:
            What stands for it, perhaps among others, and the future of the answer, or `CacheError`; None where it must
            wait for room, or is larger than a session carries.
        """
        out, near = self._out, self.near
        if not out.has_room:
            return None
        asked: Asked
        if method is GET and len(request[0]) <= out.largest_bytes:
            asked, future = out.get(request.key, request.accept_stale, request.whole, timeout_ms)
            if near is not None and asked.reads is not None:
                asked.reads.append(near.begin_read(request[0]))
            return asked, future
        if method is SET and len(request.key) + len(request.value) <= out.largest_bytes:
            return out.set(request.key, request.value, request.options, request.version, timeout_ms)
        if not self.carries(method, request):
            return None
        if method is BATCH_GET:
            asked, future = out.get_many(request.keys, request.accept_stale, timeout_ms)
            if near is not None:
                asked.reads = near.begin_reads(request.keys)
            return asked, future
        if method is BATCH_SET:
            return out.set_many(request.keys, request.values, request.options, timeout_ms)
        asked = Operation(method, request, timeout_ms, self._loop.create_future())
        if near is not None:
            asked.reads = near.begin(method, request)
        out.add(asked)
        return asked, asked.future

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
                await self._unanswered.emptied()
        await self.close()

    # Giving up.

    def give_up(self, asked: Asked, future: asyncio.Future[Any]) -> None:
        """Forget what the caller of a future asked for, who waits no longer. Again does nothing."""
        self._unanswered.give_up(asked, future)

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
        self._unanswered.lose(error)

    # The server's sign of life.

    def _sending(self) -> int:
        """A message is about to be sent: what it asks for a longer lease with, or 0."""
        if self._pings:
            life = self._life
            life.sent = True
            if not life.is_watching:
                life.watch()
        return 0 if self.near is None else self.near.asked_at_ms()

    def is_owed(self) -> bool:
        """See `Watched`."""
        return bool(self._unanswered) or (self.near is not None and self.near.keeps_lease)

    def ask_for_sign(self) -> bool:
        """See `Watched`."""
        return self._out.say(session_pb2.SessionRequest(ping=session_pb2.Ping()))

    def fall_silent(self) -> None:
        """See `Watched`."""
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
                message = decode_message(data)
                if isinstance(message, AnswerFrame):
                    self._unanswered.take(message)
                    continue
                kind = message.WhichOneof("message")
                if kind == "push" and self.near is not None:
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
