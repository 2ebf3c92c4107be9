"""Calling what loads: coroutine functions in the event loop, plain functions in a thread."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from coherd._loading.threads import Place
from coherd.errors import LoadCancelled, LoadTimeout

log: Final = logging.getLogger("coherd.loading")

END_TIMEOUT_S: Final = 0.5
"""Longest a load that was cancelled is waited for."""


async def call_loader(loader: Callable[[Any], Any], wanted: Any, place: Place | None) -> Any:
    """What the loader returns.

    A coroutine function runs in the loop. Any other callable is called in a thread, with the caller's context
    variables; if it returns an awaitable, that is awaited in the loop.

    Args:
        loader: to call.
        wanted: its argument.
        place: of its thread; None for a coroutine function.
    """
    if place is None:
        return await loader(wanted)
    value = await place.run(lambda: loader(wanted))
    return await value if inspect.isawaitable(value) else value


def is_coroutine_function(function: Callable[..., Any]) -> bool:
    """Whether calling it makes a coroutine."""
    call = getattr(function, "__call__", None)  # noqa: B004 - its kind is asked for, not whether there is one
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


class Ended(NamedTuple):
    """How a load ended."""

    value: Any
    error: BaseException | None
    """Whatever it raised: what is no `Exception` too."""


async def within(timeout_ms: int, load: Callable[[], Awaitable[Any]], context: contextvars.Context) -> Ended:
    """How a load ended that runs as a task of its own, in a context.

    The error is `LoadTimeout` if it took longer and was cancelled, `LoadCancelled` if it cancelled itself. What does
    not end when it is cancelled, as a thread does not, is left to itself, and its result is dropped.
    """
    task = asyncio.get_running_loop().create_task(_ended(load), context=context)
    try:
        await asyncio.wait([task], timeout=timeout_ms / 1_000)
    except asyncio.CancelledError:
        await _end(task)
        raise
    if not task.done():
        await _end(task)
        return Ended(None, LoadTimeout(f"the load took longer than {timeout_ms} ms"))
    if task.cancelled():
        return Ended(None, LoadCancelled("the load was cancelled from inside"))
    return task.result()


async def _end(task: asyncio.Task[Ended]) -> None:
    task.cancel()
    await asyncio.wait([task], timeout=END_TIMEOUT_S)
    if not task.done():
        log.warning("a loader goes on after it was cancelled; its result is dropped")


async def _ended(load: Callable[[], Awaitable[Any]]) -> Ended:
    try:
        return Ended(await load(), None)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is raised where its callers wait, not in the event loop
        return Ended(None, error)
