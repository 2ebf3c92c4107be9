"""The callers of one event loop: each waits for the flight of its key, or serves what is stale (single-flight)."""

from __future__ import annotations

import asyncio
import random
import time
from contextlib import AbstractContextManager, nullcontext
from contextvars import Context
from typing import Any, TypeAlias

from coherd._calls import messages
from coherd._loading.circles import CHAIN, circle_over_processes, holder_of, waiting
from coherd._loading.decide import falls_back, patience, poll_pause_ms, serves_at_once
from coherd._loading.events import Events, LoadEventKind, resource_of
from coherd._loading.flight import Answer, Call, Flight, Running
from coherd._loading.leases import Payload
from coherd._loading.load import Load, LoopLoads, Outcome
from coherd._loading.own_errors import own_error
from coherd._loading.policy import LoadLimits
from coherd._rpc.methods import DELETE
from coherd._rpc.per_loop import PerLoop
from coherd._rpc.protocol import Transport
from coherd.errors import CacheError, ClientClosed, LoadCircle, LoadTimeout, UndecodableValue
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as pb

Name: TypeAlias = "tuple[Key[Any], frozenset[tuple[str, str]]]"


class Flights:
    """The flights of one event loop by key and extra tags, and those who wait for them.

    Args:
        transport: carries the requests.
        limits: of the client.
        events: of the client.
    """

    def __init__(self, transport: Transport, limits: LoadLimits, events: Events) -> None:
        self.loads = LoopLoads(transport, limits, events)
        self._by_name: dict[Name, Flight] = {}
        self._removals: dict[Key[Any], asyncio.Task[CacheError | None]] = {}
        self._closed = False

    def check_open(self) -> None:
        """Raises:
        ClientClosed: the client is closed.
        """
        if self._closed:
            raise ClientClosed("the client is closed")

    async def close(self) -> None:
        """Cancel all loads, release their leases, and wait for that. Callers get `ClientClosed`."""
        self._closed = True
        await self.loads.cancel()

    async def get_or_load(self, call: Call, *, waits: bool = False) -> pb.Hit | Payload:
        """The value of a key: what is cached, what somebody loads, or what the call loads itself.

        Args:
            call: whose key.
            waits: it was told that somebody else loads.

        Raises:
            CacheError: as `CacheClient.get_or_load`.
            Exception: of the loader.
        """
        self.check_open()
        policy, started_s = call.policy, time.monotonic()
        hard_s = min(call.until_s, started_s + (call.terms.timeout_ms + policy.load_timeout_ms) / 1_000)
        stale: pb.Hit | None = None
        while True:
            limit = patience(policy, started_s=started_s, hard_s=hard_s, stale=stale is not None)
            try:
                with self._waiting_elsewhere(call, waits):
                    answer = await self._ask(call, waits, limit.until_s)
            except LoadCircle as error:
                if stale is not None and falls_back(policy, error, stale=True):
                    return stale
                raise
            if isinstance(answer, pb.Hit):
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
                raise LoadTimeout(waited_too_long(call))
            waits = True

    def _waiting_elsewhere(self, call: Call, waits: bool) -> AbstractContextManager[None]:
        """While a call asks again that was told that somebody else loads."""
        chain = call.context.get(CHAIN, ())
        if not waits or not chain:
            return nullcontext()
        holder = holder_of(self.loads.transport.service, call.key, resource_of(call.key))
        return waiting(chain, holder, elsewhere=True)

    async def _ask(self, call: Call, waits: bool, until_s: float) -> Answer | None:
        """The flight's answer; None if there was none in time."""
        answer = self._flight(call).ask(call, waits=waits)
        try:
            await asyncio.wait([answer], timeout=max(0.0, until_s - time.monotonic()))
            return answer.result() if answer.done() else None
        finally:
            if not answer.cancel() and not answer.cancelled():
                answer.exception()  # seen, also if the caller was cancelled just now

    async def outcome(self, call: Call, load: Load, stale: pb.Hit | None, started_s: float) -> Outcome | None:
        """How a load of this process ended; None if the call that began at ``started_s`` waits no longer."""
        # A load ends by itself within its time limit, and waits as long for its turn or thread before it; its exchanges
        # with the service have theirs.
        hard_s = time.monotonic() + (2 * call.policy.load_timeout_ms + 3 * call.terms.timeout_ms) / 1_000
        hard_s = min(hard_s, call.until_s)
        limit = patience(call.policy, started_s=started_s, hard_s=hard_s, stale=stale is not None)
        try:
            with waiting(call.context.get(CHAIN, ()), load.node):
                outcome = await load.outcome(limit.until_s)
        except LoadCircle as error:
            return Outcome({}, error)
        if outcome is None and not limit.then_stale:
            return Outcome({}, LoadTimeout("the call took too long; the load goes on"))
        return outcome

    async def load_directly(self, call: Call, error: Exception) -> Payload:
        """What the call's own loader returns, stored nowhere.

        Args:
            call: whose loader.
            error: why it has no lease.

        Raises:
            Exception: of the loader.
        """
        load = self.loads.load_directly(call.plan(stale=False), error)
        answer = settle(call, await self.outcome(call, load, None, time.monotonic()), None)
        assert isinstance(answer, Payload)
        return answer

    async def remove_undecodable(self, key: Key[Any], error: UndecodableValue, timeout_ms: int) -> None:
        """Delete a stored value that does not decode; callers of one moment share one deletion.

        Raises:
            CacheError: it may still be there.
        """
        running = self._removals.get(key)
        if running is None:
            self.loads.events.happened(LoadEventKind.UNDECODABLE, [key], error, log_it=True)
            request = pb.DeleteRequest(key=messages.key_message(key))
            running = self._removals[key] = self.loads.start(self._remove(key, request, timeout_ms), Context())
        failed = await asyncio.shield(running)
        if failed is not None:
            raise own_error(failed)

    async def _remove(self, key: Key[Any], request: pb.DeleteRequest, timeout_ms: int) -> CacheError | None:
        try:
            await self.loads.transport.call(DELETE, request, timeout_ms)
        except CacheError as error:
            return error
        finally:
            del self._removals[key]
        return None

    def _flight(self, call: Call) -> Flight:
        name = (call.key, frozenset((call.terms.tags or {}).items()))
        flight = self._by_name.get(name)
        if flight is None:
            flight = self._by_name[name] = Flight(self.loads, lambda: self._forget(name))
        return flight

    def _forget(self, name: Name) -> None:
        flight = self._by_name.get(name)
        if flight is not None and flight.idle:
            del self._by_name[name]


class LoopFlights(PerLoop[Flights]):
    """The flights of one client, by event loop.

    Args:
        transport: carries the requests.
        limits: of each loop.
        events: of the client.
    """

    def __init__(self, transport: Transport, limits: LoadLimits, events: Events) -> None:
        super().__init__(lambda: Flights(transport, limits, events))
        self.events = events
        self._closed = False

    def current(self) -> Flights:
        """Those of the running loop.

        Raises:
            ClientClosed: the client is closed.
        """
        if self._closed:
            raise ClientClosed("the client is closed")
        return self.by_loop.get(asyncio.get_running_loop()) or super().current()

    async def close(self) -> None:
        """End the running loop's loads; those of other loops end with their callers' calls."""
        self._closed = True
        own, _ = self.take_all()
        if own is not None:
            await own.close()


def waited_too_long(call: Call) -> str:
    """Text of the error of a call that somebody else's load did not end in time for."""
    text = "somebody else's load took too long"
    running = [node for node in call.context.get(CHAIN, ()) if not node.ended]
    return f"{text}; {circle_over_processes(running[-1].name, resource_of(call.key))}" if running else text


def settle(call: Call, outcome: Outcome | None, stale: pb.Hit | None) -> pb.Hit | Payload:
    """What a caller gets from a load that ended, or that it waits for no longer.

    Raises:
        BaseException: why the load failed, or the service refused its value; a copy of the caller's own.
    """
    if outcome is None:
        if stale is not None:
            return stale
        raise LoadTimeout("the load took too long")
    if outcome.error is not None:
        if stale is not None and falls_back(call.policy, outcome.error, stale=True):
            return stale
        raise own_error(outcome.error)
    mistake = outcome.mistakes.get(call.key)
    if mistake is not None:
        raise own_error(mistake)
    return outcome.loaded[call.key]
