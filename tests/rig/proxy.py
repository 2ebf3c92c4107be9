"""A TCP proxy on loopback that delays, stalls and cuts."""

from __future__ import annotations

import asyncio
from types import TracebackType


class FaultProxy:
    """``async with FaultProxy(port) as proxy``: connect to ``proxy.port``; set the fields at any time.

    Faults act on what passes from now on; connections are made to the server when one is made to the proxy.
    """

    def __init__(self, target_port: int) -> None:
        self._target_port = target_port
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._writers: set[asyncio.StreamWriter] = set()
        self.port = 0
        self.reply_delay_s = 0.0
        """Every piece of a reply waits that long."""
        self._passing = asyncio.Event()
        self._passing.set()
        self.request_hold: asyncio.Event | None = None
        """Requests wait for it, then go on: late copies of commands."""
        self.reply_hold: asyncio.Event | None = None
        """Replies wait for it, then go on, while requests pass: a client that hears nothing."""
        self.connections = 0
        """Connections accepted so far."""

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}"

    @property
    def half_open(self) -> bool:
        """Nothing passes in either direction, nothing is closed."""
        return not self._passing.is_set()

    @half_open.setter
    def half_open(self, value: bool) -> None:
        (self._passing.clear if value else self._passing.set)()

    async def __aenter__(self) -> FaultProxy:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._server is not None
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self.cut()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            up_reader, up_writer = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.transport.abort()
            return
        self._writers |= {writer, up_writer}
        for pump in (self._pump(reader, up_writer, reply=False), self._pump(up_reader, writer, reply=True)):
            task = asyncio.create_task(pump)
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, reply: bool) -> None:
        try:
            while data := await reader.read(65_536):
                if reply and self.reply_delay_s:
                    await asyncio.sleep(self.reply_delay_s)
                if not reply and self.request_hold is not None:
                    await self.request_hold.wait()
                if reply and self.reply_hold is not None:
                    await self.reply_hold.wait()
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        except ConnectionError:
            pass
        finally:
            writer.close()
