"""The callers of one key in one process, answered together (single-flight).

At most one Lease call of theirs is under way, and each caller is answered by a call that was sent after it came: a load
is only joined by those whose own call names its lease as current [confirmed-join]. Callers of one turn of the event
loop, or that come while a call is under way, share the next one.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import math
import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from coherd._loading.decide import (
    MAX_HELD_CALLS,
    MAX_LEASE_ATTEMPTS,
    WAIT_MS,
    loads_directly,
    serves_at_once,
)
from coherd._loading.leases import Granted, Leases, lease_request
from coherd._loading.load import RELEASE_TIMEOUT_S, Load, LoopLoads, Plan, Source
from coherd._loading.own_errors import own_error
from coherd._loading.policy import LoadPolicy, Terms
from coherd._rpc.methods import LEASE
from coherd.contract.limits import TOKEN_BYTES
from coherd.errors import ClientClosed, DeadlineExceeded, OutcomeUnknown, ServerDefect
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as pb


@dataclass(frozen=True, slots=True)
class Call:
    """One caller's wish for one key."""

    key: Key[Any]
    source: Source
    in_thread: bool
    """The loader is a plain one."""
    terms: Terms
    policy: LoadPolicy
    context: contextvars.Context
    until_s: float
    """When the caller waits no longer in any case, of `time.monotonic`."""

    def plan(self, *, stale: bool, pause_ms: int = 0) -> Plan:
        """The load this caller brings."""
        keys = (self.key,)
        return Plan(
            keys,
            self.source,
            self.in_thread,
            self.policy.load_timeout_ms,
            keys if stale else (),
            pause_ms,
            self.context,
        )


def until_s(policy: LoadPolicy) -> float:
    """When a caller whose call begins now waits no longer in any case, of `time.monotonic`."""
    return math.inf if policy.total_timeout_ms is None else time.monotonic() + policy.total_timeout_ms / 1_000


class Running(NamedTuple):
    """The key is being loaded by this process."""

    load: Load
    stale: pb.Hit | None
    """May be served meanwhile."""


class Elsewhere(NamedTuple):
    """Somebody else loads the key."""

    stale: pb.Hit | None
    """May be served meanwhile."""
    pause_ms: int
    """Advised wait before asking again; 0 where the server has already waited."""


Answer: TypeAlias = "pb.Hit | Running | Elsewhere"


class Waiter(NamedTuple):
    """A caller who waits for the next answer."""

    call: Call
    answer: asyncio.Future[Answer]
    waits: bool
    """It was told that somebody else loads."""


class Flight:
    """The callers of one key with the same extra tags, and the load they wait for.

    Args:
        loads: of the event loop.
        forget: called when it may have become idle.
    """

    def __init__(self, loads: LoopLoads, forget: Callable[[], None]) -> None:
        self._loads = loads
        self._forget = forget
        self._next: list[Waiter] = []
        self._asking: asyncio.Task[None] | None = None
        self._load: Load | None = None

    @property
    def idle(self) -> bool:
        """Whether nobody waits and nothing is loaded."""
        return self._asking is None and not self._next and (self._load is None or self._load.task.done())

    def ask(self, call: Call, *, waits: bool) -> asyncio.Future[Answer]:
        """What a Lease call answers that is sent from now on; cancel it to leave.

        Args:
            call: whose load is run if the lease is granted to its group.
            waits: it was told that somebody else loads: the server may hold the call until that ends.

        Raises (the future):
            CacheError: the service did not answer, and the policy is not to load without it.
        """
        answer: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._next.append(Waiter(call, answer, waits))
        if self._asking is None:
            self._asking = self._loads.start(self._serve(), contextvars.Context())
        return answer

    async def _serve(self) -> None:
        group: list[Waiter] = []
        try:
            while self._next:
                group, self._next = [waiter for waiter in self._next if not waiter.answer.done()], []
                if group:
                    await self._answer(group)
        finally:
            self._asking = None
            for waiter in group + self._next:
                if not waiter.answer.done():
                    waiter.answer.set_exception(ClientClosed("the client was closed during the call"))
            self._next = []
            self._forget()

    async def _answer(self, group: Sequence[Waiter]) -> None:
        try:
            answer = await self._ask_service(group)
        except Exception as error:  # noqa: BLE001 - it reaches every caller
            self._answer_without(group, error)
            return
        for waiter in group:
            if not waiter.answer.done():
                waiter.answer.set_result(answer)

    def _answer_without(self, group: Sequence[Waiter], error: Exception) -> None:
        """The service gave no value and no lease: those who may load directly share one load, which stores nothing."""
        load: Load | None = None
        for waiter in group:
            if waiter.answer.done():
                continue
            if not loads_directly(waiter.call.policy, waiter.call.key, error):
                waiter.answer.set_exception(own_error(error))
                continue
            if load is None:
                load = self._loads.load_directly(waiter.call.plan(stale=False), error)
            waiter.answer.set_result(Running(load, None))

    async def _ask_service(self, group: Sequence[Waiter]) -> Answer:
        """One answer for callers who all waited before anything of it was asked."""
        call = group[0].call
        counted = sum(waiter.waits for waiter in group)
        load = self._joinable(call.key)
        if load is not None and not load.has_stale and await self._is_current(load, call.key, len(group), counted):
            return Running(load, None)
        token, answer = await self._lease(group)
        kind = answer.WhichOneof("result")
        if kind == "hit":
            return answer.hit
        if kind == "granted":
            return await self._granted(group, token, answer.granted)
        if kind != "held":
            raise ServerDefect("the answer is neither a value nor a lease")
        held = answer.held
        stale = held.stale if held.HasField("stale") else None
        load = self._joinable(call.key)
        if load is not None and await self._is_current(load, call.key, len(group), len(group)):
            return Running(load, stale)
        return Elsewhere(stale, held.retry_after_ms)

    def _joinable(self, key: Key[Any]) -> Load | None:
        """The running load, if its lease was not seen lost."""
        load = self._load
        if load is None or load.task.done() or load.leases is None or key not in load.leases:
            return None
        return load

    async def _is_current(self, load: Load, key: Key[Any], callers: int, counted: int) -> bool:
        """Whether a running load's lease is current now: then these callers join it."""
        if load.leases is None:
            return False
        await load.leases.renew([key], callers=callers, counted=counted)
        return key in load.leases and not load.task.done()

    async def _lease(self, group: Sequence[Waiter]) -> tuple[bytes, pb.LeaseResponse]:
        """The answer of one Lease call, and the token it gave.

        A token is sent once: a request whose answer was lost is repeated with another, and what it may have taken is
        released.
        """
        call = group[0].call
        loads = self._loads
        waits = any(waiter.waits for waiter in group) and loads.held_calls < MAX_HELD_CALLS
        waits = waits and self._joinable(call.key) is None
        wait_ms = WAIT_MS if waits else 0
        counted = sum(waiter.waits for waiter in group)
        has_fallback = all(waiter.call.terms.has_fallback for waiter in group)
        attempts = 0
        while True:
            attempts += 1
            token = secrets.token_bytes(TOKEN_BYTES)
            request = lease_request(call.key, token, call.terms, wait_ms=wait_ms, callers=len(group), counted=counted)
            loads.held_calls += waits
            try:
                answer = await loads.transport.call(LEASE, request, call.terms.timeout_ms + wait_ms, has_fallback)
            except asyncio.CancelledError:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(RELEASE_TIMEOUT_S):
                        await loads.releases.settle([(call.key, token)], call.terms)
                raise
            except (OutcomeUnknown, DeadlineExceeded) as error:
                loads.releases.add([(call.key, token)], call.terms)
                if isinstance(error, DeadlineExceeded) or attempts >= MAX_LEASE_ATTEMPTS:
                    raise
            else:
                if waits and answer.HasField("held") and not answer.held.HasField("stale"):
                    answer.held.retry_after_ms = 0
                return token, answer
            finally:
                loads.held_calls -= waits

    async def _granted(self, group: Sequence[Waiter], token: bytes, granted: pb.LeaseGranted) -> Answer:
        stale = granted.stale if granted.HasField("stale") else None
        calls = [waiter.call for waiter in group if not waiter.answer.done()]
        early = stale is not None and not stale.stale
        waiting = [c for c in calls if not serves_at_once(c.policy, stale=stale is not None, early=early)]
        key = group[0].call.key
        # Who waits for the load loads: its thread, if it blocks, has nothing else to do.
        call = [*waiting, *calls, group[0].call][0]
        if not calls or not (waiting or self._loads.has_room_for_refresh):
            await self._loads.releases.settle([(key, token)], call.terms)
            return Elsewhere(stale, 0)
        pause_ms = max(each.policy.error_pause_ms for each in calls)
        leases = Leases(
            self._loads.transport,
            self._loads.releases,
            self._loads.events,
            {key: Granted(token, granted.grant)},
            call.terms,
        )
        plan = call.plan(stale=stale is not None, pause_ms=pause_ms)
        self._load = self._loads.load(plan, leases, has_stale=stale is not None, background=not waiting)
        self._load.task.add_done_callback(lambda _: self._forget())
        return Running(self._load, stale)
