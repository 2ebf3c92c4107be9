"""The frames of a session stream: a frame comes in, is sorted into operations, and each is answered as it is done.

The gets of a frame are one read, its sets one write; anything else is done as the unary rpc of its name
(`coherd_server.rpc.frame_calls`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Coroutine, Iterable, Sequence
from operator import attrgetter
from typing import Any, Final, NamedTuple

from coherd.catalog import requests
from coherd.catalog.catalog import ResolvedKey
from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Action, Principal
from coherd_server.core.failure import Failure, refused
from coherd_server.core.near.session import NearSession
from coherd_server.core.set_plan import SetDone
from coherd_server.rpc import messages
from coherd_server.rpc.cache_service import READ_PART
from coherd_server.rpc.errors import answer_too_large, item_error
from coherd_server.rpc.frame_calls import MESSAGE_SPARE_BYTES, FrameCalls, Services, near_keeper
from coherd_server.rpc.incidents import INCIDENTS
from coherd_server.rpc.send_queue import RESULT_BYTES, FrameLoad, ReadGate, SendQueue, Window

HALVED: Final = 32
"""Gets, or sets, of one frame from which on they are done in halves: then client and server work at the same time."""
HALF_LATER_S: Final = 0.0003
"""About a round trip to the store: the second half of the sets reads while the first one writes."""
_NOTHING_ASKED: Final = Failure(ErrorReason.ERROR_REASON_REQUEST_INVALID, "an operation needs a request")


class _Get(NamedTuple):
    id: int
    key: ResolvedKey


_KEY_OF: Final = attrgetter("key")


class _Set(NamedTuple):
    id: int
    item: requests.SetItem
    until_s: float
    """`time.monotonic` after which nobody waits for it."""


class Frames:
    """Does the frames of one stream.

    Args:
        services: of the server.
        principal: whose stream it is.
        send_queue: takes the results.
        window: told of what is answered.
        near: the stream's near cache, if it has one.
        most_waiting: leases that wait at one time; more are refused as OVERLOADED.
        message_bytes: longest message that gRPC sends.
    """

    def __init__(
        self,
        services: Services,
        principal: Principal,
        send_queue: SendQueue,
        window: Window,
        near: NearSession | None,
        most_waiting: int,
        message_bytes: int,
    ) -> None:
        self._services = services
        self._principal = principal
        self._send_queue = send_queue
        self._window = window
        self._near = near
        self._message_bytes = message_bytes
        self._gate = ReadGate(send_queue, message_bytes // 2)
        self._tasks: set[asyncio.Task[None]] = set()
        self._readable: set[str] = set()
        """Domains that the principal was found to be permitted to read."""
        self._writing: set[int] = set()
        """Sets that are not answered yet."""
        self._unwanted: set[int] = set()
        """Those of them that were cancelled."""
        self._calls = FrameCalls(
            services, principal, send_queue, window, self._gate, near, self._task, most_waiting, message_bytes
        )

    def start(self, frame: session_pb.RequestFrame, load: FrameLoad) -> None:
        """Begin what a frame asks for.

        Args:
            frame: at least one operation.
            load: what the window counts it as.
        """
        gets, sets = self._sort(frame.operations, load)
        apart = self._services.apart
        for accept_stale, asked in gets.items():
            for part in ([get] for get in asked) if apart else (asked,):
                self._task(self._read(part, accept_stale, load))
        if sets:
            self._writing.update(asked_set.id for asked_set in sets)
        if apart:
            for asked_set in sets:
                self._task(self._write([asked_set], load))
        elif len(sets) >= HALVED:
            half = len(sets) // 2
            self._task(self._write(sets[:half], load))
            self._task(self._write(sets[half:], load, begin_s=HALF_LATER_S))
        elif sets:
            self._task(self._write(sets, load))

    def _sort(
        self, operations: Iterable[session_pb.Operation], load: FrameLoad
    ) -> tuple[dict[bool, list[_Get]], list[_Set]]:
        """The gets of a frame, by whether they accept stale values, and its sets. What is refused is answered here, and
        what is neither is begun."""
        gets: dict[bool, list[_Get]] = {}
        sets: list[_Set] = []
        now_s = time.monotonic()
        catalog, access, readable = self._services.catalog, self._services.access, self._readable
        for operation in operations:
            kind = operation.WhichOneof("request")
            try:
                if kind == "get":
                    get = operation.get
                    text = get.key.text
                    key = catalog.resolve(text) if text else catalog.key_of(get.key)
                    if key.domain.name not in readable:
                        access.check(self._principal, key.domain, Action.READ)
                        readable.add(key.domain.name)
                    gets.setdefault(get.accept_stale, []).append(_Get(operation.id, key))
                elif kind == "set":
                    item = requests.set_item(catalog, operation.set)
                    access.check(self._principal, item.key.domain, Action.WRITE)
                    timeout_ms = operation.timeout_ms
                    sets.append(_Set(operation.id, item, now_s + timeout_ms / 1000 if timeout_ms > 0 else float("inf")))
                elif kind is None:
                    self._fail(operation.id, _NOTHING_ASKED, load)
                else:
                    self._calls.start(kind, operation, load)
            except Refusal as refusal:
                self._fail(operation.id, refused(refusal), load)
            except Exception as error:  # noqa: BLE001 - the edge: one operation never fails its frame
                self._fail(operation.id, INCIDENTS.note(error), load)
        return gets, sets

    def cancel(self, ids: Sequence[int]) -> None:
        """What nobody waits for any more is not begun any more; a write that was sent may take effect."""
        for operation_id in ids:
            if operation_id in self._writing:
                self._unwanted.add(operation_id)
            else:
                self._calls.cancel(operation_id)

    async def finish(self) -> None:
        """Wait until everything is answered."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def close(self) -> None:
        """Stop everything."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _task(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _fail(self, operation_id: int, failure: Failure, load: FrameLoad) -> None:
        self._send_queue.fail(operation_id, failure)
        self._window.answered(load)

    async def _read(self, gets: Sequence[_Get], accept_stale: bool, load: FrameLoad) -> None:
        """Answer gets, as many at a time as their answers are expected to fit."""
        at = 0
        try:
            while at < len(gets):
                read = await self._read_part(gets[at:], accept_stale)
                at += read
                self._window.answered(load, read)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            failure = INCIDENTS.note(error)
            for get in gets[at:]:
                self._fail(get.id, failure, load)

    async def _read_part(self, gets: Sequence[_Get], accept_stale: bool) -> int:
        """Answer the first few of these, as many as the gate lets in; tells how many."""
        part = gets[: self._gate.part(READ_PART)]
        send_queue, most_bytes = self._send_queue, self._message_bytes - MESSAGE_SPARE_BYTES
        await self._gate.enter(len(part))
        at = total_bytes = 0
        try:
            keep_near = None if self._near is None else near_keeper(self._near)
            lookups = await self._services.cache.reads.get(list(map(_KEY_OF, part)), accept_stale=accept_stale)
            half = len(part) // 2 if len(part) >= HALVED else 0
            for get, lookup in zip(part, lookups, strict=True):
                if half and at == half:
                    await asyncio.sleep(0)  # the first half leaves: client and server then work at the same time
                at += 1
                if isinstance(lookup, Failure):
                    send_queue.fail(get.id, lookup)
                    continue
                size_bytes = len(lookup.validity.raw) + RESULT_BYTES
                if size_bytes > most_bytes:
                    send_queue.fail(get.id, answer_too_large(self._message_bytes))
                    continue
                total_bytes += size_bytes
                response = send_queue.result(get.id, size_bytes).get
                if messages.fill_get(response, lookup, accept_stale) and keep_near is not None:
                    keep_near(response.hit, lookup)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            failure = INCIDENTS.note(error)
            for get in part[at:]:
                send_queue.fail(get.id, failure)
        finally:
            self._gate.leave(len(part), total_bytes)
        return len(part)

    async def _write(self, sets: Sequence[_Set], load: FrameLoad, *, begin_s: float = 0.0) -> None:
        """Store values and answer each as soon as its outcome is known."""
        if begin_s:
            await asyncio.sleep(begin_s)
        answered: set[int] = set()

        def report(index: int, outcome: SetDone | Failure) -> None:
            answered.add(index)
            result = self._send_queue.result(sets[index].id, RESULT_BYTES)
            if isinstance(outcome, Failure):
                result.error.CopyFrom(item_error(outcome))
            else:
                result.set.CopyFrom(messages.set_response(outcome))
            self._window.answered(load)

        def wanted(index: int) -> bool:
            return sets[index].id not in self._unwanted and time.monotonic() < sets[index].until_s

        try:
            items = [asked_set.item for asked_set in sets]
            await self._services.cache.writes.set(items, report=report, wanted=wanted)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            failure = INCIDENTS.note(error)
            for index, asked_set in enumerate(sets):
                if index not in answered:
                    self._fail(asked_set.id, failure, load)
        finally:
            ids = {asked_set.id for asked_set in sets}
            self._writing -= ids
            self._unwanted -= ids
