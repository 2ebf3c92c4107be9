"""How callers that wait in a fake are woken: from any thread, on any event loop."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator


class Watch:
    """Sees every change from its making on."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()

    async def change(self, timeout_s: float) -> None:
        """Return at the next change, or at one since the last call; at the latest after ``timeout_s``."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), timeout_s)
        self._changed.clear()

    def wake(self) -> None:
        """Something changed."""
        with contextlib.suppress(RuntimeError):  # its loop was closed: nobody waits
            self._loop.call_soon_threadsafe(self._changed.set)


class Changes:
    """Tells all who watch that something changed."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._watches: list[Watch] = []

    @contextlib.contextmanager
    def watch(self) -> Iterator[Watch]:
        """See all changes within it."""
        watch = Watch()
        with self._lock:
            self._watches.append(watch)
        try:
            yield watch
        finally:
            with self._lock:
                self._watches.remove(watch)

    def wake(self) -> None:
        """Something changed."""
        with self._lock:
            watches = list(self._watches)
        for watch in watches:
            watch.wake()
