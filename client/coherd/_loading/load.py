"""One run of a loader and what becomes of it. It belongs to nobody who waits for it: callers come and go."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

from coherd._loading.leases import Leases, Payload
from coherd._loading.loader import within
from coherd.errors import CacheError, ClientClosed, LoadTimeout
from coherd.key import Key

log: Final = logging.getLogger("coherd.loading")

Source: TypeAlias = "Callable[[], Awaitable[Mapping[Key[Any], Payload]]]"
"""Calls the loader and encodes what it returns."""
BEHIND: Final = contextvars.ContextVar("coherd_behind", default=False)
"""In a loader: whether nobody waits for the load, not even the caller who brought it."""
GIVE_BACK_TIMEOUT_S: Final = 0.5
"""Longest the end of a cancelled load waits for its leases to be given back."""


class Plan(NamedTuple):
    """What to load, and how."""

    keys: Collection[Key[Any]]
    source: Source
    load_timeout_ms: int
    stale_keys: Collection[Key[Any]]
    """Those that have a value to serve meanwhile."""
    pause_ms: int
    """After a failure: how long nobody tries those again."""
    context: contextvars.Context
    """The loader runs in a copy of it: the context of the caller who brought it."""


class Outcome(NamedTuple):
    """How a load ended."""

    loaded: Mapping[Key[Any], Payload]
    """Of the keys, those the loader answered."""
    error: BaseException | None = None
    """Why nothing was loaded."""
    mistakes: Mapping[Key[Any], CacheError] = {}
    """Values that the service refused, and why: the caller's mistakes."""


class Load:
    """A running load; `task` yields its `Outcome` and raises for no loader's error.

    Args:
        plan: what to load.
        leases: what it runs under; None: nothing is stored.
        start: makes a task of a coroutine, in a context.
    """

    def __init__(
        self,
        plan: Plan,
        leases: Leases | None,
        start: Callable[[Coroutine[Any, Any, Outcome], contextvars.Context], asyncio.Task[Outcome]],
        *,
        turn: asyncio.Semaphore | None = None,
        has_stale: bool = False,
        background: bool = False,
    ) -> None:
        self.leases = leases
        self.has_stale = has_stale
        """Its key had a value to serve meanwhile when the lease was granted."""
        self._plan = plan
        self._background = background
        self._turn = turn
        self.task = start(self._run(), plan.context)

    async def outcome(self, until_s: float) -> Outcome | None:
        """How it ended; None if it has not at a moment of `time.monotonic`. Cancelling the caller leaves it running."""
        if not self.task.done():
            await asyncio.wait([self.task], timeout=max(0.0, until_s - time.monotonic()))
            if not self.task.done():
                return None
        if self.task.cancelled():
            return Outcome({}, ClientClosed("the client was closed during the load"))
        return self.task.result()

    async def _run(self) -> Outcome:
        if self._turn is None:
            return await self._load()
        try:
            async with asyncio.timeout(self._plan.load_timeout_ms / 1_000):
                await self._turn.acquire()
        except TimeoutError:
            if self.leases is not None:
                await self.leases.give_back(self._plan.keys, 0)
            return Outcome({}, LoadTimeout("too many loads without the service: no turn within the load's time limit"))
        try:
            return await self._load()
        finally:
            self._turn.release()

    async def _load(self) -> Outcome:
        plan, leases = self._plan, self.leases
        started_s = time.monotonic()
        renewing = None if leases is None else asyncio.create_task(leases.renew_forever())
        BEHIND.set(self._background)  # loads of one context take turns, and each begins without a pause from here
        try:
            loaded = await within(plan.load_timeout_ms, plan.source)
        except asyncio.CancelledError:
            if leases is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GIVE_BACK_TIMEOUT_S):
                        await leases.give_back(plan.keys, 0)
            raise
        except Exception as error:  # noqa: BLE001 - whatever a loader raises is its callers'
            if self._background:
                names = ", ".join(sorted({":".join(key.split(":", 2)[:2]) for key in plan.keys}))
                log.warning("a load of %s in the background failed: %s", names, type(error).__name__)
            if leases is not None:
                await leases.give_back(plan.stale_keys, plan.pause_ms)
                await leases.give_back(plan.keys, 0)
            return Outcome({}, error)
        finally:
            if renewing is not None:
                renewing.cancel()
        mistakes: Mapping[Key[Any], CacheError] = {}
        if leases is not None:
            mistakes = await leases.fill(loaded, int((time.monotonic() - started_s) * 1_000))
            if self._background and mistakes:
                log.warning(
                    "a value loaded in the background was refused: %s", type(next(iter(mistakes.values()))).__name__
                )
        return Outcome(loaded, None, mistakes)
