"""The sets of a session's frames: those of a record are one write, answered in columns as their outcomes are known."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterator, Sequence
from typing import Any

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import SetItem
from coherd_server.core.failure import Failure
from coherd_server.core.set import Writer
from coherd_server.core.set_plan import SetDone
from coherd_server.rpc.frame_bytes import AskedSets, SetAnswers
from coherd_server.rpc.incidents import INCIDENTS
from coherd_server.rpc.messages import SET_OUTCOMES
from coherd_server.rpc.send_queue import FrameLoad, SendQueue, Window


class FrameWrites:
    """Does the sets of one stream.

    Args:
        writer: to the store.
        send_queue: takes the answers.
        window: told of what is answered.
    """

    def __init__(self, writer: Writer, send_queue: SendQueue, window: Window) -> None:
        self._writer = writer
        self._send_queue = send_queue
        self._window = window
        self._writes: set[_Write] = set()
        """Those that are not over."""

    @staticmethod
    def items(sets: AskedSets, keys: Sequence[ResolvedKey], places: Sequence[int]) -> list[SetItem]:
        """What is to be stored.

        Args:
            sets: of a frame.
            keys: those of it that may be written.
            places: of these keys.
        """
        _, _, _, values, ttl_ms, extra_tags, only_if_absent, versions, negative = sets
        return [
            SetItem(key, values[at], ttl_ms, extra_tags, only_if_absent, versions[at] if versions else None, negative)
            for at, key in zip(places, keys, strict=True)
        ]

    def start(
        self,
        ids: Sequence[int],
        items: Sequence[SetItem],
        timeout_ms: int,
        load: FrameLoad,
        begin: Callable[[Coroutine[Any, Any, None]], object],
    ) -> None:
        """Begin to store values.

        Args:
            ids: of the sets, in rising order.
            items: one for each.
            timeout_ms: a set is not begun after it; 0: whenever.
            load: of the frame.
            begin: makes a task that ends with the stream.
        """
        until_s = time.monotonic() + timeout_ms / 1000 if timeout_ms > 0 else math.inf
        write = _Write(ids, until_s, load, self._send_queue, self._window)
        self._writes.add(write)
        begin(self._write(write, items))

    def cancel(self, ids: frozenset[int]) -> set[int]:
        """Nobody waits for these any more; those of them that are sets. Takes time by their number, not by it for each
        write that is not over: of a cluster that may be thousands of both."""
        found: set[int] = set()
        for write in self._writes:
            found |= write.cancel(ids)
        return found

    async def _write(self, write: _Write, items: Sequence[SetItem]) -> None:
        try:
            await self._writer.set(items, report=write.report, wanted=write.is_wanted)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            write.fail(INCIDENTS.note(error))
        finally:
            write.tell()
            self._writes.discard(write)


class _Write:
    """Sets that are written together, and what of their outcomes was not told yet.

    Args:
        ids: of the sets, in rising order.
        until_s: `time.monotonic` after which nobody waits for them.
        load: of the frame.
        send_queue: takes the answers.
        window: told of what is answered.
    """

    __slots__ = (
        "_ids", "_load", "_outcomes", "_queue", "_reported", "_ttls_ms", "_until_s", "_untold", "_unwanted", "_window",
    )  # fmt: skip

    def __init__(
        self, ids: Sequence[int], until_s: float, load: FrameLoad, send_queue: SendQueue, window: Window
    ) -> None:
        self._ids = ids
        self._until_s = until_s
        self._load = load
        self._queue = send_queue
        self._window = window
        self._outcomes = [0] * len(ids)
        """Of what is reported and not told, else 0."""
        self._ttls_ms = [0] * len(ids)
        self._reported = bytearray(len(ids))
        self._untold = 0
        self._unwanted: set[int] = set()
        """Places of those that were cancelled."""

    def cancel(self, ids: frozenset[int]) -> frozenset[int]:
        """Nobody waits for these any more; those of them that are sets of this write."""
        found = ids.intersection(self._ids)
        if found:
            self._unwanted.update(at for at, set_id in enumerate(self._ids) if set_id in found)
        return found

    def is_wanted(self, at: int) -> bool:
        """Whether the set at a place is still to be done."""
        return at not in self._unwanted and time.monotonic() < self._until_s

    def report(self, at: int, outcome: SetDone | Failure) -> None:
        """What became of the set at a place: told with what else is reported in this turn of the event loop."""
        self._reported[at] = 1
        if isinstance(outcome, Failure):
            self._queue.fail(self._ids[at], outcome)
            self._window.answered(self._load)
            return
        self._outcomes[at] = SET_OUTCOMES[outcome.outcome]
        self._ttls_ms[at] = outcome.ttl_ms
        if not self._untold:
            asyncio.get_running_loop().call_soon(self.tell)
        self._untold += 1

    def fail(self, failure: Failure) -> None:
        """What is not reported has failed."""
        for at, reported in enumerate(self._reported):
            if not reported:
                self.report(at, failure)

    def tell(self) -> None:
        """Queue the answers that were reported."""
        untold, self._untold = self._untold, 0
        if not untold:
            return
        for start, end in self._runs():
            self._queue.sets(SetAnswers(self._ids[start], self._outcomes[start:end], self._ttls_ms[start:end]))
        self._outcomes = [0] * len(self._ids)
        self._ttls_ms = [0] * len(self._ids)
        self._window.answered(self._load, untold)

    def _runs(self) -> Iterator[tuple[int, int]]:
        """Where runs of successive ids begin and end; one that tells nothing is left out."""
        ids, outcomes = self._ids, self._outcomes
        start = 0
        for at in range(1, len(ids) + 1):
            if at == len(ids) or (not isinstance(ids, range) and ids[at] != ids[at - 1] + 1):
                if any(outcomes[start:at]):
                    yield start, at
                start = at
