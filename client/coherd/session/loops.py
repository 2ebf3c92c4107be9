"""One link per process and event loop, made when first needed."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Final

from coherd.session.link import SessionLink
from coherd.transport import forks

LET_GO_TIMEOUT_S: Final = 0.5
"""Longest a fork waits for the event loop of another thread."""


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
        """Ends the running loop's session; those of other loops end with them."""
        own = self.by_loop.pop(asyncio.get_running_loop(), None)
        self.by_loop.clear()
        if own is not None:
            await own.close()

    def let_go(self) -> bool:
        """Before a fork: closes idle sessions; one of a loop that runs in the forking thread itself cannot be."""
        links = list(self.by_loop.items())
        for loop, link in links:
            if loop.is_closed() or link.in_use:
                continue
            if not loop.is_running():
                loop.run_until_complete(link.close())
                self.by_loop.pop(loop, None)
            elif loop is not _running_loop():
                self._let_go_elsewhere(loop, link)
        return bool(links)

    def _let_go_elsewhere(self, loop: asyncio.AbstractEventLoop, link: SessionLink) -> None:
        done = threading.Event()

        async def close() -> None:
            await link.close()
            self.by_loop.pop(loop, None)
            done.set()

        try:
            future = asyncio.run_coroutine_threadsafe(close(), loop)
        except RuntimeError:  # it was closed just now
            return
        done.wait(LET_GO_TIMEOUT_S)
        future.add_done_callback(lambda _: None)

    def forget(self) -> list[object]:
        """After a fork, in the child: starts with none."""
        held: list[object] = [link for link in self.by_loop.values() if link.stream is not None or link.in_use]
        self.by_loop.clear()
        return held


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None
