"""All loading of one event loop: lines by key, running loads, limits, and their end."""

from __future__ import annotations

import asyncio
import contextvars
import random
import time
from collections.abc import Coroutine
from typing import Any, Final, TypeAlias, TypeVar

from coherd._loading.decide import falls_back, patience, poll_pause_ms, serves_at_once
from coherd._loading.leases import Leases, Payload
from coherd._loading.line import Answer, Call, Line, Running
from coherd._loading.load import Load, Outcome, Plan
from coherd._loading.policy import LoadLimits
from coherd._rpc.protocol import Transport
from coherd.errors import ClientClosed, LoadTimeout
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as wire

T = TypeVar("T")

Name: TypeAlias = "tuple[Key[Any], frozenset[tuple[str, str]]]"


class Desk:
    """See the module.

    Args:
        transport: carries the requests.
        limits: of the client.
    """

    def __init__(self, transport: Transport, limits: LoadLimits) -> None:
        self.transport = transport
        self.held_calls = 0
        """Lease calls the server holds."""
        self._limits = limits
        self._lines: dict[Name, Line] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._behind = 0
        self._turn: Final = asyncio.Semaphore(limits.max_direct_loads)
        self._closed = False

    # Tasks.

    def start(self, coroutine: Coroutine[Any, Any, T], context: contextvars.Context | None = None) -> asyncio.Task[T]:
        """A task that ends with the client."""
        task = asyncio.get_running_loop().create_task(coroutine, context=context)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    async def close(self) -> None:
        """Cancel all loads, give their leases back, and wait for that. Callers get `ClientClosed`."""
        self._closed = True
        while tasks := [task for task in self._tasks if task is not asyncio.current_task()]:
            for task in tasks:
                task.cancel()
            await asyncio.wait(tasks)

    # Loads.

    @property
    def has_room_behind(self) -> bool:
        """Whether one more load may run in the background."""
        return self._behind < self._limits.max_background_loads

    def load(
        self, plan: Plan, leases: Leases, *, has_stale: bool = False, background: bool = False, in_turn: bool = False
    ) -> Load:
        """Start a load under leases; ``in_turn``: it also loads what has none, so it waits for its turn."""
        turn = self._turn if in_turn else None
        load = Load(plan, leases, self.start, turn=turn, has_stale=has_stale, background=background)
        if background:
            self._behind += 1
            load.task.add_done_callback(self._leave_behind)
        return load

    def load_directly(self, plan: Plan) -> Load:
        """Start a load that stores nothing, when it is its turn."""
        return Load(plan, None, self.start, turn=self._turn)

    def _leave_behind(self, _: object) -> None:
        self._behind -= 1

    # Callers.

    async def get_or_load(self, call: Call) -> wire.Hit | Payload:
        """The value of a key: what is cached, what somebody loads, or what the call loads itself.

        Raises:
            CacheError: as `CacheClient.get_or_load`.
            Exception: of the loader.
        """
        self.check_open()
        policy, started_s = call.policy, time.monotonic()
        hard_s = started_s + (call.terms.timeout_ms + policy.load_timeout_ms) / 1_000
        stale: wire.Hit | None = None
        waits = False
        while True:
            limit = patience(policy, started_s=started_s, hard_s=hard_s, stale=stale is not None)
            answer = await self._ask(call, waits, limit.until_s)
            if isinstance(answer, wire.Hit):
                return answer
            pause_s = 0.0
            if answer is not None:
                if answer.stale is not None:
                    stale = answer.stale  # judged within this call, so it may be served to the call's end
                    if serves_at_once(policy, stale=True, early=not stale.stale):
                        return stale
                if isinstance(answer, Running):
                    return settle(call, await self.outcome(call, answer.load, stale, started_s), stale)
                if waits and answer.pause_ms:
                    pause_s = poll_pause_ms(answer.pause_ms, random.random()) / 1_000
                limit = patience(policy, started_s=started_s, hard_s=hard_s, stale=stale is not None)
            left_s = limit.until_s - time.monotonic()
            await asyncio.sleep(max(0.0, min(pause_s, left_s)))
            if pause_s >= left_s:
                if limit.then_stale and stale is not None:
                    return stale
                raise LoadTimeout("somebody else's load took too long")
            waits = True

    async def _ask(self, call: Call, waits: bool, until_s: float) -> Answer | None:
        """The line's answer; None if there was none in time."""
        answer = self._line(call).ask(call, waits=waits)
        try:
            await asyncio.wait([answer], timeout=max(0.0, until_s - time.monotonic()))
            return answer.result() if answer.done() else None
        finally:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen, also if the caller was cancelled just now

    async def outcome(self, call: Call, load: Load, stale: wire.Hit | None, started_s: float) -> Outcome | None:
        """How a load of this process ended; None if the call that began at ``started_s`` waits no longer."""
        # A load ends by itself within its time limit; its exchanges with the service have theirs.
        hard_s = time.monotonic() + (call.policy.load_timeout_ms + 3 * call.terms.timeout_ms) / 1_000
        limit = patience(call.policy, started_s=started_s, hard_s=hard_s, stale=stale is not None)
        return await load.outcome(limit.until_s)

    def _line(self, call: Call) -> Line:
        name = (call.key, frozenset((call.terms.tags or {}).items()))
        line = self._lines.get(name)
        if line is None:
            line = self._lines[name] = Line(self, lambda: self._forget(name))
        return line

    def _forget(self, name: Name) -> None:
        line = self._lines.get(name)
        if line is not None and line.idle:
            del self._lines[name]

    def check_open(self) -> None:
        """Raises:
        ClientClosed: the client is closed.
        """
        if self._closed:
            raise ClientClosed("the client is closed")


def settle(call: Call, outcome: Outcome | None, stale: wire.Hit | None) -> wire.Hit | Payload:
    """What a caller gets from a load that ended, or that it waits for no longer.

    Raises:
        BaseException: why the load failed, or the service refused its value.
    """
    if outcome is None:
        if stale is not None:
            return stale
        raise LoadTimeout("the load took too long")
    if outcome.error is not None:
        if stale is not None and falls_back(call.policy, outcome.error, stale=True):
            return stale
        raise outcome.error
    mistake = outcome.mistakes.get(call.key)
    if mistake is not None:
        raise mistake
    return outcome.loaded[call.key]
