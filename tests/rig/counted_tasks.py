"""`coherd serve` that says on SIGUSR1 how many tasks its event loop has: ``python -m rig.counted_tasks serve …``."""

from __future__ import annotations

import asyncio
import signal
import sys
from types import FrameType

from coherd.cli import main
from coherd_server.app import Server

_start = Server.start


async def _counted_start(self: Server) -> int:
    loop = asyncio.get_running_loop()

    def tell() -> None:
        print("tasks", len(asyncio.all_tasks(loop)), file=sys.stderr, flush=True)

    def on_signal(number: int, frame: FrameType | None) -> None:
        loop.call_soon_threadsafe(tell)

    signal.signal(signal.SIGUSR1, on_signal)
    return await _start(self)


if __name__ == "__main__":
    Server.start = _counted_start  # type: ignore[method-assign]
    main()
