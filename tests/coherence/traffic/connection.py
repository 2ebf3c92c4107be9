"""Whether two calls of a channel went over one connection: what arrives in order on it does not on two."""

from __future__ import annotations

import asyncio

import grpc
import grpc.aio


class Connection:
    """Of one channel, watched from now on. Lives on one event loop.

    Args:
        channel: to one server.
    """

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._channel = channel
        self._changes = 0
        self._watcher = asyncio.create_task(self._watch())

    @property
    def number(self) -> int | None:
        """The same as before: nothing was lost meanwhile. None: there is no connection now."""
        ready = self._channel.get_state() is grpc.ChannelConnectivity.READY
        return self._changes if ready else None

    async def _watch(self) -> None:
        while True:
            await self._channel.wait_for_state_change(self._channel.get_state())
            self._changes += 1

    async def close(self) -> None:
        """Watch no longer; before the channel is closed."""
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
