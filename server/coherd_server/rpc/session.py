"""`coherd.v1.SessionService`: the streams of a process, one per client (DESIGN sections 4 and 7)."""

from __future__ import annotations

import asyncio
import contextlib
import random
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

import grpc.aio
import structlog

from coherd.contract.declared import NearCacheMode
from coherd.contract.reasons import Refusal
from coherd.v1 import session_pb2 as pb
from coherd.v1.annotations_pb2 import NearCache
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.domain.access import Action, Principal
from coherd_server.domain.failure import Failure, refused
from coherd_server.domain.near.hub import Hub
from coherd_server.domain.near.session import NearSession, Push
from coherd_server.rpc.endpoint import DRAINING, abort, parse
from coherd_server.rpc.operations import Operations, Services
from coherd_server.rpc.outbox import Outbox
from coherd_server.rpc.principals import Principals
from coherd_server.rpc.types import Context

PROTOCOL: Final = 1
CLIENT_ID_BYTES: Final = 16
HELLO_TIMEOUT_S: Final = 10.0
_MODES: Final = {NearCacheMode.PUSH: NearCache.NEAR_CACHE_PUSH, NearCacheMode.STRICT: NearCache.NEAR_CACHE_STRICT}
_log = structlog.get_logger("coherd.session")


@dataclass(frozen=True, slots=True)
class SessionLimits:
    """Bounds of the streams of a process."""

    sessions: int = 10_000
    """Most streams; more are refused as OVERLOADED."""
    window: int = 8_192
    """Unanswered operations of one stream above which nothing more is read of it."""
    window_bytes: int = 8 << 20
    """The same in bytes of requests; and in bytes of answers that the client has not taken yet."""
    age_ms: int | None = None
    """A stream is asked to move after about this time: a port shared by processes pins connections. None: never."""


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
        self._streams: set[Stream] = set()
        self._draining = False

    async def handle(self, requests: AsyncIterator[bytes], context: Context) -> None:
        """One stream, from Hello to its end."""
        try:
            if self._draining:
                raise Refusal(DRAINING.reason, DRAINING.message)
            if len(self._streams) >= self.limits.sessions:
                raise Refusal(ErrorReason.ERROR_REASON_OVERLOADED, "too many sessions")
            principal = self._principals.of(context)
            hello = await _hello(context)
            stream = Stream(self, principal, hello, context)
        except Refusal as refusal:
            await abort(context, refused(refusal))
            return
        self._streams.add(stream)
        try:
            await stream.run()
        finally:
            self._streams.discard(stream)

    async def drain(self, grace_ms: int) -> None:
        """Refuse new streams, ask the others to move, return when all have ended."""
        self._draining = True
        while self._streams:
            for stream in self._streams:
                stream.move(grace_ms)
            await asyncio.wait([stream.ended for stream in self._streams], return_when=asyncio.FIRST_COMPLETED)

    def welcome(self, *, near: bool) -> pb.Welcome:
        """What a stream is told first."""
        domains = self.services.catalog.domains.values() if near else ()
        return pb.Welcome(
            protocol=PROTOCOL,
            session_id=secrets.token_bytes(16),
            window=self.limits.window,
            window_bytes=self.limits.window_bytes,
            near_cache_lease_ms=self.hub.terms.lease_ms,
            near_caches=[
                pb.NearCacheDomain(
                    domain=domain.name,
                    mode=_MODES[domain.near_cache],
                    tags=sorted(domain.tags),
                    any_tags=sorted(domain.any_tags),
                )
                for domain in domains
                if domain.near_cache is not NearCacheMode.OFF
            ],
        )


async def _hello(context: Context) -> pb.Hello:
    """The first message of a stream.

    Raises:
        Refusal: it is none, or does not come in time.
    """
    invalid = ErrorReason.ERROR_REASON_REQUEST_INVALID
    try:
        async with asyncio.timeout(HELLO_TIMEOUT_S):
            data = await context.read()
    except TimeoutError:
        raise Refusal(invalid, "a session begins with hello", field="hello") from None
    message = parse(pb.SessionRequest, data) if isinstance(data, bytes) else pb.SessionRequest()
    if message.WhichOneof("message") != "hello":
        raise Refusal(invalid, "a session begins with hello", field="hello")
    if message.hello.protocol != PROTOCOL:
        raise Refusal(invalid, f"protocol {PROTOCOL} is spoken here", field="hello.protocol")
    if len(message.hello.client_id) != CLIENT_ID_BYTES:
        raise Refusal(invalid, f"a client id has {CLIENT_ID_BYTES} bytes", field="hello.client_id")
    return message.hello


class Stream:
    """One session. Reads until too much is unanswered, answers as things are done."""

    def __init__(self, sessions: Sessions, principal: Principal, hello: pb.Hello, context: Context) -> None:
        self._sessions = sessions
        self._principal = principal
        self._context = context
        self._room = asyncio.Event()
        self._moving = False
        self._outbox = Outbox(self._room.set)
        self._near: NearSession | None = sessions.hub.open(self._push) if hello.near_cache else None
        self._operations = Operations(sessions.services, principal, self._outbox, self._near, self._room.set)
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def run(self) -> None:
        """Until the client ends it, or the connection does."""
        self._outbox.say(pb.SessionResponse(welcome=self._sessions.welcome(near=self._near is not None)))
        writer = asyncio.create_task(self._outbox.write(self._context.write))
        writer.add_done_callback(lambda _: self._room.set())
        age_ms = self._sessions.limits.age_ms
        mover = age_ms and asyncio.get_running_loop().call_later(
            age_ms * (0.8 + 0.4 * random.random()) / 1000, self.move, age_ms // 4
        )
        emptied = False
        try:
            failure = await self._read(writer)
            emptied = True  # the client ended it, and drops what it keeps before it does
            if failure is None:
                await self._operations.finish()
                self._outbox.end()
                await writer
        finally:
            if mover:
                mover.cancel()
            writer.cancel()
            if self._near is not None:
                self._near.close(dropped=emptied)
            await self._operations.close()
            with contextlib.suppress(asyncio.CancelledError, grpc.aio.BaseError):
                await writer
            self.ended.set_result(None)
        if failure is not None:
            await abort(self._context, failure)

    async def _read(self, writer: asyncio.Task[None]) -> Failure | None:
        """Take messages until the client says no more; what was wrong, if something was."""
        limits = self._sessions.limits
        now_s = self._sessions.hub.now_s
        operations, outbox = self._operations, self._outbox
        while not writer.done():
            data = await self._context.read()
            if not isinstance(data, bytes):
                return None
            try:
                self._take(parse(pb.SessionRequest, data), len(data), now_s())
            except Refusal as refusal:
                return refused(refusal)
            while not writer.done() and (
                operations.unanswered >= limits.window
                or operations.unanswered_bytes >= limits.window_bytes
                or outbox.queued_bytes >= limits.window_bytes
            ):
                self._room.clear()
                await self._room.wait()
        return None

    def _take(self, message: pb.SessionRequest, size_bytes: int, arrived_s: float) -> None:
        kind = message.WhichOneof("message")
        near = self._near
        if kind == "frame":
            self._operations.start(message.frame, size_bytes)
        elif kind == "push_ack":
            if near is not None:
                near.acknowledge(message.push_ack.sequence)
        elif kind == "cancel":
            self._operations.cancel(message.cancel.ids)
        elif kind == "heartbeat":
            self._count(message.heartbeat)
        elif kind == "hello":
            raise Refusal(ErrorReason.ERROR_REASON_REQUEST_INVALID, "hello is said once", field="hello")
        else:
            raise Refusal(ErrorReason.ERROR_REASON_REQUEST_INVALID, "a message of this protocol is required")
        if near is not None and message.asked_at_ms > 0:
            extension = near.extend(message.asked_at_ms, arrived_s=arrived_s)
            if extension is not None:
                self._outbox.say(
                    pb.SessionResponse(
                        extension=pb.LeaseExtension(
                            counted_from_ms=extension.counted_from_ms, lease_ms=extension.lease_ms
                        )
                    )
                )

    def _count(self, heartbeat: pb.Heartbeat) -> None:
        services = self._sessions.services
        counted: dict[str, int] = {}
        for name, hits in heartbeat.near_cache_hits.items():
            with contextlib.suppress(Refusal):
                services.access.check(self._principal, services.catalog.domain(name), Action.READ)
                counted[name] = hits
        self._sessions.hub.count_hits(counted)

    def _push(self, push: Push) -> None:
        frame = pb.PushFrame(sequence=push.sequence, keys=push.keys, tags=push.tags, flush=push.flush)
        self._outbox.say(pb.SessionResponse(push=frame))

    def move(self, grace_ms: int) -> None:
        """Ask the client to open a session elsewhere and end this one; once."""
        if not self._moving:
            self._moving = True
            drain = pb.Drain(reason=ErrorReason.ERROR_REASON_DRAINING, grace_ms=grace_ms)
            self._outbox.say(pb.SessionResponse(drain=drain))
