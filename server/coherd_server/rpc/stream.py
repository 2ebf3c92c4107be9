"""One session stream: operations in, answers and pushes out, from Hello to its end."""

from __future__ import annotations

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import Final

from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Action, Principal
from coherd_server.core.failure import Failure, refused
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.session import NearSession, Push
from coherd_server.rpc.endpoint import DRAINING, abort, parse
from coherd_server.rpc.operations import Operations, Services
from coherd_server.rpc.send_queue import SendQueue
from coherd_server.rpc.types import Context

MOST_HITS: Final = 1 << 40
"""Of one report: what a client claims must not spoil the counters."""
_INVALID: Final = ErrorReason.ERROR_REASON_REQUEST_INVALID


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of the streams of a process."""

    sessions: int = 10_000
    """Most streams; more are refused as OVERLOADED."""
    window: int = 8_192
    """Unanswered operations of one stream above which nothing more is read of it, and most of one frame."""
    message_bytes: int = 16 << 20
    """Longest message, as gRPC has it: one that is longer would end the stream."""
    age_ms: int | None = None
    """A stream is asked to move after about this time: a port shared by processes pins connections. None: never."""

    @property
    def window_bytes(self) -> int:
        """Bytes of unanswered requests above which nothing more is read; and of answers that the client has not taken.

        At most half a message: a frame that holds less than this may still take one operation of as much.
        """
        return min(8 << 20, self.message_bytes // 2)


class Stream:
    """Reads until too much is unanswered, answers as things are done.

    Args:
        services: what operations use.
        hub: of near caches.
        limits: bounds.
        principal: whose stream it is.
        near_cache: the client keeps one.
        context: gRPC's.
    """

    def __init__(
        self,
        services: Services,
        hub: Hub,
        limits: SessionLimits,
        principal: Principal,
        near_cache: bool,
        context: Context,
    ) -> None:
        self._services = services
        self._hub = hub
        self._limits = limits
        self._principal = principal
        self._context = context
        self._room = asyncio.Event()
        self._moving = False
        self._until = asyncio.timeout(None)
        self._send_queue = SendQueue(limits.window_bytes, self._room.set)
        self.near: NearSession | None = hub.open(self._push) if near_cache else None
        """The client's near cache; None: it has none."""
        self._operations = Operations(
            services, principal, self._send_queue, self.near, self._room.set, limits.window, limits.message_bytes
        )
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self, welcome: session_pb.Welcome) -> None:
        """Until the client ends it, the connection does, or its time is up."""
        loop = asyncio.get_running_loop()
        self._send_queue.say(session_pb.SessionResponse(welcome=welcome))
        writer = asyncio.create_task(self._send_queue.write(self._context.write))
        writer.add_done_callback(self._written)
        age_ms = self._limits.age_ms
        mover = age_ms and loop.call_later(age_ms * (0.8 + 0.4 * random.random()) / 1000, self.move, age_ms // 4)
        failure: Failure | None
        try:
            async with self._until:
                failure = await self._read(writer)
                if failure is None:
                    await self._operations.finish()
                    self._send_queue.end()
                    await asyncio.wait([writer])
        except TimeoutError:
            failure = DRAINING
        finally:
            if mover:
                mover.cancel()
            writer.cancel()
            if self.near is not None:
                self.near.close()
            try:
                await self._operations.close()
                await asyncio.gather(writer, return_exceptions=True)
            finally:
                self.ended.set_result(None)
        if failure is not None:
            await abort(self._context, failure)

    def _written(self, writer: asyncio.Task[None]) -> None:
        """Nothing can be answered any more, if it failed."""
        self._room.set()
        if not writer.cancelled() and writer.exception() is not None:
            self._end_in(0)

    def _end_in(self, seconds: float) -> None:
        with contextlib.suppress(RuntimeError):  # it is over
            self._until.reschedule(asyncio.get_running_loop().time() + seconds)

    async def _read(self, writer: asyncio.Task[None]) -> Failure | None:
        """Take messages until there are no more; what was wrong, if something was."""
        limits = self._limits
        operations, send_queue = self._operations, self._send_queue
        while not writer.done():
            data = await self._context.read()
            if not isinstance(data, bytes):
                return None
            arrived_s = self._hub.now_s()
            try:
                self._take(parse(session_pb.SessionRequest, data), len(data), arrived_s)
            except Refusal as refusal:
                return refused(refusal)
            while not writer.done() and (
                operations.unanswered >= limits.window
                or operations.unanswered_bytes >= limits.window_bytes
                or send_queue.is_full
            ):
                self._room.clear()
                await self._room.wait()
        return None

    def _take(self, message: session_pb.SessionRequest, size_bytes: int, arrived_s: float) -> None:
        kind = message.WhichOneof("message")
        near = self.near
        if kind == "frame":
            if not 1 <= len(message.frame.operations) <= self._limits.window:
                text = f"a frame has 1..{self._limits.window} operations"
                raise Refusal(_INVALID, text, field="frame.operations")
            self._operations.start(message.frame, size_bytes)
        elif kind == "push_ack":
            if near is not None:
                near.acknowledge(message.push_ack.sequence)
        elif kind == "cancel":
            self._operations.cancel(message.cancel.ids)
        elif kind == "heartbeat":
            self._count(message.heartbeat)
        elif kind == "goodbye":
            if near is not None:
                near.close(dropped=True)
        elif kind == "hello":
            raise Refusal(_INVALID, "hello is said once", field="hello")
        else:
            raise Refusal(_INVALID, "a message of this protocol is required")
        if near is not None and message.asked_at_ms > 0:
            extension = near.extend(message.asked_at_ms, arrived_s=arrived_s)
            if extension is not None:
                self._send_queue.say(
                    session_pb.SessionResponse(
                        extension=session_pb.LeaseExtension(
                            counted_from_ms=extension.counted_from_ms, lease_ms=extension.lease_ms
                        )
                    )
                )

    def _count(self, heartbeat: session_pb.Heartbeat) -> None:
        services = self._services
        counted: dict[str, int] = {}
        for name, hits in heartbeat.near_cache_hits.items():
            with contextlib.suppress(Refusal):
                services.access.check(self._principal, services.catalog.domain(name), Action.READ)
                counted[name] = min(hits, MOST_HITS)
        self._hub.count_hits(counted)

    def _push(self, push: Push) -> None:
        frame = session_pb.PushFrame(sequence=push.sequence, keys=push.keys, tags=push.tags, flush=push.flush)
        if frame.ByteSize() > self._limits.window_bytes:
            frame = session_pb.PushFrame(sequence=push.sequence, flush=True)  # names for more than a message
        self._send_queue.say(session_pb.SessionResponse(push=frame))

    def move(self, grace_ms: int) -> None:
        """Ask the client to open a session elsewhere and end this one, which ends it after the time of grace; once."""
        if not self._moving:
            self._moving = True
            drain = session_pb.Drain(reason=ErrorReason.ERROR_REASON_DRAINING, grace_ms=grace_ms)
            self._send_queue.say(session_pb.SessionResponse(drain=drain))
            self._end_in(grace_ms / 1000)
