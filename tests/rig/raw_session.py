"""A session as bytes on the wire, without our client: for tests of what the server makes of any client."""

from __future__ import annotations

import asyncio
import itertools
import os
from types import TracebackType
from typing import Any

import grpc
import grpc.aio

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb
from rig.calls import Problem, problem_in, text_key
from rig.frames import Answer, Asked, answers_in, frame_of

WAIT_S = 60.0
PATH = "/coherd.v1.SessionService/Session"
OPTIONS = (
    ("grpc.use_local_subchannel_pool", 1),
    ("grpc.max_receive_message_length", -1),
    ("grpc.max_send_message_length", -1),
)


class RawSession:
    """``async with RawSession(target) as session``: a stream that was welcomed, on a connection of its own.

    Args:
        target: of the server.
        token: bearer token.
        hello: said first, as it is; default: a good one.
        near_cache: of the good one.
        options: further channel options.
    """

    def __init__(
        self,
        target: str,
        *,
        token: str | None = None,
        hello: session_pb.SessionRequest | bytes | None = None,
        near_cache: bool = False,
        options: tuple[tuple[str, Any], ...] = (),
    ) -> None:
        self.welcome = session_pb.Welcome()
        self.messages: list[session_pb.SessionResponse] = []
        """All that came after the welcome."""
        good = session_pb.SessionRequest(
            hello=session_pb.Hello(protocol=2, client_id=os.urandom(16), near_cache=near_cache)
        )
        self._hello = good if hello is None else hello
        self._channel = grpc.aio.insecure_channel(target, (*OPTIONS, *options))
        metadata = (("authorization", f"Bearer {token}"),) if token else None
        self.call: Any = self._channel.stream_stream(PATH)(metadata=metadata)
        self._ids = itertools.count(1)
        self._answers: dict[int, Answer] = {}

    async def __aenter__(self) -> RawSession:
        await self.say(self._hello)
        message = await self.read()
        assert message is not None
        self.welcome = message.welcome
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.call.cancel()
        await self._channel.close(None)

    async def say(self, message: session_pb.SessionRequest | bytes) -> None:
        """Send a message."""
        await self.call.write(message if isinstance(message, bytes) else message.SerializeToString())

    async def read(self) -> session_pb.SessionResponse | None:
        """The next message; None at the end."""
        data = await asyncio.wait_for(self.call.read(), WAIT_S)
        if not isinstance(data, bytes):
            return None
        message = session_pb.SessionResponse.FromString(data)
        self.messages.append(message)
        for result in answers_in(message.frame):
            assert result.id not in self._answers, "answered twice"
            self._answers[result.id] = result
        return message

    async def next(self, kind: str) -> Any:
        """The next message of a kind; others before it are passed over."""
        while (message := await self.read()) is not None:
            if message.WhichOneof("message") == kind:
                return getattr(message, kind)
        raise AssertionError(f"the stream ended without {kind}")

    def operation(self, *, timeout_ms: int = 0, **request: Any) -> Asked:
        """An operation, get or set with an id of its own."""
        [(kind, message)] = request.items() or [(None, None)]
        return Asked(next(self._ids), kind, message, timeout_ms)

    async def send(self, *operations: Asked) -> None:
        """Send operations in one frame."""
        await self.say(session_pb.SessionRequest(frame=frame_of(operations)))

    async def answers(self, *operations: Asked) -> list[Answer]:
        """The answers to operations that were sent."""
        while not all(one.id in self._answers for one in operations):
            if await self.read() is None:
                raise AssertionError("the stream ended without the answers")
        return [self._answers[one.id] for one in operations]

    def is_answered(self, operation: Asked) -> bool:
        """Whether its answer was among what was read."""
        return operation.id in self._answers

    async def ask(self, *operations: Asked) -> list[Answer]:
        """Send operations in one frame; their answers."""
        await self.send(*operations)
        return await self.answers(*operations)

    def get(self, key: str, **fields: Any) -> Asked:
        """A get."""
        return self.operation(get=pb.GetRequest(key=text_key(key)), **fields)

    def set(self, key: str, value: bytes = b"v", **fields: Any) -> Asked:
        """A set."""
        return self.operation(set=pb.SetRequest(key=text_key(key), value=value), **fields)

    async def end(self) -> list[session_pb.SessionResponse]:
        """Say no more; what still comes until the server ends the stream."""
        await self.call.done_writing()
        rest = []
        while (message := await self.read()) is not None:
            rest.append(message)
        return rest

    async def problem(self) -> Problem:
        """What the server ends the stream with."""
        try:
            while await self.read() is not None:
                pass
        except grpc.aio.AioRpcError as error:
            return problem_in(error)
        raise AssertionError("it ended well")


async def refused(target: str, **options: Any) -> Problem:
    """The problem of a session that must not be welcomed.

    When the hello meets the refusal on its way (about one in twenty), grpc.aio replaces the status with one of its own,
    and what the server said is gone; only then it is asked again.
    """
    for _ in range(20):
        problem = await _refused_once(target, **options)
        if (problem.code, problem.message) != ("INTERNAL", "Internal error from Core"):
            return problem
    raise AssertionError("grpc.aio hid what the server said each time")


async def _refused_once(target: str, **options: Any) -> Problem:
    session = RawSession(target, **options)
    try:
        async with session:
            raise AssertionError("it was welcomed")
    except grpc.aio.AioRpcError as error:
        return problem_in(error)
    except asyncio.InvalidStateError:  # it was refused before hello was sent
        return problem_in(
            grpc.aio.AioRpcError(
                await session.call.code(),
                grpc.aio.Metadata(),
                await session.call.trailing_metadata(),
                await session.call.details(),
            )
        )
    finally:
        await session.__aexit__(None, None, None)
