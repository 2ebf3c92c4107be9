"""Plain loaders for the asynchronous client: they run in the thread of the caller who brought them.

That thread waits anyhow, and thread-local things (a database session, a transaction) are its own. Only where the caller
does not wait for the load, or may leave before it ends, does the loader get a thread of its own, which ends with it. No
pool has a number of threads that nested loads could use up.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from coherd._loading.circles import CHAIN, Node
from coherd._loading.load import BACKGROUND_REFRESH
from coherd._loading.loader import is_coroutine_function
from coherd.sync.call import Call, Job


class PlainLoader:
    """A loader as the asynchronous client takes it.

    Args:
        function: the plain loader.
        leaves: its caller may get its answer before the load ends.

    Raises:
        TypeError: it is a coroutine function.
    """

    def __init__(self, function: Callable[[Any], Any], *, leaves: bool) -> None:
        if is_coroutine_function(function):
            raise TypeError(REFUSAL)
        self._function = function
        self._leaves = leaves
        self.call: Call[Any] | None = None
        """The call it was brought with."""

    async def __call__(self, wanted: Any) -> Any:
        """What the loader returns.

        Raises:
            TypeError: an awaitable.
        """
        job = Job(functools.partial(_plain, self._function, wanted, CHAIN.get()))
        if self._leaves or BACKGROUND_REFRESH.get() or self.call is None or not self.call.offer(job):
            job.run_in_own_thread()
        return await job.done


REFUSAL = "a blocking client takes plain functions that load; coroutine functions are for coherd.CacheClient"


def _plain(function: Callable[[Any], Any], wanted: Any, chain: tuple[Node, ...]) -> Any:
    outer = CHAIN.set(chain)
    try:
        value = function(wanted)
    finally:
        CHAIN.reset(outer)
    if inspect.isawaitable(value):
        if inspect.iscoroutine(value):
            value.close()
        raise TypeError(REFUSAL)
    return value
