"""The queue of what a session has to send: gets, sets and operations gather for frames, and acknowledgements and
cancellations go before them."""

from __future__ import annotations

import asyncio
import math
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc.aio

from coherd._rpc.batch import Batch
from coherd._rpc.columns import ITEM_BYTES, Callers, Gets, Sets
from coherd._rpc.frames import GetColumns, SetColumns, SetOptions, encode_frame
from coherd._rpc.operations import Operation
from coherd._rpc.unanswered import Asked, Unanswered
from coherd.v1 import session_pb2

FRAME_OPERATIONS: Final = 2_000
"""Most operations of a frame: more would delay neighbours."""
FRAME_BYTES: Final = 1 << 20
"""A frame takes no more once it holds so much; one operation, or one batch, may be larger."""
QUEUED_BYTES: Final = 8 << 20
"""Bytes of requests that wait to be sent; callers wait when there are more."""
CANCELLED_IDS: Final = 1_000
"""Most operations that one message cancels."""
JOIN_SHARE: Final = 100
"""Gets and sets with equal options share a record, and its time limit, for one part in so many of that limit."""
LONGEST_JOIN_MS: Final = 5


class SendQueue:
    """The queue of one stream, in the order in which things began.

    Args:
        largest_bytes: of one operation or batch; a frame is at most half as long again.
        window: most operations of a frame; 0: as many as we like.
        unanswered: of the same stream: told of what begins and is sent, and of what is left out.
    """

    def __init__(self, largest_bytes: int, window: int, unanswered: Unanswered) -> None:
        self.largest_bytes = largest_bytes
        """What is larger is not taken."""
        self.most_operations = min(FRAME_OPERATIONS, window or FRAME_OPERATIONS)
        """A larger batch is not taken."""
        self.queued_bytes = 0
        """Reckoned bytes of what waits to be sent; above `QUEUED_BYTES` there is no room for more."""
        self._frame_bytes = min(FRAME_BYTES, largest_bytes // 2)
        self._unanswered = unanswered
        unanswered.cancel = self.cancel
        self._loop = asyncio.get_running_loop()
        self._last_id = 0
        self._parts: deque[Asked] = deque()
        self._gets: dict[tuple[int, bool, bool], Gets] = {}
        """The last of each kind; others may join until it is sent, or full."""
        self._sets: dict[tuple[Any, ...], Sets] = {}
        self._cancelled: list[int] = []
        self._acknowledge = 0
        self._said: session_pb2.SessionRequest | None = None
        self._goodbye = False
        self._ending = False
        self._filled = asyncio.Event()
        self._room = asyncio.Event()

    # What is asked.

    def get(self, key: str, accept_stale: bool, whole: bool, timeout_ms: int) -> tuple[Gets, asyncio.Future[Any]]:
        """Queue a get [join-before-sending].

        Returns:
            The record it shares, and the future of its `GetAnswer`.
        """
        kind = (timeout_ms, accept_stale, whole)
        gets = self._gets.get(kind)
        if gets is None or not self._is_joinable(gets):
            gets = self._gets[kind] = Gets(timeout_ms, Callers(), accept_stale, whole)
            self._begin(gets)
        future = self._join(gets, key, len(key) + ITEM_BYTES)
        if gets.is_full:
            del self._gets[kind]
        return gets, future

    def set(
        self, key: str, value: bytes, options: SetOptions, version: int | None, timeout_ms: int
    ) -> tuple[Sets, asyncio.Future[Any]]:
        """Queue a set [join-before-sending].

        Returns:
            The record it shares, and the future of its `SetResult`.
        """
        ttl_ms, extra_tags, only_if_absent, negative = options
        tags = tuple(extra_tags.items()) if extra_tags else ()
        kind = (timeout_ms, ttl_ms, tags, only_if_absent, negative, version is None)
        sets = self._sets.get(kind)
        if sets is None or not self._is_joinable(sets):
            sets = self._sets[kind] = Sets(timeout_ms, Callers(), options)
            self._begin(sets)
        sets.values.append(value)
        if version is not None:
            sets.versions.append(version)
        future = self._join(sets, key, len(key) + len(value) + ITEM_BYTES)
        if sets.is_full:
            del self._sets[kind]
        return sets, future

    def get_many(self, keys: Sequence[str], accept_stale: bool, timeout_ms: int) -> tuple[Gets, asyncio.Future[Any]]:
        """As `get`, of many keys: the future of a list, of a `GetAnswer` or `CacheError` for each."""
        future: asyncio.Future[Any] = self._loop.create_future()
        gets = Gets(timeout_ms, Batch(future, len(keys)), accept_stale)
        self._begin_batch(gets, keys, sum(map(len, keys)))
        return gets, future

    def set_many(
        self, keys: Sequence[str], values: Sequence[bytes], options: SetOptions, timeout_ms: int
    ) -> tuple[Sets, asyncio.Future[Any]]:
        """As `set`, of many keys: the future of a list, of a `SetResult` or `CacheError` for each."""
        future: asyncio.Future[Any] = self._loop.create_future()
        sets = Sets(timeout_ms, Batch(future, len(keys)), options)
        sets.values = list(values)
        self._begin_batch(sets, keys, sum(map(len, keys)) + sum(map(len, values)))
        return sets, future

    def add(self, operation: Operation) -> None:
        """Queue an operation; its message gets an id."""
        self._last_id += 1
        operation.message.id = self._last_id
        self._append(operation, operation.timeout_ms)

    def _append(self, part: Asked, lives_ms: int) -> None:
        self.queued_bytes += part.size_bytes
        self._parts.append(part)
        self._filled.set()
        self._unanswered.add(part, lives_ms)

    def _begin(self, columns: Gets | Sets) -> None:
        join_ms = min(LONGEST_JOIN_MS, max(1, columns.timeout_ms // JOIN_SHARE))
        self._loop.call_soon(self._end_turn, columns, self._loop.time() + join_ms / 1000)
        self._append(columns, columns.timeout_ms + join_ms)

    @staticmethod
    def _end_turn(columns: Gets | Sets, joinable_until_s: float) -> None:
        if columns.joinable_until_s == math.inf:
            columns.joinable_until_s = joinable_until_s

    def _is_joinable(self, columns: Gets | Sets) -> bool:
        return columns.joinable_until_s == math.inf or self._loop.time() < columns.joinable_until_s

    def _join(self, columns: Gets | Sets, key: str, size_bytes: int) -> asyncio.Future[Any]:
        future: asyncio.Future[Any] = self._loop.create_future()
        callers = columns.callers
        assert isinstance(callers, Callers)
        callers.futures.append(future)
        callers.unanswered += 1
        columns.keys.append(key)
        columns.size_bytes += size_bytes
        self.queued_bytes += size_bytes
        if len(columns.keys) >= self.most_operations or columns.size_bytes >= self._frame_bytes:
            columns.is_full = True
        return future

    def _begin_batch(self, columns: Gets | Sets, keys: Sequence[str], size_bytes: int) -> None:
        columns.keys = list(keys)
        columns.size_bytes = size_bytes + ITEM_BYTES * len(keys)
        self._append(columns, columns.timeout_ms)

    def cancel(self, ids: Sequence[int]) -> None:
        """Nobody waits for these any more, which were sent. What was not is left out without a word."""
        if ids:
            self._cancelled.extend(ids)
            self._filled.set()

    # What is said besides.

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

    # Room.

    @property
    def has_room(self) -> bool:
        """Whether what is asked need not wait before it is queued."""
        return self.queued_bytes <= QUEUED_BYTES

    async def room(self) -> None:
        """Wait until there may be room, or the stream takes nothing any more."""
        self._room.clear()
        await self._room.wait()

    def wake(self) -> None:
        """Let those look again who wait for room."""
        self._room.set()

    # Sending.

    async def run(self, call: Any, asked_at_ms: Callable[[], int]) -> None:
        """Send what gathers until it is ended, or the stream is; what comes while a message is on its way shares the
        next one.

        Args:
            call: the rpc. It is cancelled, so that its reading side ends too, by an error that is not of its end.
            asked_at_ms: called for each message, immediately before it is sent: what it asks for a longer lease with.
        """
        write = call.write
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                while (data := self._next(asked_at_ms)) is not None:
                    await write(data)
                if self._ending:
                    await call.done_writing()
                    return
        except (grpc.aio.AioRpcError, grpc.aio.UsageError, asyncio.InvalidStateError):
            return  # the reading side learns why
        except BaseException:
            call.cancel()
            raise

    def _next(self, asked_at_ms: Callable[[], int]) -> bytes | None:
        message = self._next_message()
        if message is not None:
            message.asked_at_ms = asked_at_ms()
            return message.SerializeToString()
        while self._parts:
            columns, operations = self._take()
            if not columns and operations is None:
                continue
            others = b"" if operations is None else operations.SerializeToString()
            records = self._records(columns)
            asked = asked_at_ms()
            try:
                return encode_frame(*records, others, asked)
            except (TypeError, ValueError):
                left = self._without_bad(columns)
                if left or others or asked:
                    return encode_frame(*self._records(left), others, asked)
        return None

    @staticmethod
    def _records(columns: Sequence[Gets | Sets]) -> tuple[list[GetColumns], list[SetColumns]]:
        gets = [
            GetColumns(part.first_id, part.timeout_ms, part.accept_stale, part.keys)
            for part in columns
            if isinstance(part, Gets)
        ]
        sets = [
            SetColumns(part.first_id, part.timeout_ms, part.options, part.keys, part.values, part.versions)
            for part in columns
            if isinstance(part, Sets)
        ]
        return gets, sets

    def _without_bad(self, columns: Sequence[Gets | Sets]) -> list[Gets | Sets]:
        """Fail what cannot be written; the records of which something is left."""
        left: list[Gets | Sets] = []
        for part in columns:
            part.drop_bad()
            part.leave_out()
            if part.keys:
                left.append(part)
            else:
                self._unanswered.settled(part)
        return left

    def _next_message(self) -> session_pb2.SessionRequest | None:
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
        return None

    def _take(self) -> tuple[list[Gets | Sets], session_pb2.RequestFrame | None]:
        """The parts of the next frame: at least one, and as many as fit. What nobody waits for is left out."""
        columns: list[Gets | Sets] = []
        operations: session_pb2.RequestFrame | None = None
        count = size_bytes = 0
        parts = self._parts
        while parts:
            part = parts[0]
            items = 1 if isinstance(part, Operation) else len(part.keys)
            if count and (count + items > self.most_operations or size_bytes + part.size_bytes > self._frame_bytes):
                break
            parts.popleft()
            self.queued_bytes -= part.size_bytes
            count += items
            size_bytes += part.size_bytes
            if not isinstance(part, Operation):
                if self._number(part):
                    columns.append(part)
            elif part.unanswered:
                part.is_sent = True
                operations = operations or session_pb2.RequestFrame()
                operations.operations.append(part.message)
        if not parts:
            self._gets.clear()
            self._sets.clear()
        self._room.set()
        return columns, operations

    def _number(self, columns: Gets | Sets) -> bool:
        """Leave out what nobody waits for, and number the rest; whether something is left."""
        columns.joinable_until_s = -math.inf
        columns.leave_out()
        if not columns.keys:
            self._unanswered.settled(columns)
            return False
        columns.first_id = self._last_id + 1
        self._last_id += len(columns.keys)
        self._unanswered.sent[columns.first_id] = columns
        return True
