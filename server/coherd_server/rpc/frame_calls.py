"""Operations of a session stream that are neither gets nor sets: each is done as the unary rpc of its name is."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final, NamedTuple

from google.protobuf.message import Message

from coherd.catalog.catalog import Catalog
from coherd.contract.near_cache import NearCacheMode
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Access, Principal
from coherd_server.core.cache import Cache
from coherd_server.core.failure import Failure
from coherd_server.core.get import Lookup
from coherd_server.core.near.session import NearSession
from coherd_server.core.validity import State
from coherd_server.rpc.cache_service import CacheRpcs
from coherd_server.rpc.endpoint import Call, Endpoint, KeepNear, not_kept
from coherd_server.rpc.errors import answer_too_large
from coherd_server.rpc.incidents import INCIDENTS
from coherd_server.rpc.send_queue import RESULT_BYTES, FrameLoad, SendQueue, Window

MESSAGE_SPARE_BYTES: Final = 1_024
"""What a message holds besides one long result."""
_TOO_MANY_WAIT: Final = Failure(ErrorReason.ERROR_REASON_OVERLOADED, "too many leases of this session wait")
_RPC_NAMES: Final = {
    field.name: "".join(part.capitalize() for part in field.name.split("_"))
    for field in session_pb.Operation.DESCRIPTOR.oneofs_by_name["request"].fields
}
"""Operation to rpc: ``batch_lease`` to ``BatchLease``."""


class Services(NamedTuple):
    """What every stream of a server uses."""

    rpcs: CacheRpcs
    cache: Cache
    catalog: Catalog
    access: Access
    endpoint: Endpoint
    apart: bool
    """Keys are on several nodes: each operation is awaited by itself, so that a slow node holds up only its own."""


class FrameCalls:
    """Does the calls of one stream.

    Args:
        services: of the server.
        principal: whose stream it is.
        send_queue: takes the results.
        window: told of what is answered.
        near: the stream's near cache, if it has one.
        begin: makes a task that ends with the stream.
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
        begin: Callable[[Coroutine[Any, Any, None]], asyncio.Task[None]],
        most_waiting: int,
        message_bytes: int,
    ) -> None:
        self._services = services
        self._principal = principal
        self._send_queue = send_queue
        self._window = window
        self._near = near
        self._begin = begin
        self._most_waiting = most_waiting
        self._message_bytes = message_bytes
        self._waiting = 0
        self._tasks: dict[int, asyncio.Task[None]] = {}
        """By the id of the operation."""

    def start(self, kind: str, operation: session_pb.Operation, load: FrameLoad) -> None:
        """Begin an operation.

        Args:
            kind: name of the field that holds its request.
            operation: of the frame.
            load: of the frame.
        """
        request: Message = getattr(operation, kind)
        waits = kind == "lease" and operation.lease.wait_ms > 0
        if waits:
            # It may wait for what this stream sends next: it takes no place in the window, and does not keep its frame.
            if self._waiting >= self._most_waiting:
                self._send_queue.fail(operation.id, _TOO_MANY_WAIT)
                self._window.answered(load)
                return
            request = pb.LeaseRequest()
            request.CopyFrom(operation.lease)
            self._waiting += 1
            self._window.answered(load)
        operation_id = operation.id
        task = self._begin(self._serve(kind, operation_id, request, operation.timeout_ms))
        self._tasks[operation_id] = task

        def ended(task: asyncio.Task[None]) -> None:
            if self._tasks.get(operation_id) is task:
                del self._tasks[operation_id]
            if waits:
                self._waiting -= 1
            else:
                self._window.answered(load)

        task.add_done_callback(ended)

    def cancel(self, operation_id: int) -> None:
        """Nobody waits for this operation any more."""
        task = self._tasks.get(operation_id)
        if task is not None:
            task.cancel()

    async def _serve(self, kind: str, operation_id: int, request: Message, timeout_ms: int) -> None:
        try:
            await self._answer(kind, operation_id, request, timeout_ms)
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            self._send_queue.fail(operation_id, INCIDENTS.note(error))

    async def _answer(self, kind: str, operation_id: int, request: Message, timeout_ms: int) -> None:
        method: Callable[[Any, Call], Coroutine[Any, Any, Message]] = getattr(self._services.rpcs, _RPC_NAMES[kind])
        answer = await self._services.endpoint.serve(
            method,
            request,
            self._principal,
            timeout_ms / 1000 if timeout_ms > 0 else None,
            reads_only=False,
            keep_near=not_kept if self._near is None else near_keeper(self._near),
        )
        if isinstance(answer, bytes):
            raise AssertionError("methods of the service answer with messages")
        size_bytes = 0 if isinstance(answer, Failure) else answer.ByteSize() + RESULT_BYTES
        if size_bytes > self._message_bytes - MESSAGE_SPARE_BYTES:
            answer = answer_too_large(self._message_bytes)
        if isinstance(answer, Failure):
            self._send_queue.fail(operation_id, answer)
        else:
            getattr(self._send_queue.result(operation_id, size_bytes), kind).CopyFrom(answer)


def near_keeper(near: NearSession) -> KeepNear:
    """What lets a near cache keep what a read finds, where nothing changed since; made before the read is issued."""
    started = near.read_started()

    def keep(hit: pb.Hit, lookup: Lookup) -> None:
        if (
            lookup.validity.state is State.FRESH
            and lookup.key.domain.near_cache is not NearCacheMode.OFF
            and near.register(lookup.key, lookup.extra, started)
        ):
            hit.near_cacheable = True

    return keep
