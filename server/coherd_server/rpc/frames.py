"""The frames of a session stream: one comes in, is sorted, and each get, set and operation is answered as it is done.

The gets of a record are one read (`coherd_server.rpc.frame_reads`), its sets one write
(`coherd_server.rpc.frame_writes`). Anything else is done as the unary rpc of its name
(`coherd_server.rpc.frame_calls`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, Final

from coherd.catalog.catalog import ResolvedKey
from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Action, Principal
from coherd_server.core.failure import Failure, refused
from coherd_server.core.near.session import NearSession
from coherd_server.rpc.frame_bytes import AskedFrame
from coherd_server.rpc.frame_calls import FrameCalls, Services
from coherd_server.rpc.frame_reads import FrameReads
from coherd_server.rpc.frame_writes import FrameWrites
from coherd_server.rpc.incidents import INCIDENTS
from coherd_server.rpc.send_queue import FrameLoad, ReadGate, SendQueue, Window

_NOTHING_ASKED: Final = Failure(ErrorReason.ERROR_REASON_REQUEST_INVALID, "an operation needs a request")


class Frames:
    """Does the frames of one stream.

    Args:
        services: of the server.
        principal: whose stream it is.
        send_queue: takes the answers.
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
        self._tasks: set[asyncio.Task[None]] = set()
        self._permitted: dict[Action, set[str]] = {Action.READ: set(), Action.WRITE: set()}
        """Domains in which the principal was found to be permitted to do this."""
        gate = ReadGate(send_queue, message_bytes // 2)
        self._reads = FrameReads(services.cache.reads, send_queue, window, gate, near, message_bytes)
        self._writes = FrameWrites(services.cache.writes, send_queue, window)
        self._calls = FrameCalls(services, principal, send_queue, window, near, self._task, most_waiting, message_bytes)

    def start(self, frame: AskedFrame, load: FrameLoad) -> None:
        """Begin what a frame asks for.

        Args:
            frame: what it asks for.
            load: what the window counts it as.
        """
        apart = self._services.apart
        for first_id, accept_stale, texts in frame.gets:
            ids, keys, _ = self._resolved(first_id, texts, Action.READ, load)
            for some in _parts(len(keys), apart=apart):
                self._task(self._reads.read(ids[some], keys[some], accept_stale, load))
        for sets in frame.sets:
            ids, keys, places = self._resolved(sets.first_id, sets.keys, Action.WRITE, load)
            items = self._writes.items(sets, keys, places)
            for some in _parts(len(keys), apart=apart):
                self._writes.start(ids[some], items[some], sets.timeout_ms, load, self._task)
        for operation in frame.operations:
            self._start_call(operation, load)

    def cancel(self, ids: Sequence[int]) -> None:
        """What nobody waits for any more is not begun any more; a write that was sent may take effect."""
        wanted = frozenset(ids)
        for one in wanted - self._writes.cancel(wanted):
            self._calls.cancel(one)

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

    def _resolved(
        self, first_id: int, texts: Sequence[str], action: Action, load: FrameLoad
    ) -> tuple[Sequence[int], list[ResolvedKey], Sequence[int]]:
        """The keys of a record that may be used so, with their ids and places. What is refused is answered here."""
        resolve, permitted = self._services.catalog.resolve, self._permitted[action]
        ids = range(first_id, first_id + len(texts))
        try:
            keys = list(map(resolve, texts))
            if permitted.issuperset({key.domain.name for key in keys}):
                return ids, keys, range(len(keys))
        except Exception:  # noqa: BLE001, S110 - it is met again below, where it harms its own key alone
            pass
        keys, places = [], []
        for at, text in enumerate(texts):
            try:
                key = resolve(text)
                if key.domain.name not in permitted:
                    self._services.access.check(self._principal, key.domain, action)
                    permitted.add(key.domain.name)
            except Refusal as refusal:
                self._fail(first_id + at, refused(refusal), load)
            except Exception as error:  # noqa: BLE001 - the edge: one key never fails its frame
                self._fail(first_id + at, INCIDENTS.note(error), load)
            else:
                keys.append(key)
                places.append(at)
        if len(keys) == len(texts):
            return ids, keys, range(len(keys))
        return [first_id + at for at in places], keys, places

    def _start_call(self, operation: session_pb.Operation, load: FrameLoad) -> None:
        kind = operation.WhichOneof("request")
        try:
            if kind is None:
                self._fail(operation.id, _NOTHING_ASKED, load)
            else:
                self._calls.start(kind, operation, load)
        except Exception as error:  # noqa: BLE001 - the edge: one operation never fails its frame
            self._fail(operation.id, INCIDENTS.note(error), load)


def _parts(size: int, *, apart: bool) -> list[slice]:
    """What of a record is done together: all, or, where keys are on several nodes, each by itself, so that a slow node
    holds up only its own."""
    if not size:
        return []
    return [slice(at, at + 1) for at in range(size)] if apart else [slice(None)]
