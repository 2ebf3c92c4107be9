"""How a task is ended that would run for ever."""

from __future__ import annotations

import asyncio
from typing import Any, Final

_AGAIN_S: Final = 0.5


async def end(task: asyncio.Task[Any]) -> None:
    """Cancel it until it has ended; what it raises is dropped.

    Once is not enough: up to Python 3.11 `asyncio.wait_for`, which redis-py sends with, drops a cancellation that comes
    just when what it waits for is done (CPython issue 86296). The task then goes on as if nobody had asked.
    """
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=_AGAIN_S)
    if not task.cancelled():
        task.exception()
