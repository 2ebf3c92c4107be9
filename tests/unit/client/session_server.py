"""A real `grpc.aio` server whose sessions are played by the test, beside the unary calls of `FakeServer`."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc
from fake_server import FakeServer

from coherd import CacheClient, OpenKey
from coherd._rpc.session_link import SessionLink
from coherd._rpc.session_transport import SessionTransport
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import session_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason
from rig.frames import Answer, Asked, answer_frame, asked_in

WAIT_S = 60.0
KEY = OpenKey("celery", "own", {"id": "1"})
NEAR_KEY = OpenKey("content", "topics", {"user": "u1"})
NEAR = pb.Welcome(
    protocol=2,
    near_cache_lease_ms=60_000,
    near_caches=[pb.NearCacheDomain(domain="content", mode="NEAR_CACHE_PUSH", tags=["user"])],
)
JSON = KEY.codec


class PlayedSession:
    """One stream that a client opened. The test reads and answers."""

    def __init__(self, hello: pb.Hello, context: Any) -> None:
        self.hello = hello
        self.peer: str = context.peer()
        self.messages: list[pb.SessionRequest] = []
        """All that came."""
        self.half_closed = asyncio.Event()
        """The client says no more."""
        self.gone = asyncio.Event()
        """The stream is over."""
        self.reads = asyncio.Event()
        """While it is clear nothing is read."""
        self.reads.set()
        self._context = context
        self._came: asyncio.Queue[pb.SessionRequest] = asyncio.Queue()
        self._end: asyncio.Future[tuple[grpc.StatusCode, Any]] = asyncio.get_running_loop().create_future()

    async def next(self, kind: str) -> Any:
        """The next message of a kind; others before it are passed over."""
        async with asyncio.timeout(WAIT_S):
            while True:
                message = await self._came.get()
                if message.WhichOneof("message") == kind:
                    return getattr(message, kind)

    async def operations(self, number: int) -> list[Asked]:
        """The next operations, of as many frames as they come in."""
        found: list[Asked] = []
        while len(found) < number:
            found += asked_in(await self.next("frame"))
        return found

    async def say(self, **message: Any) -> None:
        """Send a message."""
        await self.say_bytes(pb.SessionResponse(**message).SerializeToString())

    async def say_bytes(self, data: bytes) -> None:
        """Send anything."""
        await self._context.write(data)

    async def answer(self, *results: Answer) -> None:
        """Send results in one frame."""
        await self.say(frame=answer_frame(results))

    @property
    def asked(self) -> list[Asked]:
        """All that came in frames."""
        return [one for message in self.messages for one in asked_in(message.frame)]

    def end(self, code: grpc.StatusCode = grpc.StatusCode.OK, trailing: Any = ()) -> None:
        """End the stream."""
        if not self._end.done():
            self._end.set_result((code, trailing))

    async def run(self) -> None:
        reader = asyncio.create_task(self._read())
        try:
            code, trailing = await self._end
            if code is not grpc.StatusCode.OK:
                await self._context.abort(code, "played", trailing)
        finally:
            self.gone.set()
            reader.cancel()

    async def _read(self) -> None:
        while True:
            await self.reads.wait()
            data = await self._context.read()
            if not isinstance(data, bytes):
                self.half_closed.set()
                self.end()
                return
            message = pb.SessionRequest.FromString(data)
            self.messages.append(message)
            self._came.put_nowait(message)


class SessionServer(FakeServer):
    """Use as an async context manager."""

    def __init__(self, welcome: pb.Welcome | None = None) -> None:
        sessions = {"Session": grpc.stream_stream_rpc_method_handler(self._session)}
        handler = grpc.method_handlers_generic_handler("coherd.v1.SessionService", sessions)
        super().__init__(extra_handlers=[handler])
        self.welcome = welcome or pb.Welcome(protocol=2)
        self.silent = False
        """It does not welcome."""
        self.refuses: grpc.StatusCode | None = None
        self.dials = 0
        self._opened: asyncio.Queue[PlayedSession] = asyncio.Queue()

    async def opened(self) -> PlayedSession:
        """The next stream that is opened."""
        async with asyncio.timeout(WAIT_S):
            return await self._opened.get()

    async def _session(self, requests: Any, context: Any) -> None:
        self.dials += 1
        if self.refuses is not None:
            await context.abort(self.refuses, "played")
        hello = pb.SessionRequest.FromString(await context.read())
        assert hello.WhichOneof("message") == "hello"
        session = PlayedSession(hello.hello, context)
        if not self.silent:
            await session.say(welcome=self.welcome)
        self._opened.put_nowait(session)
        await session.run()


def hit(operation: Asked, value: object = 7, **fields: Any) -> Answer:
    """The answer to a get."""
    found = wire.Hit(value=JSON.encode(value), remaining_ttl_ms=60_000, **fields)
    return Answer(operation.id, "get", wire.GetResponse(hit=found))


def stored(operation: Asked) -> Answer:
    """The answer to a set."""
    return Answer(operation.id, "set", wire.SetResponse(outcome=wire.SET_OUTCOME_STORED, ttl_ms=1_000))


def failed(operation: Asked, reason: ErrorReason = ErrorReason.ERROR_REASON_INTERNAL) -> Answer:
    """An error."""
    return Answer(operation.id, "error", wire.ItemError(reason=reason, message="played"))


def link_of(cache: CacheClient) -> SessionLink:
    transport = cache._transport
    assert isinstance(transport, SessionTransport)
    return transport._links.current()


async def answered(session: PlayedSession, cache: CacheClient, key: OpenKey = KEY) -> None:
    """A get over this session."""
    get = asyncio.create_task(cache.get(key))
    [operation] = await session.operations(1)
    await session.answer(hit(operation))
    assert await get == 7


async def opened(server: SessionServer, cache: CacheClient) -> PlayedSession:
    """The session of the first get."""
    first = asyncio.create_task(cache.get(KEY))
    session = await server.opened()
    [operation] = await session.operations(1)
    await session.answer(hit(operation))
    assert await first == 7
    return session
