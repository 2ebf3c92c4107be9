"""What a session stream has to say, in order, and what bounds it: the queue, the gate of its reads, its window.

Results share messages; pushes stand where they were queued.

A push must not overtake an answer that was queued before it, nor be overtaken by one queued after it: the client's near
cache relies on that order [one-order-down].
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from coherd.v1 import session_pb2 as session_pb
from coherd_server.core.failure import Failure
from coherd_server.rpc.errors import item_error
from coherd_server.rpc.frame_bytes import GetAnswers, SetAnswers, encode_answers

MESSAGE_RESULTS: Final = 2_000
MESSAGE_BYTES: Final = 1 << 20
"""A message takes no more results once it holds so much."""
RESULT_BYTES: Final = 64
"""Reckoned size of a result besides its value."""
GET_BYTES: Final = 32
"""Reckoned size of an answer to a get, in columns, besides its value."""
SET_BYTES: Final = 8
"""Reckoned size of an answer to a set, in columns."""


class _Answers:
    """A frame of answers that gathers."""

    __slots__ = ("count", "gets", "message", "sets", "size_bytes")

    def __init__(self) -> None:
        self.gets: list[GetAnswers] = []
        self.sets: list[SetAnswers] = []
        self.message = session_pb.SessionResponse()
        """The other answers."""
        self.message.frame.SetInParent()
        self.size_bytes = self.count = 0

    def encode(self) -> bytes:
        return encode_answers(self.gets, self.sets, self.message)


class SendQueue:
    """Filled by the operations of a stream, emptied by its writer.

    Args:
        full_bytes: it is full while it holds this much, and takes more all the same: what is queued is already known.
        on_written: called after each message was handed to the transport.
    """

    def __init__(self, full_bytes: int, on_written: Callable[[], None]) -> None:
        self.queued_bytes = 0
        """Reckoned size of what was not handed to the transport yet."""
        self._full_bytes = full_bytes
        self.message_bytes = min(MESSAGE_BYTES, full_bytes)
        """A frame takes no more once it holds so much; what is queued at one time may be larger."""
        self._on_written = on_written
        self._queue: deque[tuple[session_pb.SessionResponse | _Answers, int]] = deque()
        self._open: _Answers | None = None
        self._filled = asyncio.Event()
        self._room = asyncio.Event()
        self._ended = False

    @property
    def is_full(self) -> bool:
        """The client does not take its answers as fast as it asks."""
        return self.queued_bytes >= self._full_bytes

    async def room(self) -> None:
        """Wait until it is not full."""
        while self.is_full:
            self._room.clear()
            await self._room.wait()

    def result(self, operation_id: int, size_bytes: int) -> session_pb.OperationResult:
        """An operation's result, to be filled in at once, before anything else happens."""
        result = self._opened(size_bytes).message.frame.results.add(id=operation_id)
        self._add(1, size_bytes)
        return result

    def gets(self, answers: GetAnswers, size_bytes: int) -> None:
        """Answers to gets."""
        self._opened(size_bytes).gets.append(answers)
        self._add(len(answers.outcomes), size_bytes)

    def sets(self, answers: SetAnswers) -> None:
        """Answers to sets."""
        size_bytes = SET_BYTES * len(answers.outcomes)
        self._opened(size_bytes).sets.append(answers)
        self._add(len(answers.outcomes), size_bytes)

    def _opened(self, size_bytes: int) -> _Answers:
        """The frame that so much goes into."""
        if self._open is not None and self._open.size_bytes + size_bytes > self.message_bytes:
            self._seal()
        if self._open is None:
            self._open = _Answers()
            self._filled.set()
        return self._open

    def _add(self, count: int, size_bytes: int) -> None:
        """So much was put into the open frame."""
        answers = self._open
        assert answers is not None
        answers.size_bytes += size_bytes
        answers.count += count
        self.queued_bytes += size_bytes
        if answers.size_bytes >= self.message_bytes or answers.count >= MESSAGE_RESULTS:
            self._seal()

    def fail(self, operation_id: int, failure: Failure) -> None:
        """Answer an operation with a failure."""
        self.result(operation_id, RESULT_BYTES).error.CopyFrom(item_error(failure))

    def say(self, message: session_pb.SessionResponse) -> None:
        """Anything but results."""
        self._seal()
        size_bytes = message.ByteSize() + RESULT_BYTES
        self.queued_bytes += size_bytes
        self._queue.append((message, size_bytes))
        self._filled.set()

    def end(self) -> None:
        """Nothing more will come; `write` returns when all is written."""
        self._ended = True
        self._filled.set()

    def _seal(self) -> None:
        if self._open is not None:
            self._queue.append((self._open, self._open.size_bytes))
            self._open = None

    async def write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Write everything that comes, in order; what comes while a message is on its way shares the next one."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue or self._open is not None:
                if not self._queue:
                    self._seal()
                message, size_bytes = self._queue.popleft()
                await send(message.encode() if isinstance(message, _Answers) else message.SerializeToString())
                self.queued_bytes -= size_bytes
                self._room.set()
                self._on_written()
            if self._ended:
                return


class ReadGate:
    """Lets reads of a stream begin as far as their answers will fit: a client that reads slowly must not fill memory.

    How long answers are is known only when they are there, so it is estimated from those of the stream so far.

    Args:
        send_queue: takes the answers.
        full_bytes: of answers that are under way or not taken yet; one read may exceed it.
    """

    def __init__(self, send_queue: SendQueue, full_bytes: int) -> None:
        self._send_queue = send_queue
        self._full_bytes = full_bytes
        self._reading = 0
        self._average_bytes = 0.0
        self._turn = asyncio.Lock()
        self._left = asyncio.Event()

    async def enter(self, most: int) -> int:
        """Wait until keys may be read: how many, at most this many; then call `leave`. Whoever must wait does so in
        turn."""
        keys = most
        if self._average_bytes * most > self._full_bytes:
            keys = max(1, int(self._full_bytes / self._average_bytes))
        if self._turn.locked() or self._is_crowded(keys):
            async with self._turn:
                while self._is_crowded(keys):
                    if self._send_queue.is_full:
                        await self._send_queue.room()
                    else:
                        self._left.clear()
                        await self._left.wait()
                self._reading += keys
        else:
            self._reading += keys
        return keys

    def leave(self, keys: int, answer_bytes: int) -> None:
        """They are read, and what was found is in the send queue; 0: they failed."""
        self._reading -= keys
        if answer_bytes:
            latest = answer_bytes / keys
            more = latest - self._average_bytes
            self._average_bytes += more if more > 0 else more / 8
        self._left.set()

    def _is_crowded(self, keys: int) -> bool:
        if self._send_queue.is_full:
            return True
        expected = (self._reading + keys) * self._average_bytes
        return self._reading > 0 and self._send_queue.queued_bytes + expected > self._full_bytes


class FrameLoad:
    """How much of one frame is unanswered."""

    __slots__ = ("operations", "size_bytes")

    def __init__(self, operations: int, size_bytes: int) -> None:
        self.operations = operations
        self.size_bytes = size_bytes


class Window:
    """What a stream was asked for and has not answered. The bytes of a frame count until all of it is answered.

    Args:
        on_answered: called when something was answered.
    """

    def __init__(self, on_answered: Callable[[], None]) -> None:
        self.operations = 0
        self.size_bytes = 0
        self._on_answered = on_answered

    def add(self, operations: int, size_bytes: int) -> FrameLoad:
        """A frame of so many operations has come."""
        self.operations += operations
        self.size_bytes += size_bytes
        return FrameLoad(operations, size_bytes)

    def answered(self, load: FrameLoad, operations: int = 1) -> None:
        """So many operations of a frame are answered, or count no more."""
        load.operations -= operations
        self.operations -= operations
        if not load.operations:
            self.size_bytes -= load.size_bytes
        self._on_answered()
