"""`coherd.v1.SessionService`: the streams of a process, one per client.

Operations come in side by side [concurrent-frame], answers and pushes go out, from Hello to the end of the stream.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import AsyncIterator
from typing import Final
from weakref import WeakValueDictionary

import grpc.aio
from grpc.aio import AbortError

from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.access import Action, Principal
from coherd_server.core.failure import Failure, refused
from coherd_server.core.near.hub import Hub
from coherd_server.core.near.session import NearSession, Push
from coherd_server.rpc.endpoint import DRAINING, Handler
from coherd_server.rpc.errors import Context, abort
from coherd_server.rpc.frame_bytes import AskedFrame, decode_message
from coherd_server.rpc.frame_calls import Services
from coherd_server.rpc.frames import Frames
from coherd_server.rpc.hello import SessionLimits, read_hello, welcome
from coherd_server.rpc.incidents import INCIDENTS
from coherd_server.rpc.principals import Principals
from coherd_server.rpc.send_queue import SendQueue, Window
from coherd_server.rpc.sign_of_life import say_alive, wait_alive

MOST_HITS: Final = 1 << 40
"""Most hits one report counts: what a client claims must not spoil the counters."""
MOST_CANCELLED: Final = 10_000
"""Most ids of one message: whoever names millions holds up the process."""
_INVALID: Final = ErrorReason.ERROR_REASON_REQUEST_INVALID


class Sessions:
    """All streams of a process.

    Args:
        services: what operations use.
        principals: maps a stream's credential to a principal.
        hub: of near caches.
        limits: bounds.
    """

    def __init__(self, services: Services, principals: Principals, hub: Hub, limits: SessionLimits) -> None:
        self.services = services
        self.hub = hub
        self.limits = limits
        self._principals = principals
        self._places = 0
        """Streams, those that have not said hello yet among them."""
        self._streams: set[Stream] = set()
        self._near: WeakValueDictionary[tuple[str | None, bytes], NearSession] = WeakValueDictionary()
        """Near caches by principal and client id, as long as they may serve."""
        self._draining = False

    def handlers(self) -> dict[str, Handler]:
        """The handler of every rpc of `coherd.v1.SessionService`, by path."""
        service = session_pb.DESCRIPTOR.services_by_name["SessionService"]
        return {
            f"/{service.full_name}/{method.name}": grpc.stream_stream_rpc_method_handler(self.handle)
            for method in service.methods
        }

    async def handle(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """One stream, from Hello to its end."""
        try:
            if self._draining:
                raise Refusal(DRAINING.reason, DRAINING.message)
            if self._places >= self.limits.sessions:
                raise Refusal(ErrorReason.ERROR_REASON_OVERLOADED, "too many sessions")
            principal = self._principals.of(context)
        except Refusal as refusal:
            await abort(context, refused(refusal))
            return
        self._places += 1
        try:
            hello = await read_hello(context)
            if self._draining:
                raise Refusal(DRAINING.reason, DRAINING.message)
            stream = Stream(self.services, self.hub, self.limits, principal, hello.near_cache, context)
            self._streams.add(stream)
            self._replace_near(principal, hello.client_id, stream.near)
            try:
                terms = self.hub.terms
                near = hello.near_cache
                await stream.run(welcome(self.services.catalog, self.limits, terms.lease_ms, near=near))
            finally:
                self._streams.discard(stream)
        except Refusal as refusal:
            await abort(context, refused(refusal))
        except (AbortError, grpc.aio.UsageError):  # it was ended already: by us, or with the server
            raise
        except Exception as error:  # noqa: BLE001 - the edge: no text of an exception may leave
            await abort(context, INCIDENTS.note(error))
        finally:
            self._places -= 1

    def _replace_near(self, principal: Principal, client_id: bytes, near: NearSession | None) -> None:
        """A client that says hello again has emptied its near cache before: nobody waits for the one it had."""
        name = (principal.name, client_id)
        before = self._near.pop(name, None)
        if before is not None:
            before.close(dropped=True)
        if near is not None:
            self._near[name] = near

    async def drain(self, grace_ms: int) -> None:
        """Refuse new streams, ask the others to move, return when all have ended."""
        self._draining = True
        while self._streams:
            for stream in self._streams:
                stream.move(grace_ms)
            await asyncio.wait([stream.ended for stream in self._streams], return_when=asyncio.FIRST_COMPLETED)


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
        self._window = Window(self._room.set)
        self._frames = Frames(
            services, principal, self._send_queue, self._window, self.near, limits.window, limits.message_bytes
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
                    await self._frames.finish()
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
                await self._frames.close()
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
        window, send_queue = self._window, self._send_queue
        most_operations, most_bytes = self._limits.window, self._limits.window_bytes
        while not writer.done():
            data = await self._context.read()
            if not isinstance(data, bytes):
                return None
            arrived_s = None if self.near is None else self._hub.now_s()
            try:
                message = decode_message(data, most_operations)
                if isinstance(message, AskedFrame):
                    self._frames.start(message, window.add(message.items, len(data)))
                else:
                    self._take(message)
                if self.near is not None and message.asked_at_ms > 0:
                    self._extend(self.near, message.asked_at_ms, arrived_s)
            except Refusal as refusal:
                return refused(refusal)
            while not writer.done() and (
                window.operations >= most_operations
                or window.size_bytes >= most_bytes
                or send_queue.queued_bytes >= most_bytes
            ):
                self._room.clear()
                await wait_alive(self._room, send_queue)
        return None

    def _take(self, message: session_pb.SessionRequest) -> None:
        kind = message.WhichOneof("message")
        near = self.near
        if kind == "push_ack":
            if near is not None:
                near.acknowledge(message.push_ack.sequence)
        elif kind == "cancel":
            if len(message.cancel.ids) > MOST_CANCELLED:
                raise Refusal(_INVALID, f"a message cancels at most {MOST_CANCELLED} operations", field="cancel.ids")
            self._frames.cancel(message.cancel.ids)
        elif kind == "heartbeat":
            self._count(message.heartbeat)
        elif kind == "ping":
            say_alive(self._send_queue)
        elif kind == "goodbye":
            if near is not None:
                near.close(dropped=True)
        elif kind == "hello":
            raise Refusal(_INVALID, "hello is said once", field="hello")
        else:
            raise Refusal(_INVALID, "a message of this protocol is required")

    def _extend(self, near: NearSession, asked_at_ms: int, arrived_s: float | None) -> None:
        extension = near.extend(asked_at_ms, arrived_s=arrived_s)
        if extension is not None:
            told = session_pb.LeaseExtension(counted_from_ms=extension.counted_from_ms, lease_ms=extension.lease_ms)
            self._send_queue.say(session_pb.SessionResponse(extension=told))

    def _count(self, heartbeat: session_pb.Heartbeat) -> None:
        services = self._services
        counted: dict[str, int] = {}
        told = heartbeat.near_cache_hits
        for name, domain in services.catalog.domains.items():  # not the names that are told, which may be millions
            if name in told:
                with contextlib.suppress(Refusal):
                    services.access.check(self._principal, domain, Action.READ)
                    counted[name] = min(told[name], MOST_HITS)
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
