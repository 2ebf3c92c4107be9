"""The queue of what a session has to send: operations gather in frames, and acknowledgements and cancellations go
before them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import grpc.aio

from coherd._rpc.methods import Method, Request
from coherd.v1 import session_pb2

FRAME_OPERATIONS: Final = 2_000
"""Most operations of a frame: more would delay neighbours."""
FRAME_BYTES: Final = 1 << 20
"""A frame takes no more operations once it holds so much; one operation may be larger."""
OPERATION_BYTES: Final = 64
"""Reckoned size of an operation besides its request."""
QUEUED_BYTES: Final = 8 << 20
"""Bytes of requests that wait to be sent; callers wait when there are more."""
CANCELLED_IDS: Final = 1_000
"""Most operations that one message cancels."""


class SendQueue:
    """The queue of one stream, in the order in which operations began.

    Args:
        largest_bytes: of one operation; a frame is at most half as long again.
        window: most operations of a frame; 0: as many as we like.
    """

    def __init__(self, largest_bytes: int, window: int) -> None:
        self.largest_bytes = largest_bytes
        """A larger operation is not taken."""
        self.queued_bytes = 0
        """Reckoned bytes of operations that wait to be sent; above `QUEUED_BYTES` there is no room for more."""
        self._frame_bytes_limit = min(FRAME_BYTES, largest_bytes // 2)
        self._frame_operations = min(FRAME_OPERATIONS, window or FRAME_OPERATIONS)
        self._last_id = 0
        self._sent_id = 0
        self._frames: deque[tuple[session_pb2.SessionRequest, int]] = deque()
        self._frame: session_pb2.SessionRequest | None = None
        self._operations = session_pb2.RequestFrame().operations
        self._frame_bytes = 0
        self._withdrawn: set[int] = set()
        self._cancelled: list[int] = []
        self._acknowledge = 0
        self._said: session_pb2.SessionRequest | None = None
        self._goodbye = False
        self._ending = False
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    def add(self, method: Method[Request, Any], request: Request, timeout_ms: int) -> int | None:
        """Queue an operation; its id, or None where it is not taken: there is no room, or it is larger than a stream
        carries.

        Args:
            method: its rpc.
            request: to it; only read now.
            timeout_ms: until when its answer is waited for, >= 1.
        """
        size_bytes = method.size_bytes(request)
        if size_bytes > self.largest_bytes or self.queued_bytes > QUEUED_BYTES:
            return None
        self._last_id = operation_id = self._last_id + 1
        if self._frame is None:
            self._frame = session_pb2.SessionRequest()
            self._operations = self._frame.frame.operations
            self._filled.set()
        method.write(self._operations.add(id=operation_id, timeout_ms=timeout_ms), request)
        size_bytes += OPERATION_BYTES
        self._frame_bytes += size_bytes
        self.queued_bytes += size_bytes
        if self._frame_bytes >= self._frame_bytes_limit or len(self._operations) >= self._frame_operations:
            self._seal()
        return operation_id

    def is_sent(self, operation_id: int) -> bool:
        """Whether an operation was handed to gRPC, and so may have arrived."""
        return operation_id <= self._sent_id

    def withdraw(self, operation_id: int) -> None:
        """Nobody waits for an operation any more: it is left out if it was not sent yet; else the server is told."""
        if operation_id > self._sent_id:
            self._withdrawn.add(operation_id)
        else:
            self._cancelled.append(operation_id)
            self._filled.set()

    def acknowledge(self, sequence: int) -> None:
        """Pushes up to this one are applied."""
        self._acknowledge = sequence
        self._filled.set()

    def say(self, message: session_pb2.SessionRequest) -> bool:
        """Send a message before any operation, unless one still waits; whether it will be sent."""
        if self._said is not None:
            return False
        self._said = message
        self._filled.set()
        return True

    def goodbye(self) -> None:
        """The near cache is empty, and nothing is acknowledged or asked for it any more."""
        self._goodbye = True
        self._acknowledge = 0
        self._filled.set()

    def end(self) -> None:
        """Nothing will be added; `run` returns when all is sent."""
        self._ending = True
        self._filled.set()

    @property
    def has_room(self) -> bool:
        """Whether an operation need not wait before it is queued."""
        return self.queued_bytes <= QUEUED_BYTES

    async def room(self) -> None:
        """Wait until there may be room, or the stream takes nothing any more."""
        self._room.clear()
        await self._room.wait()

    def wake(self) -> None:
        """Let those look again who wait for room."""
        self._room.set()

    async def run(self, call: Any, stamp: Callable[[session_pb2.SessionRequest], None] | None) -> None:
        """Send what gathers until it is ended, or the stream is; what comes while a message is on its way shares the
        next one.

        Args:
            call: the rpc. It is cancelled, so that its reading side ends too, by an error that is not of its end.
            stamp: called with each message, immediately before it is sent; None: nothing is to be added.
        """
        write = call.write
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while (message := self._next()) is not None:
                    if stamp is not None:
                        stamp(message)
                    await write(message.SerializeToString())
                if self._ending:
                    await call.done_writing()
                    return
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return  # the reading side learns why
        except BaseException:
            call.cancel()
            raise

    def _seal(self) -> None:
        if self._frame is not None:
            self._frames.append((self._frame, self._frame_bytes))
            self._frame, self._frame_bytes = None, 0

    def _next(self) -> session_pb2.SessionRequest | None:
        """Acknowledgements first: others wait for them."""
        if self._acknowledge:
            message = session_pb2.SessionRequest(push_ack=session_pb2.PushAck(sequence=self._acknowledge))
            self._acknowledge = 0
            return message
        if self._said is not None:
            message, self._said = self._said, None
            return message
        if self._goodbye:
            self._goodbye = False
            return session_pb2.SessionRequest(goodbye=session_pb2.Goodbye())
        if self._cancelled:
            ids, self._cancelled = self._cancelled[:CANCELLED_IDS], self._cancelled[CANCELLED_IDS:]
            return session_pb2.SessionRequest(cancel=session_pb2.CancelFrame(ids=ids))
        while self._frames or self._frame is not None:
            if not self._frames:
                self._seal()
            message, size_bytes = self._frames.popleft()
            self.queued_bytes -= size_bytes
            self._room.set()
            operations = message.frame.operations
            self._sent_id = operations[-1].id
            if self._withdrawn:
                message = self._without_withdrawn(message)
            if message.frame.operations:
                return message
        return None

    def _without_withdrawn(self, message: session_pb2.SessionRequest) -> session_pb2.SessionRequest:
        withdrawn = self._withdrawn
        left = [operation for operation in message.frame.operations if operation.id not in withdrawn]
        if len(left) == len(message.frame.operations):
            return message
        self._withdrawn = {operation_id for operation_id in withdrawn if operation_id > self._sent_id}
        return session_pb2.SessionRequest(frame=session_pb2.RequestFrame(operations=left))
