"""Keeps one event loop connected: opens its session, opens another when that breaks or is asked to move."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from contextvars import Context
from typing import Any, Final

import grpc.aio

from coherd._near import NearCache, Turns
from coherd._rpc.guard import Guard
from coherd._rpc.session_opening import open_stream
from coherd._rpc.session_stream import SessionStream
from coherd.errors import CacheError, NotServed

DIAL_TIMEOUT_S: Final = 2.0
FIRST_PAUSE_S: Final = 0.1
LONGEST_PAUSE_S: Final = 5.0
UNREACHED_PAUSE_S: Final = 0.5
"""Longest pause where nothing could be connected to: when it is back it is to be used soon."""
NOT_SERVED_PAUSE_S: Final = 60.0
"""Where the service, or something before it, knows no sessions."""
LONGEST_WAIT_S: Final = 1.0
"""Longest an operation waits for a session that is being opened; then it goes as a unary call."""
MOVE_TIMEOUT_S: Final = 60.0
"""Longest a session that is asked to move stays for what is not answered; the server ends it earlier."""


class SessionLink:
    """The session of one event loop (`coherd._rpc.forks.Connected`), and those before it that still have answers to
    come.

    Args:
        connect: makes a channel of a connection of its own.
        metadata: sent with each session.
        client_id: of the near cache; a session that says it again tells the server that it was emptied.
        near: near cache of this loop; None: none.
        silence_ms: see `SessionStream`.
        on_silent: called when a session was ended since its server gave no sign of life.
        guard: of this loop's calls.
    """

    def __init__(
        self,
        connect: Callable[[], grpc.aio.Channel],
        metadata: Any,
        client_id: bytes,
        near: NearCache | None,
        silence_ms: int,
        on_silent: Callable[[], None],
        guard: Guard,
    ) -> None:
        self.guard = guard
        self.stream: SessionStream | None = None
        """The open session, if there is one."""
        self.near = near
        self.turns = Turns(asyncio.get_running_loop().call_soon)
        """Of its event loop."""
        self._connect = connect
        self._metadata = metadata
        self._client_id = client_id
        self._silence_ms = silence_ms
        self._on_silent = on_silent
        self._dialing: asyncio.Task[None] | None = None
        self._failures = 0
        self._not_before_s = 0.0
        self._streams: set[SessionStream] = set()
        """All that are not closed yet."""
        self._leaving: set[asyncio.Task[None]] = set()
        self._closed = False
        self._closing: asyncio.Task[None] | None = None

    @property
    def ends_in_loop(self) -> bool:
        """Whether its loop must run to end it: a session is ended by a call."""
        return True

    @property
    def is_connected(self) -> bool:
        """Whether there are channels."""
        return bool(self._streams) or self._dialing is not None

    @property
    def in_use(self) -> bool:
        """Whether something is not answered yet, or a session is being opened for it."""
        return self._dialing is not None or any(stream.in_flight for stream in self._streams)

    async def ready(self, timeout_s: float) -> SessionStream | None:
        """The session, opened if need be; None: there is none now, and a unary call is the way.

        Waits for one that is being opened only if the last attempt did well: where sessions are not possible, calls are
        not held up again and again.
        """
        if self.stream is None and not self._closed:
            loop = asyncio.get_running_loop()
            if self._dialing is None:
                if loop.time() < self._not_before_s:
                    return None
                # What lives as long as the session has no context of the first caller's.
                self._dialing = loop.create_task(self._dial(), context=Context())
            if not self._failures:
                await asyncio.wait([self._dialing], timeout=min(timeout_s / 2, LONGEST_WAIT_S))
        return self.stream

    async def _dial(self) -> None:
        pause_s = min(FIRST_PAUSE_S * 2.0**self._failures, LONGEST_PAUSE_S)
        channel: grpc.aio.Channel | None = None
        try:
            channel = self._connect()
            stream = await open_stream(
                channel,
                self._metadata,
                self._client_id,
                self.near,
                self._ended,
                DIAL_TIMEOUT_S,
                self._silence_ms,
            )
            channel = None
            self.stream = stream
            self._streams.add(stream)
            self._failures = 0
        except CacheError as error:
            if isinstance(error, NotServed):
                pause_s = NOT_SERVED_PAUSE_S
            elif channel is not None and channel.get_state() is not grpc.ChannelConnectivity.READY:
                pause_s = min(pause_s, UNREACHED_PAUSE_S)
        finally:
            if self.stream is None:
                self._failures = min(self._failures + 1, 16)
                self._not_before_s = asyncio.get_running_loop().time() + pause_s * (0.5 + random.random())
            try:
                if channel is not None:
                    await channel.close(None)
            finally:
                self._dialing = None

    def _ended(self, stream: SessionStream) -> None:
        """A stream takes no more operations: what it has not answered is waited for, then it is closed."""
        if self.stream is stream:
            self.stream = None
        if stream.is_silent:
            self._on_silent()
        if not self._closed:
            task = asyncio.get_running_loop().create_task(self._leave(stream), context=Context())
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _leave(self, stream: SessionStream) -> None:
        await stream.finish(MOVE_TIMEOUT_S)
        self._streams.discard(stream)

    def close_soon(self) -> None:
        """Begin to close it, in its own event loop."""
        self._closing = asyncio.get_running_loop().create_task(self.close())

    async def close(self) -> None:
        """End the session; what is not answered fails. Safe to repeat."""
        self._closed = True
        self.stream = None
        ending = [*self._leaving, *([self._dialing] if self._dialing is not None else [])]
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        await asyncio.gather(*(stream.close() for stream in self._streams))
        self._streams.clear()
        self._dialing = None
