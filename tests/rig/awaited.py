"""Blocking objects as the suites of the asynchronous ones see them: each call waits in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

THREADS = 32
"""Most calls at one time; further ones wait for their turn."""


class Awaited:
    """Every method of a blocking object as a coroutine function; coroutine loaders run in the test's loop.

    Use as an async context manager: it ends the threads, and closes nothing of the object.
    """

    def __init__(self, blocking: Any) -> None:
        self._blocking = blocking
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="caller")

    async def __aenter__(self) -> Any:
        return self

    async def __aexit__(self, *_: object) -> None:
        self._threads.shutdown(wait=True)

    def __getattr__(self, name: str) -> Any:
        return self._awaited(getattr(self._blocking, name))

    def _awaited(self, method: Callable[..., Any]) -> Callable[..., Any]:
        async def call(*args: Any, **kwargs: Any) -> Any:
            loop = asyncio.get_running_loop()
            plain = [_plain(each, loop) if callable(each) else each for each in args]
            context = contextvars.copy_context()
            return await loop.run_in_executor(self._threads, functools.partial(context.run, method, *plain, **kwargs))

        return call

    def cached(self, *args: Any, **kwargs: Any) -> Callable[[Callable[..., Any]], Any]:
        """The decorator; what it makes has coroutines, too."""

        def decorate(function: Callable[..., Any]) -> Any:
            made = self._blocking.cached(*args, **kwargs)(_plain(function, asyncio.get_running_loop()))
            return AwaitedFunction(self._awaited(made), self._awaited(made.refresh), self._awaited(made.invalidate))

        return decorate


class AwaitedFunction:
    """What `Awaited.cached` makes."""

    def __init__(self, call: Callable[..., Any], refresh: Callable[..., Any], invalidate: Callable[..., Any]) -> None:
        self._call = call
        self.refresh = refresh
        self.invalidate = invalidate

    async def __call__(self, *args: Any) -> Any:
        return await self._call(*args)


def _plain(function: Callable[..., Any], loop: asyncio.AbstractEventLoop) -> Callable[..., Any]:
    """A plain function that runs a coroutine function in the test's loop."""
    if not inspect.iscoroutinefunction(function):
        return function

    def run(*args: Any) -> Any:
        return asyncio.run_coroutine_threadsafe(function(*args), loop).result()

    return run
