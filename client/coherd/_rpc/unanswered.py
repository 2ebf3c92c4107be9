"""What a session was asked for and has not answered: found by its ids until it is answered, given up or out of time."""

from __future__ import annotations

import asyncio
import functools
from bisect import bisect_right
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, TypeAlias

from coherd._rpc.columns import Gets, Sets
from coherd._rpc.frames import AnswerFrame
from coherd._rpc.operations import Operation
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, DeadlineExceeded, Unavailable
from coherd.v1.errors_pb2 import ErrorReason

Asked: TypeAlias = "Gets | Sets | Operation"
"""What a session was asked for: a record of gets or sets, or an operation."""


class Unanswered:
    """The unanswered of one session."""

    def __init__(self) -> None:
        self.near: Any = None
        """The session's `SessionNear`, which is told what becomes of all; None: it has none."""
        self.sent: dict[int, Gets | Sets] = {}
        """Records that were handed to gRPC, by their first id, in rising order."""
        self.cancel: Callable[[Sequence[int]], None] = _untold
        """Told the ids of what was sent and is not waited for any more."""
        self._loop = asyncio.get_running_loop()
        self._open: dict[Asked, asyncio.TimerHandle] = {}
        """Each with the timer of its limit: callers of one turn share a record, and so a timer."""
        self._operations: dict[int, Operation] = {}
        self._emptied = asyncio.Event()

    def __bool__(self) -> bool:
        return bool(self._open)

    @property
    def items(self) -> int:
        """How many gets, sets and operations."""
        return sum(asked.unanswered for asked in self._open)

    def add(self, asked: Asked, lives_ms: int) -> None:
        """Something begins, and is waited for for so long."""
        if self.near is not None:
            asked.near = self.near
            if isinstance(asked, Gets):
                asked.reads = []
        self._open[asked] = self._loop.call_later(lives_ms / 1000, self._expire, asked, context=Context())
        if isinstance(asked, Operation):
            self._operations[asked.message.id] = asked

    def settled(self, asked: Asked) -> None:
        """Something of it was answered, failed or given up: forget it if nothing is left."""
        if not asked.unanswered:
            asked.forget()
            self._remove(asked)

    def _remove(self, asked: Asked) -> None:
        if isinstance(asked, Operation):
            self._operations.pop(asked.message.id, None)
        else:
            self.sent.pop(asked.first_id, None)
        timer = self._open.pop(asked, None)
        if timer is not None:
            timer.cancel()
        if not self._open:
            self._emptied.set()

    def give_up(self, asked: Asked, future: asyncio.Future[Any]) -> None:
        """Forget what the caller of a future asked for, who waits no longer. Again does nothing."""
        if asked in self._open:
            self.cancel(asked.give_up(future))
            self.settled(asked)

    def take(self, frame: AnswerFrame) -> None:
        """Answer what a frame answers; what is not waited for is passed over."""
        for gets in frame.gets:
            columns = self._columns_of(gets.first_id, len(gets.outcomes))
            if isinstance(columns, Gets):
                if not columns.take(gets):
                    self._remove(columns)
            elif columns is not None:
                columns.take_strange(gets)
                self.settled(columns)
        for sets in frame.sets:
            columns = self._columns_of(sets.first_id, len(sets.outcomes))
            if isinstance(columns, Sets):
                if not columns.take(sets):
                    self._remove(columns)
            elif columns is not None:
                columns.take_strange(sets)
                self.settled(columns)
        for result in frame.results:
            answered = self._operations.get(result.id) or self._columns_of(result.id, 1)
            if answered is not None:
                answered.take_result(result)
                self.settled(answered)

    def lose(self, error: CacheError) -> None:
        """The stream is gone: what was not sent surely did not arrive, of the rest nothing is known."""
        for asked in list(self._open):
            # Whatever the error says of repeating is about the stream, not about what was sent on it.
            retry = Retry.IDEMPOTENT if asked.is_sent else Retry.SAFE
            asked.fail(functools.partial(Unavailable, str(error), retry=retry, reason=error.reason))
            self.settled(asked)

    async def emptied(self) -> None:
        """Wait until nothing is left."""
        while self._open:
            self._emptied.clear()
            await self._emptied.wait()

    def _expire(self, asked: Asked) -> None:
        if asked.is_sent:
            text, retry = "no answer within the time limit", Retry.IDEMPOTENT
        else:
            text, retry = "not sent within the time limit: the service takes nothing; nothing was changed", Retry.SAFE
        reason = ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED
        self.cancel(asked.fail(lambda: DeadlineExceeded(text, reason=reason, retry=retry)))
        self.settled(asked)

    def _columns_of(self, first_id: int, items: int) -> Gets | Sets | None:
        """The record that answers with successive ids belong to; None: it is answered, or nobody waits for it, or they
        are none."""
        columns = self.sent.get(first_id)
        if columns is None:
            starts = list(self.sent)
            before = bisect_right(starts, first_id)
            if not before:
                return None
            columns = self.sent[starts[before - 1]]
        within = first_id + items <= columns.first_id + len(columns.keys)
        return columns if items and within else None


def _untold(ids: Sequence[int]) -> None:
    """Nothing is sent yet."""
