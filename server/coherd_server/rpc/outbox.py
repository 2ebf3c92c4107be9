"""What a session stream has to say, in order: results share messages, pushes stand where they were queued.

A push must not overtake an answer that was queued before it, nor be overtaken by one queued after it: the client's near
cache relies on that order (DESIGN section 6, the log, rule 1).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from coherd.v1 import session_pb2 as pb

MESSAGE_RESULTS: Final = 2_000
MESSAGE_BYTES: Final = 1 << 20
"""A message takes no more results once it holds so much; one result may be larger."""


class Outbox:
    """Filled by the operations of a stream, emptied by its writer.

    Args:
        on_written: called after each message was handed to the transport.
    """

    def __init__(self, on_written: Callable[[], None]) -> None:
        self.queued_bytes = 0
        """Of results that were not handed to the transport yet."""
        self._on_written = on_written
        self._queue: deque[tuple[pb.SessionResponse, int]] = deque()
        self._open: pb.SessionResponse | None = None
        self._results = pb.ResponseFrame().results
        self._open_bytes = 0
        self._open_results = 0
        self._filled = asyncio.Event()
        self._ended = False

    def result(self, operation_id: int, size_bytes: int) -> pb.OperationResult:
        """An operation's result, to be filled in at once, before anything else happens."""
        if self._open is None:
            self._open = pb.SessionResponse()
            self._results = self._open.frame.results
            self._open_bytes = self._open_results = 0
            self._filled.set()
        result = self._results.add(id=operation_id)
        self._open_bytes += size_bytes
        self._open_results += 1
        self.queued_bytes += size_bytes
        if self._open_bytes >= MESSAGE_BYTES or self._open_results >= MESSAGE_RESULTS:
            self._seal()
        return result

    def say(self, message: pb.SessionResponse) -> None:
        """Anything but results."""
        self._seal()
        self._queue.append((message, 0))
        self._filled.set()

    def end(self) -> None:
        """Nothing more will come; `write` returns when all is written."""
        self._ended = True
        self._filled.set()

    def _seal(self) -> None:
        if self._open is not None:
            self._queue.append((self._open, self._open_bytes))
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
                await send(message.SerializeToString())
                self.queued_bytes -= size_bytes
                self._on_written()
            if self._ended:
                return
