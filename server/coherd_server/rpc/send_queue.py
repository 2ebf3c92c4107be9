"""What a session stream has to say, in order: results share messages, pushes stand where they were queued.

A push must not overtake an answer that was queued before it, nor be overtaken by one queued after it: the client's near
cache relies on that order (DESIGN section 6, the log, rule 1).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from coherd.v1 import session_pb2 as session_pb

MESSAGE_RESULTS: Final = 2_000
MESSAGE_BYTES: Final = 1 << 20
"""A message takes no more results once it holds so much."""
RESULT_BYTES: Final = 64
"""Reckoned size of a result besides its value."""


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
        self._message_bytes = min(MESSAGE_BYTES, full_bytes)
        self._on_written = on_written
        self._queue: deque[tuple[session_pb.SessionResponse, int]] = deque()
        self._open: session_pb.SessionResponse | None = None
        self._results = session_pb.ResponseFrame().results
        self._open_bytes = 0
        self._open_results = 0
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
        if self._open_bytes + size_bytes > self._message_bytes:
            self._seal()
        if self._open is None:
            self._open = session_pb.SessionResponse()
            self._results = self._open.frame.results
            self._open_results = 0
            self._filled.set()
        result = self._results.add(id=operation_id)
        self._open_bytes += size_bytes
        self._open_results += 1
        self.queued_bytes += size_bytes
        if self._open_bytes >= self._message_bytes or self._open_results >= MESSAGE_RESULTS:
            self._seal()
        return result

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
            self._queue.append((self._open, self._open_bytes))
            self._open = None
            self._open_bytes = 0

    async def write(self, send: Callable[[bytes], Awaitable[None]]) -> None:
        """Write everything that comes, in order; what comes while a message is on its way shares the next one."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            while self._queue or self._open is not None:
                if not self._queue:
                    self._seal()
                message, size_bytes = self._queue.popleft()
                await send(message.SerializeToString())
                self.queued_bytes -= size_bytes
                self._room.set()
                self._on_written()
            if self._ended:
                return
