"""A proxy for late copies of commands: it can hold what a caller sends, hang up on the caller, and deliver later."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from types import TracebackType


class LateProxy:
    """``async with LateProxy(port) as proxy``: connect to ``proxy.port``."""

    def __init__(self, target_port: int) -> None:
        self.target_port = target_port
        """Of the store behind it; a change is for new connections."""
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[None]] = set()
        self._callers: set[asyncio.StreamWriter] = set()
        self._open = asyncio.Event()
        self._open.set()
        self.port = 0
        self.holds = asyncio.Event()
        """Something waits."""
        self.match = b""
        """Only pieces that contain this are held."""

    @property
    def url(self) -> str:
        """Of the store behind it."""
        return f"redis://127.0.0.1:{self.port}"

    def hold(self, match: bytes) -> None:
        """Hold what matches from now on."""
        self.match = match
        self.holds.clear()
        self._open.clear()

    def hang_up(self) -> None:
        """Reset the callers' side of every connection; what is held still arrives at the store."""
        for writer in self._callers:
            writer.transport.abort()
        self._callers.clear()

    def release(self) -> None:
        """Deliver what is held."""
        self._open.set()

    async def __aenter__(self) -> LateProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for pump in self._pumps:
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self.target_port)
        except OSError:
            writer.transport.abort()
            return
        self._callers.add(writer)
        for pump in (self._requests(reader, up_writer), self._replies(up_reader, writer)):
            task = asyncio.create_task(pump)
            self._pumps.add(task)
            task.add_done_callback(self._pumps.discard)

    async def _requests(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                if not self._open.is_set() and self.match in data:
                    self.holds.set()
                    await self._open.wait()
                writer.write(data)
        writer.close()

    async def _replies(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()
