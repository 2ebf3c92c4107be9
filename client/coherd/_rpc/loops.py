"""One link per process and event loop, made when first needed."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
import warnings
from collections.abc import Callable
from typing import Final

from coherd._rpc import forks
from coherd._rpc.link import SessionLink

LET_GO_TIMEOUT_S: Final = 0.5
"""Longest a fork waits for the event loop of another thread."""
_UNSAFE_FORK: Final = (
    "this process forks inside an event loop that has a session open, and gRPC may crash the child: "
    "fork before the loop runs, or set GRPC_ENABLE_FORK_SUPPORT=0"
)


class LoopLinks:
    """Hands out the link of the running event loop in this process."""

    def __init__(self, make: Callable[[], SessionLink]) -> None:
        self._make = make
        self.by_loop: dict[asyncio.AbstractEventLoop, SessionLink] = {}
        forks.watch(self)

    def current(self) -> SessionLink:
        """The link of the running loop; made if there is none. Does no I/O.

        Raises:
            Unavailable: this process was forked during a call of its parent.
        """
        loop = asyncio.get_running_loop()
        link = self.by_loop.get(loop)
        if link is None:
            forks.check_usable()
            for ended in [other for other in list(self.by_loop) if other.is_closed()]:
                self.by_loop.pop(ended, None)
            link = self.by_loop[loop] = self._make()
        return link

    async def close(self) -> None:
        """Ends the running loop's session; the other loops end theirs as soon as they run."""
        links = dict(self.by_loop)
        self.by_loop.clear()
        own = links.pop(asyncio.get_running_loop(), None)
        for loop, link in links.items():
            _close_soon(loop, link)
        if own is not None:
            await own.close()

    def let_go(self) -> bool:
        """Before a fork: closes idle sessions. One of a loop that runs in the forking thread itself cannot be closed
        now: the child will refuse to use it, if gRPC lets it live."""
        here = _running_loop()
        links = list(self.by_loop.items())
        for loop, link in links:
            if loop.is_closed() or not link.is_connected or link.in_use:
                continue
            if loop.is_running():
                if loop is not here:
                    self._let_go_elsewhere(loop, link)
                elif os.environ.get("GRPC_ENABLE_FORK_SUPPORT", "1").lower() not in ("0", "false", "no"):
                    # Its handlers start threads anew in the child that crash with what is open (seen with grpcio 1.85).
                    warnings.warn(_UNSAFE_FORK, RuntimeWarning, stacklevel=2)
            elif here is None:
                try:
                    loop.run_until_complete(link.close())
                except RuntimeError:  # another thread began to run it just now
                    continue
                self.by_loop.pop(loop, None)
        return bool(links)

    def _let_go_elsewhere(self, loop: asyncio.AbstractEventLoop, link: SessionLink) -> None:
        done = threading.Event()

        async def close() -> None:
            if not link.in_use:
                await link.close()
                self.by_loop.pop(loop, None)
            done.set()

        coroutine = close()
        try:
            asyncio.run_coroutine_threadsafe(coroutine, loop)
        except RuntimeError:  # it was closed just now
            coroutine.close()
            return
        done.wait(LET_GO_TIMEOUT_S)

    def forget(self) -> list[object]:
        """After a fork, in the child: starts with none, so with no near cache either [fork-drops]."""
        held: list[object] = [link for link in self.by_loop.values() if link.is_connected]
        self.by_loop.clear()
        return held


def _close_soon(loop: asyncio.AbstractEventLoop, link: SessionLink) -> None:
    with contextlib.suppress(RuntimeError):  # it is closed, and its session with it
        loop.call_soon_threadsafe(link.close_soon)


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
