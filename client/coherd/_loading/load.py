"""Runs of loaders and what becomes of them. A load belongs to nobody who waits for it: callers come and go."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from typing import Any, Final, NamedTuple, TypeAlias, TypeVar

from coherd._loading.circles import CHAIN, Node, circle_over_processes, loads
from coherd._loading.decide import is_ahead
from coherd._loading.events import Events, LoadEventKind, resource_of
from coherd._loading.leases import Leases, Payload
from coherd._loading.loader import Ended, within
from coherd._loading.own_errors import own_error
from coherd._loading.policy import LoadLimits
from coherd._loading.releases import Releases
from coherd._loading.threads import LoaderThreads, Place
from coherd._rpc.protocol import Transport
from coherd.errors import CacheError, ClientClosed, LoadTimeout, NoLoaderThread
from coherd.key import Key

T = TypeVar("T")

log: Final = logging.getLogger("coherd.loading")

Source: TypeAlias = "Callable[[Place | None], Awaitable[Mapping[Key[Any], Payload]]]"
"""Calls the loader, in a place for its thread if it is a plain one, and encodes what it returns."""
BACKGROUND_REFRESH: Final = contextvars.ContextVar("coherd_background_refresh", default=False)
"""True in the loader of a background refresh: nobody waits for it, and its callers have been served a stale value."""
RELEASE_TIMEOUT_S: Final = 0.5
"""Longest the end of what is cancelled waits for its leases to be released; then that goes on without it."""


class Plan(NamedTuple):
    """What to load, and how."""

    keys: Collection[Key[Any]]
    source: Source
    in_thread: bool
    """The loader is a plain one."""
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
        events: of the client.
        threads: of the event loop.
        turn: acquired before it begins, within its time limit, and held while it runs; None: it begins at once.
        has_stale: its key had a value to serve meanwhile when the lease was granted.
        background: it is a background refresh.
    """

    def __init__(
        self,
        plan: Plan,
        leases: Leases | None,
        start: Callable[[Coroutine[Any, Any, Outcome], contextvars.Context], asyncio.Task[Outcome]],
        events: Events,
        threads: LoaderThreads,
        *,
        turn: asyncio.Semaphore | None = None,
        has_stale: bool = False,
        background: bool = False,
    ) -> None:
        self.leases = leases
        self.has_stale = has_stale
        self._plan = plan
        self._background = background
        self._turn = turn
        self._events = events
        self._threads = threads
        name = ", ".join(sorted({resource_of(key) for key in plan.keys}))
        self.node = Node(name, in_thread=plan.in_thread, leased=() if leases is None else leases)
        if leases is not None:
            loads(leases.service, plan.keys, self.node)
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
                await self.leases.release(self._plan.keys, 0)
            return Outcome({}, LoadTimeout("too many loads without the service: no turn within the load's time limit"))
        try:
            return await self._load()
        finally:
            self._turn.release()

    async def _load(self) -> Outcome:
        plan, leases = self._plan, self.leases
        started_s = time.monotonic()
        renewing = None if leases is None else asyncio.create_task(leases.renew_forever())
        context = contextvars.copy_context()
        context.run(BACKGROUND_REFRESH.set, self._background)
        context.run(CHAIN.set, (*plan.context.get(CHAIN, ()), self.node))
        try:
            loaded, error = await self._run_loader(context)
        except asyncio.CancelledError:
            if leases is not None:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RELEASE_TIMEOUT_S):
                        await leases.release(plan.keys, 0)
            raise
        finally:
            self.node.end()
            if renewing is not None:
                renewing.cancel()
        if error is not None:
            return await self._failed(error)
        mistakes: Mapping[Key[Any], CacheError] = {}
        if leases is not None:
            load_ms = int((time.monotonic() - started_s) * 1_000)
            mistakes = await leases.fill(loaded, load_ms, stale_keys=plan.stale_keys, pause_ms=plan.pause_ms)
        return Outcome(loaded, None, mistakes)

    async def _run_loader(self, context: contextvars.Context) -> Ended:
        plan = self._plan
        if not plan.in_thread:
            return self._named(await within(plan.load_timeout_ms, lambda: plan.source(None), context))
        try:
            place = await self._threads.place(plan.context.get(CHAIN, ()), plan.load_timeout_ms)
        except NoLoaderThread as error:
            self._events.happened(LoadEventKind.NO_THREAD, plan.keys, error, log_it=True)
            return Ended(None, error)
        try:
            return self._named(await within(plan.load_timeout_ms, lambda: plan.source(place), context))
        finally:
            place.leave()

    def _named(self, ended: Ended) -> Ended:
        """An end, whose time limit says what its loader waited for where that may be a circle."""
        asked = self.node.waited_elsewhere
        if not asked or not isinstance(ended.error, LoadTimeout):
            return ended
        return Ended(None, LoadTimeout(f"{ended.error}; {circle_over_processes(self.node.name, asked)}"))

    async def _failed(self, error: BaseException) -> Outcome:
        plan, leases = self._plan, self.leases
        self._events.happened(LoadEventKind.LOAD_FAILED, plan.keys, error)
        if self._background:
            log.warning("a load of %s in the background failed: %s", self.node.name, type(error).__name__)
        if leases is not None:
            await leases.release(plan.stale_keys, plan.pause_ms)
            await leases.release(plan.keys, 0)
        if self._background and isinstance(error, (KeyboardInterrupt, SystemExit)):
            # It ends the program, and there may be no caller to do so.
            asyncio.get_running_loop().call_soon(_raise, own_error(error))
        return Outcome({}, error)


class LoopLoads:
    """What all loads of one event loop share: the transport, their tasks, and how many there may be.

    Args:
        transport: carries the requests.
        limits: of the client.
        events: of the client.
    """

    def __init__(self, transport: Transport, limits: LoadLimits, events: Events) -> None:
        self.transport = transport
        self.events = events
        self.releases = Releases(transport)
        self.held_calls = 0
        """Lease calls that the server holds."""
        self._limits = limits
        self._tasks: set[asyncio.Task[Any]] = set()
        self._refreshes = 0
        """Background refreshes that run."""
        self._threads = LoaderThreads(limits.max_loader_threads)
        self._turn: Final = asyncio.Semaphore(limits.max_direct_loads)

    def start(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None = None) -> asyncio.Task[T]:
        """A task that ends with the client."""
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    @property
    def has_room_for_refresh(self) -> bool:
        """Whether one more background refresh may run."""
        return self._refreshes < self._limits.max_background_loads

    def load(
        self,
        plan: Plan,
        leases: Leases,
        *,
        has_stale: bool = False,
        background: bool = False,
        without: Mapping[Key[Any], Exception] = {},
    ) -> Load:
        """Start a load under leases.

        Args:
            plan: what to load.
            leases: what it runs under.
            has_stale: see `Load`.
            background: it is a background refresh.
            without: keys that have no lease, and why: then it waits for its turn.
        """
        turn = self._turn if without else None
        self._tell_without(without)
        load = Load(
            plan, leases, self.start, self.events, self._threads, turn=turn, has_stale=has_stale, background=background
        )
        if background:
            self.events.happened(LoadEventKind.BACKGROUND_REFRESH, plan.keys)
            self._refreshes += 1
            load.task.add_done_callback(self._refresh_ended)
        return load

    def load_directly(self, plan: Plan, error: Exception) -> Load:
        """Start a load that stores nothing, when it is its turn.

        Args:
            plan: what to load.
            error: why there is no lease.
        """
        self._tell_without(dict.fromkeys(plan.keys, error))
        return Load(plan, None, self.start, self.events, self._threads, turn=self._turn)

    def _tell_without(self, errors: Mapping[Key[Any], Exception]) -> None:
        ahead = [key for key, error in errors.items() if is_ahead(key, error)]
        self.events.happened(LoadEventKind.WITHOUT_SERVICE, errors.keys() - set(ahead))
        if ahead:
            self.events.happened(LoadEventKind.AHEAD_OF_SERVER, ahead, errors[ahead[0]], log_it=True)

    async def cancel(self) -> None:
        """Cancel all loads, and wait until their leases are released. Their callers get `ClientClosed`."""
        while tasks := [task for task in self._tasks if task is not asyncio.current_task()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)
        await self.releases.close()

    def _refresh_ended(self, _: object) -> None:
        self._refreshes -= 1


def _raise(error: BaseException) -> None:
    raise error
