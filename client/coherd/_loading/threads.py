"""Threads for plain loaders: the client's own, so that loaders which hang stop nobody else's work, and bounded.

A thread begins and ends with its loader, and is a daemon: a program does not wait for it when it ends.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any

from coherd._loading.circles import Node
from coherd.errors import NoLoaderThread


class LoaderThreads:
    """The places for threads of one event loop.

    Args:
        most: how many there are.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._free = asyncio.Semaphore(most)
        self._blocked: list[frozenset[Node]] = []
        """For each load that waits for a place: loads that hold one and wait for it."""
        self.in_use = 0
        """Threads that run loaders, those of loads that were given up included."""

    async def place(self, chain: tuple[Node, ...], timeout_ms: int) -> Place:
        """A place for a thread, as soon as one is free.

        Args:
            chain: the loads within which the caller runs.
            timeout_ms: longest wait.

        Raises:
            NoLoaderThread: none was, or none can become free, since all that hold one wait for another.
        """
        holders = frozenset(node for node in chain if node.in_thread and not node.ended)
        if self._free.locked() and len(holders.union(*self._blocked)) >= self._most:
            raise NoLoaderThread(
                f"no thread for a plain loader can become free: each of the {self._most} "
                "(LoadLimits.max_loader_threads) runs a loader that waits for another plain loader"
            )
        self._blocked.append(holders)
        try:
            async with asyncio.timeout(timeout_ms / 1_000):
                await self._free.acquire()
        except TimeoutError:
            raise NoLoaderThread(
                f"no thread for a plain loader was free within {timeout_ms} ms: each of the {self._most} "
                "(LoadLimits.max_loader_threads) runs a loader"
            ) from None
        finally:
            self._blocked.remove(holders)
        self.in_use += 1
        return Place(self._release)

    def _release(self) -> None:
        self.in_use -= 1
        self._free.release()


class Place:
    """A place for one thread, until that ends.

    Args:
        release: gives it up.
    """

    def __init__(self, release: Callable[[], None]) -> None:
        self._release = release
        self._used = False

    async def run(self, function: Callable[[], Any]) -> Any:
        """What the function returns, run in a thread, in a copy of the current context. Cancelling it leaves the thread
        running, and the place taken, until the function returns.

        Raises:
            BaseException: whatever it raises; RuntimeError for StopIteration, which nothing can carry.
        """
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()
        context = contextvars.copy_context()

        def run() -> None:
            value: Any = None
            error: BaseException | None = None
            try:
                value = context.run(function)
            except StopIteration as stopped:
                error = RuntimeError("the loader raised StopIteration")
                error.__cause__ = stopped
            except BaseException as raised:  # noqa: BLE001 - it is the caller's
                error = raised
            with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile: nobody waits
                loop.call_soon_threadsafe(self._end, done, value, error)

        threading.Thread(target=run, name="coherd-load", daemon=True).start()
        self._used = True
        return await done

    def _end(self, done: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
        self._release()
        if done.done():
            return
        if error is None:
            done.set_result(value)
        else:
            done.set_exception(error)

    def leave(self) -> None:
        """Give it up if no thread began."""
        if not self._used:
            self._used = True
            self._release()
