"""An operation of a session that is neither a get nor a set, between its caller and the frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from coherd._rpc.columns import Reads
from coherd._rpc.methods import Method
from coherd._rpc.status import error_of_item
from coherd.errors import CacheError, ServerDefect
from coherd.v1 import session_pb2

OPERATION_BYTES: Final = 64
"""Reckoned size of an operation besides its request."""


class Near(Protocol):
    """What a near cache is told (`coherd._rpc.session_near.SessionNear`)."""

    def answered(self, method: Method[Any, Any], request: Any, reads: Reads, answer: Any) -> None: ...
    def failed(self, method: Method[Any, Any], request: Any, reads: Reads) -> None: ...


class Operation:
    """One operation. Its face is that of `coherd._rpc.columns.Columns`, of one caller.

    Args:
        method: its rpc.
        request: to it.
        timeout_ms: until when its answer is waited for, >= 1.
        future: of its answer.

    Raises:
        Exception: whatever writing the request raises.
    """

    __slots__ = ("future", "is_sent", "message", "method", "near", "reads", "request", "size_bytes", "timeout_ms")

    def __init__(self, method: Method[Any, Any], request: Any, timeout_ms: int, future: asyncio.Future[Any]) -> None:
        self.method = method
        self.request = request
        self.timeout_ms = timeout_ms
        self.future = future
        self.message = session_pb2.Operation(timeout_ms=timeout_ms)
        """As a frame has it."""
        getattr(self.message, method.field).CopyFrom(request)
        self.size_bytes = method.size_bytes(request) + OPERATION_BYTES
        self.is_sent = False
        """Whether it was handed to gRPC, and so may have arrived."""
        self.near: Near | None = None
        self.reads: Reads = None

    @property
    def unanswered(self) -> int:
        """1 until it is answered, failed or given up."""
        return 0 if self.future.done() else 1

    def take_result(self, result: session_pb2.OperationResult) -> None:
        """It is answered."""
        method = self.method
        if result.HasField(method.field):
            answer = getattr(result, method.field)
            if self.near is not None:
                self.near.answered(method, self.request, self.reads, answer)
            if not self.future.done():
                self.future.set_result(answer)
            return
        if result.HasField("error"):
            self.fail(lambda: error_of_item(result.error))
        else:
            self.fail(lambda: ServerDefect("the answer is not one to the operation"))

    def forget(self) -> None:
        """As `Columns.forget`."""
        self.request = self.reads = None

    def fail(self, make: Callable[[], CacheError]) -> Sequence[int]:
        """As `Columns.fail`."""
        self._tell_failed()
        if not self.future.done():
            self.future.set_exception(make())
            self.future.exception()  # a caller that is cancelled now does not ask for it
        return self._ids

    def give_up(self, future: asyncio.Future[Any]) -> Sequence[int]:
        """As `Columns.give_up`."""
        if not (future.cancel() or future.cancelled()):
            return ()
        self._tell_failed()
        return self._ids

    @property
    def _ids(self) -> Sequence[int]:
        return (self.message.id,) if self.is_sent else ()

    def _tell_failed(self) -> None:
        if self.near is not None:
            self.near.failed(self.method, self.request, self.reads)
