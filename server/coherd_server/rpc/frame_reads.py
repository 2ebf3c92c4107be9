"""The gets of a session's frames: those of a record are one read, answered in columns."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

from coherd.catalog.catalog import ResolvedKey
from coherd.contract.near_cache import NearCacheMode
from coherd.v1 import session_pb2 as session_pb
from coherd_server.core.failure import Failure
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.near.session import NearSession
from coherd_server.core.read_columns import ReadColumns
from coherd_server.core.validity import State
from coherd_server.rpc import messages
from coherd_server.rpc.cache_service import READ_PART
from coherd_server.rpc.errors import answer_too_large
from coherd_server.rpc.frame_bytes import GetAnswers
from coherd_server.rpc.frame_calls import MESSAGE_SPARE_BYTES, near_keeper
from coherd_server.rpc.incidents import INCIDENTS
from coherd_server.rpc.send_queue import GET_BYTES, RESULT_BYTES, FrameLoad, ReadGate, SendQueue, Window

HALVED: Final = 32
"""Gets from which on they are answered in halves, if nothing else of the stream is unanswered: then client and server
work at the same time."""
_HIT: Final = session_pb.GET_OUTCOME_HIT
_HIT_NEAR: Final = session_pb.GET_OUTCOME_HIT_NEAR_CACHEABLE
_OUTCOMES: Final = {
    None: session_pb.GET_OUTCOME_UNSPECIFIED,
    State.FRESH: _HIT,
    State.ABSENT: session_pb.GET_OUTCOME_ABSENT,
    State.INVALIDATED: session_pb.GET_OUTCOME_INVALIDATED,
    State.EXPIRED: session_pb.GET_OUTCOME_EXPIRED,
}


class FrameReads:
    """Does the gets of one stream.

    Args:
        reader: of the store.
        send_queue: takes the answers.
        window: told of what is answered.
        gate: that reads pass.
        near: the stream's near cache, if it has one.
        message_bytes: longest message that gRPC sends.
    """

    def __init__(
        self,
        reader: Reader,
        send_queue: SendQueue,
        window: Window,
        gate: ReadGate,
        near: NearSession | None,
        message_bytes: int,
    ) -> None:
        self._reader = reader
        self._send_queue = send_queue
        self._window = window
        self._gate = gate
        self._near = near
        self._message_bytes = message_bytes

    async def read(self, ids: Sequence[int], keys: Sequence[ResolvedKey], accept_stale: bool, load: FrameLoad) -> None:
        """Answer gets, as many at a time as their answers are expected to fit.

        Args:
            ids: of the gets, in rising order.
            keys: one for each.
            accept_stale: as in `coherd.v1.GetRequest`.
            load: of the frame.
        """
        at = 0
        while at < len(keys):
            end = at + await self._gate.enter(min(READ_PART, len(keys) - at))
            some = ids[at:end]
            await self._read_part(some, keys[at:end], accept_stale)
            at = end
            self._window.answered(load, len(some))

    async def _read_part(self, ids: Sequence[int], keys: Sequence[ResolvedKey], accept_stale: bool) -> None:
        """Answer gets that the gate has let in."""
        halved = len(keys) >= HALVED and self._window.operations == len(keys)
        answered = total_bytes = 0
        try:
            answers = _Answering(self._send_queue, self._near, accept_stale, self._message_bytes)
            columns, others = await self._reader.get_columns(keys, accept_stale=accept_stale)
            ends = (len(keys) // 2, len(keys)) if halved else (len(keys),)
            for end in ends:
                if answered:
                    await asyncio.sleep(0)  # the first half leaves
                part = slice(answered, end)
                some = columns.part(part) if halved else columns
                beside = {at - answered: lookup for at, lookup in others.items() if answered <= at < end}
                answered, begun = end, answered
                total_bytes += answers.answer(ids[begun:end], keys[part], some, beside)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            failure = INCIDENTS.note(error)
            for one in ids[answered:]:
                self._send_queue.fail(one, failure)
        finally:
            self._gate.leave(len(keys), total_bytes)


class _Answering:
    """Answers what one read found; made before the read is issued, so that a near cache keeps nothing that changed."""

    def __init__(self, send_queue: SendQueue, near: NearSession | None, accept_stale: bool, message_bytes: int) -> None:
        self._send_queue = send_queue
        self._near = near
        self._started = 0 if near is None else near.read_started()
        self._keep_near = None if near is None else near_keeper(near)
        self._accept_stale = accept_stale
        self._message_bytes = message_bytes

    def answer(
        self,
        ids: Sequence[int],
        keys: Sequence[ResolvedKey],
        columns: ReadColumns,
        others: dict[int, Lookup | Failure],
    ) -> int:
        """Queue the answers to gets: in columns, and by itself what is no plain answer. Their reckoned size, bytes."""
        states, values, remaining_ms, ages_ms = columns
        total_bytes = 0
        for at, lookup in others.items():
            total_bytes += self._answer_one(ids[at], lookup)
        outcomes = [_OUTCOMES[state] for state in states]
        if self._near is not None:
            for at, outcome in enumerate(outcomes):
                if outcome == _HIT and self._may_keep(keys[at]):
                    outcomes[at] = _HIT_NEAR
        for start, end, size_bytes in self._runs(ids, values):
            if end - start == 1 and len(values[start]) + RESULT_BYTES > self._message_bytes - MESSAGE_SPARE_BYTES:
                self._send_queue.fail(ids[start], answer_too_large(self._message_bytes))
                continue
            total_bytes += size_bytes
            if any(outcomes[start:end]):
                answers = GetAnswers(
                    ids[start],
                    outcomes[start:end],
                    values[start:end],
                    remaining_ms[start:end],
                    ages_ms[start:end],
                )
                self._send_queue.gets(answers, size_bytes)
        return total_bytes

    def _may_keep(self, key: ResolvedKey) -> bool:
        """Whether the near cache may keep its plain value; then it is told of changes from now on
        [registered-with-the-reply]."""
        near = self._near
        return (
            near is not None
            and key.domain.near_cache is not NearCacheMode.OFF
            and near.register(key, (), self._started)
        )

    def _answer_one(self, get_id: int, lookup: Lookup | Failure) -> int:
        if isinstance(lookup, Failure):
            self._send_queue.fail(get_id, lookup)
            return RESULT_BYTES
        size_bytes = len(lookup.validity.raw) + RESULT_BYTES
        if size_bytes > self._message_bytes - MESSAGE_SPARE_BYTES:
            self._send_queue.fail(get_id, answer_too_large(self._message_bytes))
            return RESULT_BYTES
        response = self._send_queue.result(get_id, size_bytes).get
        if messages.fill_get(response, lookup, self._accept_stale) and self._keep_near is not None:
            self._keep_near(response.hit, lookup)
        return size_bytes

    def _runs(self, ids: Sequence[int], values: Sequence[bytes]) -> list[tuple[int, int, int]]:
        """Where runs of successive ids begin and end that fit a message, or are one value, and their reckoned size."""
        most_bytes = self._send_queue.message_bytes
        size_bytes = sum(map(len, values)) + GET_BYTES * len(values)
        if size_bytes <= most_bytes and isinstance(ids, range):
            return [(0, len(ids), size_bytes)]
        runs: list[tuple[int, int, int]] = []
        start = size_bytes = 0
        for at, value in enumerate(values):
            more = len(value) + GET_BYTES
            if at > start and (ids[at] != ids[at - 1] + 1 or size_bytes + more > most_bytes):
                runs.append((start, at, size_bytes))
                start, size_bytes = at, 0
            size_bytes += more
        runs.append((start, len(values), size_bytes))
        return runs
