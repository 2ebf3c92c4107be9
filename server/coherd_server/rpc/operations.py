"""The operations of a session stream: gets of a frame are one read, sets one write, each answered as it is done."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.catalog.declared import NearCacheMode
from coherd.contract.reasons import Refusal
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Access, Action, Principal
from coherd_server.core.cache import Cache
from coherd_server.core.failure import Failure, refused
from coherd_server.core.near.session import NearSession
from coherd_server.core.reading import Lookup
from coherd_server.core.set_item import SetDone, SetItem
from coherd_server.core.validity import State
from coherd_server.rpc import wire
from coherd_server.rpc.cache_service import READ_PART, CacheRpcs
from coherd_server.rpc.endpoint import Call, Endpoint, KeepNear, incident
from coherd_server.rpc.errors import item_error
from coherd_server.rpc.read_gate import ReadGate
from coherd_server.rpc.send_queue import RESULT_BYTES, SendQueue

HALVED: Final = 32
"""Gets, or sets, of one frame from which on they are done in halves: then client and server work at the same time."""
HALF_LATER_S: Final = 0.0003
"""About a round trip to the store: the second half of the sets reads while the first one writes."""
MESSAGE_SPARE_BYTES: Final = 1_024
"""What a message holds besides one long result."""
_NOTHING_ASKED: Final = Failure(ErrorReason.ERROR_REASON_REQUEST_INVALID, "an operation needs a request")
_TOO_MANY_WAIT: Final = Failure(ErrorReason.ERROR_REASON_OVERLOADED, "too many leases of this session wait")
READS: Final = frozenset({"get", "batch_get"})
"""Operations that change nothing: a late answer leaves nothing unknown."""


class Services(NamedTuple):
    """What every stream of a server uses."""

    rpcs: CacheRpcs
    cache: Cache
    catalog: Catalog
    access: Access
    endpoint: Endpoint
    apart: bool
    """Keys are on several nodes: each operation is awaited by itself, so that a slow node holds up only its own."""


class Load:
    """How much of one frame is unanswered; the stream's totals go down when the frame is done."""

    __slots__ = ("left", "size_bytes")

    def __init__(self, operations: int, size_bytes: int) -> None:
        self.left = operations
        self.size_bytes = size_bytes


class _Get(NamedTuple):
    id: int
    key: ResolvedKey


class _Set(NamedTuple):
    id: int
    item: SetItem
    until_s: float


class Operations:
    """Of one stream.

    Args:
        services: of the server.
        principal: whose stream it is.
        send_queue: takes the results.
        near: the stream's near cache, if it has one.
        on_answered: called when something was answered.
        most_waiting: leases that wait at one time; more are refused as OVERLOADED.
        message_bytes: longest message that gRPC sends.
    """

    def __init__(
        self,
        services: Services,
        principal: Principal,
        send_queue: SendQueue,
        near: NearSession | None,
        on_answered: Callable[[], None],
        most_waiting: int,
        message_bytes: int,
    ) -> None:
        self._services = services
        self._principal = principal
        self._send_queue = send_queue
        self._near = near
        self._on_answered = on_answered
        self._most_waiting = most_waiting
        self._most_bytes = message_bytes - MESSAGE_SPARE_BYTES
        self._gate = ReadGate(send_queue, message_bytes // 2)
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._readable: set[str] = set()
        """Domains that the principal was found to be permitted to read."""
        self._alone: dict[int, asyncio.Task[None]] = {}
        self._unwanted: set[int] = set()
        self._together: set[int] = set()
        self.unanswered = 0
        self.unanswered_bytes = 0

    # Frames.

    def start(self, frame: session_pb.RequestFrame, size_bytes: int) -> None:
        """Do what a frame asks for."""
        load = Load(len(frame.operations), size_bytes)
        self.unanswered += load.left
        self.unanswered_bytes += size_bytes
        gets: dict[bool, list[_Get]] = {}
        sets: list[_Set] = []
        now_s = time.monotonic()
        resolve, readable = self._services.catalog.resolve, self._readable
        for operation in frame.operations:
            kind = operation.WhichOneof("request")
            try:
                if kind == "get":
                    get = operation.get
                    text = get.key.text
                    key = resolve(text) if text else self._services.catalog.key_of(get.key)
                    if key.domain.name not in readable:
                        self._services.access.check(self._principal, key.domain, Action.READ)
                        readable.add(key.domain.name)
                    gets.setdefault(get.accept_stale, []).append(_Get(operation.id, key))
                elif kind == "set":
                    item = wire.set_item(self._services.catalog, operation.set)
                    self._services.access.check(self._principal, item.key.domain, Action.WRITE)
                    timeout_ms = operation.timeout_ms
                    sets.append(_Set(operation.id, item, now_s + timeout_ms / 1000 if timeout_ms > 0 else float("inf")))
                elif kind is None:
                    self._fail(operation.id, _NOTHING_ASKED, load)
                else:
                    self._start_alone(kind, operation, load)
            except Refusal as refusal:
                self._fail(operation.id, refused(refusal), load)
            except Exception as error:  # noqa: BLE001 - the edge: one operation never fails its frame
                self._fail(operation.id, incident(error), load)
        apart = self._services.apart
        for accept_stale, some in gets.items():
            for part in ([one] for one in some) if apart else (some,):
                self._task(self._read(part, accept_stale, load))
        self._together.update(one.id for one in sets)
        if apart:
            for one in sets:
                self._task(self._write([one], load))
        elif len(sets) >= HALVED:
            half = len(sets) // 2
            self._task(self._write(sets[:half], load))
            self._task(self._write(sets[half:], load, begin_s=HALF_LATER_S))
        elif sets:
            self._task(self._write(sets, load))

    def cancel(self, ids: Sequence[int]) -> None:
        """What nobody waits for any more is not begun any more; a write that was sent may take effect."""
        for one in ids:
            task = self._alone.get(one)
            if task is not None:
                task.cancel()
            elif one in self._together:
                self._unwanted.add(one)

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

    def _answered(self, load: Load, operations: int) -> None:
        load.left -= operations
        self.unanswered -= operations
        if not load.left:
            self.unanswered_bytes -= load.size_bytes
        self._on_answered()

    def _fail(self, operation_id: int, failure: Failure, load: Load) -> None:
        self._error(operation_id, failure)
        self._answered(load, 1)

    def _error(self, operation_id: int, failure: Failure) -> None:
        self._send_queue.result(operation_id, RESULT_BYTES).error.CopyFrom(item_error(failure))

    # Gets and sets.

    async def _read(self, gets: Sequence[_Get], accept_stale: bool, load: Load) -> None:
        at = 0
        try:
            while at < len(gets):
                part = gets[at : at + self._gate.part(READ_PART)]
                await self._gate.enter(len(part))
                answer_bytes = 0
                try:
                    answer_bytes = await self._read_part(part, accept_stale)
                finally:
                    self._gate.leave(len(part), answer_bytes)
                at += len(part)
                self._answered(load, len(part))
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            failure = incident(error)
            for one in gets[at:]:
                self._fail(one.id, failure, load)

    async def _read_part(self, part: Sequence[_Get], accept_stale: bool) -> int:
        """Answers all, and tells the size of the answers; raises before it answers any."""
        send_queue, most_bytes = self._send_queue, self._most_bytes
        keep = self._keeper()
        found = await self._services.cache.reads.get([one.key for one in part], accept_stale=accept_stale)
        half = len(part) // 2 if len(part) >= HALVED else 0
        at = total_bytes = 0
        try:
            for one, answer in zip(part, found, strict=True):
                if half and at == half:
                    await asyncio.sleep(0)  # the first half leaves: client and server then work at the same time
                at += 1
                if isinstance(answer, Failure):
                    self._error(one.id, answer)
                    continue
                size_bytes = len(answer.validity.raw) + RESULT_BYTES
                if size_bytes > most_bytes:
                    self._error(one.id, self._too_large())
                    continue
                total_bytes += size_bytes
                response = send_queue.result(one.id, size_bytes).get
                if wire.fill_get(response, answer, accept_stale):
                    keep(response.hit, answer)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            failure = incident(error)
            for one in part[at:]:
                self._error(one.id, failure)
        return total_bytes

    def _too_large(self) -> Failure:
        limit = self._most_bytes + MESSAGE_SPARE_BYTES
        text = f"the answer is over the server's max_message_bytes of {limit}; ask for less"
        return Failure(ErrorReason.ERROR_REASON_ANSWER_TOO_LARGE, text)

    def _keeper(self) -> KeepNear:
        """To be made before a read is issued: lets the near cache keep what it finds, where nothing changed since."""
        near = self._near
        if near is None:
            return _not_near
        started = near.read_started()

        def keep(hit: pb.Hit, found: Lookup) -> None:
            if (
                found.validity.state is State.FRESH
                and found.key.domain.near_cache is not NearCacheMode.OFF
                and near.register(found.key, found.extra, started)
            ):
                hit.near_cacheable = True

        return keep

    async def _write(self, sets: Sequence[_Set], load: Load, *, begin_s: float = 0.0) -> None:
        if begin_s:
            await asyncio.sleep(begin_s)
        answered: set[int] = set()

        def report(index: int, outcome: SetDone | Failure) -> None:
            answered.add(index)
            result = self._send_queue.result(sets[index].id, RESULT_BYTES)
            if isinstance(outcome, Failure):
                result.error.CopyFrom(item_error(outcome))
            else:
                result.set.CopyFrom(wire.set_response(outcome))
            self._answered(load, 1)

        def wanted(index: int) -> bool:
            return sets[index].id not in self._unwanted and time.monotonic() < sets[index].until_s

        try:
            await self._services.cache.writes.set([one.item for one in sets], report=report, wanted=wanted)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            failure = incident(error)
            for index, one in enumerate(sets):
                if index not in answered:
                    self._fail(one.id, failure, load)
        finally:
            ids = {one.id for one in sets}
            self._together -= ids
            self._unwanted -= ids

    # Everything else: as the rpc of its name.

    def _start_alone(self, kind: str, operation: session_pb.Operation, load: Load) -> None:
        request: Message = getattr(operation, kind)
        waits = kind == "lease" and operation.lease.wait_ms > 0
        if waits:
            # It may wait for what this stream sends next: it takes no place in the window, and does not keep its frame.
            if self._waiting >= self._most_waiting:
                self._fail(operation.id, _TOO_MANY_WAIT, load)
                return
            request = pb.LeaseRequest()
            request.CopyFrom(operation.lease)
            self._waiting += 1
            self._answered(load, 1)
        operation_id = operation.id
        task = self._task(self._serve_alone(kind, operation_id, request, operation.timeout_ms))
        self._alone[operation_id] = task

        def ended(task: asyncio.Task[None]) -> None:
            if self._alone.get(operation_id) is task:
                del self._alone[operation_id]
            if waits:
                self._waiting -= 1
            else:
                self._answered(load, 1)

        task.add_done_callback(ended)

    async def _serve_alone(self, kind: str, operation_id: int, request: Message, timeout_ms: int) -> None:
        try:
            if kind != "batch_get":
                await self._answer_alone(kind, operation_id, request, timeout_ms)
                return
            keys, answer_bytes = max(1, len(getattr(request, "keys", ()))), 0
            await self._gate.enter(keys)
            try:
                answer_bytes = await self._answer_alone(kind, operation_id, request, timeout_ms)
            finally:
                self._gate.leave(keys, answer_bytes)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            self._error(operation_id, incident(error))

    async def _answer_alone(self, kind: str, operation_id: int, request: Message, timeout_ms: int) -> int:
        """Answers, and tells the size of the answer."""
        answer = await self._services.endpoint.serve(
            self._method(kind),
            request,
            self._principal,
            timeout_ms / 1000 if timeout_ms > 0 else None,
            reads_only=kind in READS,
            keep_near=self._keeper(),
        )
        if isinstance(answer, bytes):
            raise AssertionError("methods of the service answer with messages")
        size_bytes = 0 if isinstance(answer, Failure) else answer.ByteSize() + RESULT_BYTES
        if size_bytes > self._most_bytes:
            answer = self._too_large()
        if isinstance(answer, Failure):
            self._error(operation_id, answer)
        else:
            getattr(self._send_queue.result(operation_id, size_bytes), kind).CopyFrom(answer)
        return size_bytes

    def _method(self, kind: str) -> Callable[[Any, Call], Coroutine[Any, Any, Message]]:
        name = _RPC_NAMES[kind]
        method: Callable[[Any, Call], Coroutine[Any, Any, Message]] = getattr(self._services.rpcs, name)
        return method


def _not_near(hit: pb.Hit, found: Lookup) -> None:
    """The stream has no near cache."""


_RPC_NAMES: Final = {
    field.name: "".join(part.capitalize() for part in field.name.split("_"))
    for field in session_pb.Operation.DESCRIPTOR.oneofs_by_name["request"].fields
}
"""Operation to rpc: ``batch_get`` to ``BatchGet``."""
