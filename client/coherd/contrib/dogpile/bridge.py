"""From blocking callers to the asynchronous client: one event loop in a daemon thread of each process.

Any number of threads call `run` at one time; their coroutines share the loop and with it the client's connection. It
starts with the first call, so that a process may fork before (gunicorn, Celery); a child starts its own.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import os
import threading
from collections.abc import Coroutine
from typing import Any, Final, TypeVar

T = TypeVar("T")

STOP_TIMEOUT_S: Final = 1.0


class LoopThread:
    """An event loop in a thread of its own."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """The result of a coroutine, which runs in the loop's thread; the caller blocks.

        Raises:
            RuntimeError: called in that thread, which would wait for itself.
        """
        loop = self._running()
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a blocking call in the thread that would have to answer it")
        future = asyncio.run_coroutine_threadsafe(coroutine, loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()  # of a caller that is interrupted; otherwise it is done
            raise

    def stop(self) -> None:
        """End the loop and cancel what runs in it; the next call starts another."""
        with self._lock:
            loop, thread = self._loop, self._thread
            self._loop = self._thread = None
        if loop is not None and thread is not None:
            with contextlib.suppress(RuntimeError):  # closed already
                loop.call_soon_threadsafe(loop.stop)
            thread.join(STOP_TIMEOUT_S)

    def forget(self) -> None:
        """In a forked child, which has the loop's memory and not its thread."""
        self._lock = threading.Lock()
        self._loop = self._thread = None

    def _running(self) -> asyncio.AbstractEventLoop:
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=_serve, args=(self._loop,), name="coherd", daemon=True)
                self._thread.start()
            return self._loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    try:
        loop.run_forever()
        tasks = asyncio.all_tasks(loop)
        for task in tasks:
            task.cancel()
        loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
    finally:
        loop.close()


LOOP: Final = LoopThread()
"""The loop of this process."""

os.register_at_fork(after_in_child=LOOP.forget)
atexit.register(LOOP.stop)
