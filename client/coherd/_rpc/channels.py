"""One channel per process and event loop, made when first needed; see `coherd._rpc.forks`."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any, Final

import grpc.aio

from coherd._rpc import forks
from coherd.contract.reasons import Retry
from coherd.errors import Unavailable

LET_GO_TIMEOUT_S: Final = 0.5
"""Longest a fork waits for the event loop of another thread."""


MAX_CALLS: Final = 500
MAX_WAITS: Final = 1_000
"""Concurrent calls of a connection, together below the service's limit: what exceeds that is lost without a reason."""


class Connection:
    """A channel with its callables."""

    __slots__ = ("calls", "channel", "in_flight", "places", "waits")

    def __init__(self, channel: grpc.aio.Channel, calls: dict[str, Any]) -> None:
        self.channel = channel
        self.calls = calls
        """Callable of each rpc, by name."""
        self.in_flight = 0
        """Calls that use the channel now."""
        self.places = asyncio.Semaphore(MAX_CALLS)
        self.waits = asyncio.Semaphore(MAX_WAITS)
        """For calls that the service holds until somebody else's load ends: they must not keep out what ends it."""

    async def ready(self, timeout_s: float) -> bool:
        """Waits until the channel is connected, or connecting has failed; True if it is connected.

        After True, a lost connection means that a request may have arrived; before, that it surely did not.

        Raises:
            Unavailable: it took longer than this.
        """
        try:
            async with asyncio.timeout(timeout_s):
                state = self.channel.get_state(try_to_connect=True)
                while state is not grpc.ChannelConnectivity.READY:
                    if state is grpc.ChannelConnectivity.TRANSIENT_FAILURE:
                        return False
                    await self.channel.wait_for_state_change(state)
                    state = self.channel.get_state(try_to_connect=True)
                return True
        except TimeoutError:
            raise Unavailable("no connection to the service within the time limit", retry=Retry.SAFE) from None


class LoopChannels:
    """Hands out the connection of the running event loop in this process."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect
        self._by_loop: dict[asyncio.AbstractEventLoop, Connection] = {}
        forks.watch(self)

    def current(self) -> Connection:
        """The connection of the running loop; made if there is none. Does no I/O.

        Raises:
            Unavailable: this process was forked during a call of its parent.
        """
        forks.check_usable()
        loop = asyncio.get_running_loop()
        connection = self._by_loop.get(loop)
        if connection is None:
            for ended in [other for other in list(self._by_loop) if other.is_closed()]:
                self._by_loop.pop(ended, None)
            connection = self._by_loop[loop] = self._connect()
        return connection

    async def close(self) -> None:
        """Ends the running loop's calls; channels of other loops end with their last call."""
        own = self._by_loop.pop(asyncio.get_running_loop(), None)
        self._by_loop.clear()
        if own is not None:
            await own.channel.close(None)

    def let_go(self) -> bool:
        """Before a fork: drops what is idle. Loops that run in other threads do so themselves, if they are quick."""
        here = _running_loop()
        loops = list(self._by_loop)
        for loop in loops:
            if loop is here or not loop.is_running():
                self._drop_idle(loop)
                continue
            done = threading.Event()
            try:
                loop.call_soon_threadsafe(self._drop_idle, loop, done)
            except RuntimeError:  # it was closed just now
                continue
            done.wait(LET_GO_TIMEOUT_S)
        return bool(loops)

    def _drop_idle(self, loop: asyncio.AbstractEventLoop, done: threading.Event | None = None) -> None:
        connection = self._by_loop.get(loop)
        if connection is not None and not connection.in_flight:
            del self._by_loop[loop], connection
        if done is not None:
            done.set()

    def forget(self) -> list[object]:
        """After a fork, in the child: starts with none."""
        held: list[object] = list(self._by_loop.values())
        self._by_loop.clear()
        return held


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
