"""Calling what loads: coroutine functions in the event loop, plain functions in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from coherd.errors import LoadCancelled, LoadTimeout


async def call_loader(loader: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """What the loader returns.

    A coroutine function runs in the loop. Any other callable is called in a thread of the loop's default executor, with
    the caller's context variables; if it returns an awaitable, that is awaited in the loop.
    """
    if is_coroutine_function(loader):
        return await loader(*args, **kwargs)
    context = contextvars.copy_context()

    def call() -> Any:
        try:
            return context.run(loader, *args, **kwargs)
        except StopIteration as error:  # a future cannot carry it
            raise RuntimeError("the loader raised StopIteration") from error

    value = await asyncio.get_running_loop().run_in_executor(None, call)
    return await value if inspect.isawaitable(value) else value


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine."""
    call = getattr(function, "__call__", None)  # noqa: B004 - its kind is asked for, not whether there is one
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


async def within(timeout_ms: int, load: Callable[[], Awaitable[Any]]) -> Any:
    """What a load returns.

    Raises:
        LoadTimeout: it took longer; it was cancelled. What a thread does goes on, and its result is dropped.
        LoadCancelled: it cancelled itself.
        Exception: whatever it raises.
    """
    limit = asyncio.timeout(timeout_ms / 1_000)
    try:
        async with limit:
            return await load()
    except TimeoutError:
        if limit.expired():
            raise LoadTimeout(f"the load took longer than {timeout_ms} ms") from None
        raise
    except asyncio.CancelledError:
        task = asyncio.current_task()
        if task is not None and task.cancelling():
            raise
        raise LoadCancelled("the load was cancelled from inside") from None
