"""The desk of each event loop: one client serves several loops, and forked children with loops of their own."""

from __future__ import annotations

import asyncio

from coherd._loading.desk import Desk
from coherd._loading.policy import LoadLimits
from coherd._rpc.protocol import Transport
from coherd.errors import ClientClosed


class Desks:
    """Hands out the desk of the running loop.

    Args:
        transport: carries the requests.
        limits: of each loop.
    """

    def __init__(self, transport: Transport, limits: LoadLimits) -> None:
        self._transport = transport
        self._limits = limits
        self._by_loop: dict[asyncio.AbstractEventLoop, Desk] = {}
        self._closed = False

    def current(self) -> Desk:
        """The desk of the running loop.

        Raises:
            ClientClosed: the client is closed.
        """
        if self._closed:
            raise ClientClosed("the client is closed")
        loop = asyncio.get_running_loop()
        desk = self._by_loop.get(loop)
        if desk is None:
            for ended in [other for other in list(self._by_loop) if other.is_closed()]:
                self._by_loop.pop(ended, None)
            desk = self._by_loop[loop] = Desk(self._transport, self._limits)
        return desk

    async def close(self) -> None:
        """End the running loop's loads; those of other loops end with their callers' calls."""
        self._closed = True
        desk = self._by_loop.pop(asyncio.get_running_loop(), None)
        self._by_loop.clear()
        if desk is not None:
            await desk.close()
