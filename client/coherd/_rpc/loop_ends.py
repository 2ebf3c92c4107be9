"""The end of an event loop: what holds gRPC objects in it is closed while it can still run, and what gRPC says later
disturbs no other loop.

`asyncio.run`, Django's and pytest's runners and all others that end a loop in order first cancel its tasks, then let
its asynchronous generators end (`loop.shutdown_asyncgens`), then close it. The second step is where we come in.

gRPC's asyncio side hands what is done in one loop to whichever loop reads its socket. Where the loop that asked is
closed by then, the reading loop logs "Event loop is closed", loses what stood behind, and what waited is never freed.
"""

from __future__ import annotations

import asyncio
import contextlib
import weakref
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Any, Final

LAST_TURNS: Final = 3
LAST_TURN_S: Final = 0.001
"""How often, and how long each time, a loop that ends waits for what gRPC has to say of its last calls."""


def at_end(close: Callable[[], Awaitable[None]]) -> object:
    """Has the running event loop call and await a function before it is closed, after its tasks were cancelled. In
    force as long as the answer is kept; without effect where a loop is closed without `shutdown_asyncgens`."""
    generator = _ending(close)
    with contextlib.suppress(StopIteration):
        generator.asend(None).send(None)  # begin it, so that the loop knows of it
    return generator


async def _ending(close: Callable[[], Awaitable[None]]) -> AsyncGenerator[None, None]:
    try:
        yield
    finally:
        await close()


async def last_turns() -> None:
    """Wait for what gRPC has to say of calls that were cancelled just now; what comes later is `ignored_later`."""
    ignore_later(asyncio.get_running_loop())
    for _ in range(LAST_TURNS):
        await asyncio.sleep(LAST_TURN_S)


def ignore_later(loop: asyncio.AbstractEventLoop) -> None:
    """What gRPC hands to the loop once it is closed is done on the spot: nobody waits for it, it only frees memory.
    All other callers get the `RuntimeError` as ever. Again does nothing."""
    hand_over = loop.call_soon_threadsafe
    if isinstance(hand_over, _HandOver):
        return
    with contextlib.suppress(AttributeError):  # a loop that takes no attributes
        loop.call_soon_threadsafe = _HandOver(loop, hand_over)  # type: ignore[method-assign, assignment]


class _HandOver:
    """`loop.call_soon_threadsafe` of a loop that ends."""

    def __init__(self, loop: asyncio.AbstractEventLoop, hand_over: Callable[..., asyncio.Handle]) -> None:
        self._loop = weakref.ref(loop)
        self._hand_over = hand_over

    def __call__(self, callback: Callable[..., object], *args: Any, **options: Any) -> asyncio.Handle | None:
        loop = self._loop()
        if (loop is None or loop.is_closed()) and args and type(args[0]).__module__.startswith("grpc."):
            with contextlib.suppress(RuntimeError):
                callback(*args)
            return None
        return self._hand_over(callback, *args, **options)
