"""Many keys with one call of the loader."""

from __future__ import annotations

import asyncio
import contextvars
import secrets
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Final, NamedTuple, TypeAlias

from coherd._calls.batches import MAX_CALLS_AT_ONCE, Part, split_keys
from coherd._calls.time_limit import TimeLimit
from coherd._loading.decide import loads_directly, serves_at_once
from coherd._loading.flight import Call
from coherd._loading.flights import Flights, settle
from coherd._loading.leases import Granted, Leases, Payload, lease_request
from coherd._loading.load import Load, Plan, Source
from coherd._loading.own_errors import own_error
from coherd._loading.policy import LoadPolicy, Terms
from coherd._rpc.methods import BATCH_LEASE
from coherd._rpc.status import error_of_item
from coherd.contract.limits import TOKEN_BYTES
from coherd.contract.reasons import Retry
from coherd.errors import CacheError, ClientClosed, DeadlineExceeded, LoadTimeout, OutcomeUnknown, ServerDefect
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as pb

Value: TypeAlias = "pb.Hit | Payload"

MAX_WAITS: Final = 32
"""Keys loaded by others that one call waits for at once."""


class ManyCall(NamedTuple):
    """One caller's wish for many keys."""

    source_of: Callable[[Sequence[Key[Any]]], Source]
    """The source of some of the keys."""
    in_thread: bool
    """The loader is a plain one."""
    terms: Terms
    policy: LoadPolicy
    context: contextvars.Context
    until_s: float
    """See `Call`."""

    def left_ms(self, limit: TimeLimit) -> int:
        """Time limit of a request for leases.

        Args:
            limit: of all of them.

        Raises:
            LoadTimeout: the call's time is up.
            DeadlineExceeded: the limit's is.
        """
        left_s = self.until_s - time.monotonic()
        if left_s <= 0:
            raise LoadTimeout("the call took too long")
        return max(1, int(min(limit.left_ms(), left_s * 1_000)))

    def of_key(self, key: Key[Any]) -> Call:
        """The same wish for one of the keys."""
        return Call(key, self.source_of([key]), self.in_thread, self.terms, self.policy, self.context, self.until_s)


class ManyLoads:
    """One `CacheClient.get_or_load_many`.

    Args:
        flights: of the event loop.
        call: what is wished.
    """

    def __init__(self, flights: Flights, call: ManyCall) -> None:
        self._flights = flights
        self._call = call
        self._started_s = time.monotonic()
        self._results: dict[Any, Value] = {}
        self._errors: dict[Any, CacheError] = {}
        self._leased: dict[Key[Any], Granted] = {}
        self._stale: dict[Key[Any], pb.Hit] = {}
        """What keys with a lease may be served meanwhile."""
        self._held: list[Key[Any]] = []
        self._direct: dict[Key[Any], CacheError] = {}
        """Keys that are loaded without a lease, and why."""

    async def run(self, keys: Sequence[Key[Any]]) -> Part:
        """Results and errors by key. However it ends, leases that no load has are released.

        One load for all keys of which this caller got the lease, or which it must load without one; those of others are
        waited for meanwhile. Keys with a stale value to serve are
        refreshed in the background, unless the call has to load others.

        Raises:
            BaseException: of the loader, its own or somebody else's in this process.
            ClientClosed: the client was closed during the call.
        """
        self._flights.check_open()
        # As a task of the loop's loads: it ends before the connection does.
        task = self._flights.loads.start(self._run(keys))
        try:
            return await task
        except asyncio.CancelledError:
            own = asyncio.current_task()
            if own is not None and own.cancelling():
                raise
            raise ClientClosed("the client was closed during the call") from None

    async def _run(self, keys: Sequence[Key[Any]]) -> Part:
        try:
            return await self._sorted_and_loaded(keys)
        finally:
            tokens = [(key, granted.token) for key, granted in self._leased.items()]
            self._flights.loads.releases.add(tokens, self._call.terms)

    async def _sorted_and_loaded(self, keys: Sequence[Key[Any]]) -> Part:
        permits = asyncio.Semaphore(MAX_CALLS_AT_ONCE)
        limit = TimeLimit(self._call.terms.timeout_ms)

        async def ask(part: Sequence[Key[Any]]) -> None:
            async with permits:
                await self._ask(part, limit)

        await _all(ask(part) for part in split_keys(keys))
        permits = asyncio.Semaphore(MAX_WAITS)

        async def wait(key: Key[Any]) -> None:
            async with permits:
                await self._wait(key)

        await _all([self._load_own(), *(wait(key) for key in self._held)])
        ordered = {key: self._results[key] for key in keys if key in self._results}
        return Part(ordered, self._errors)

    # Leases.

    async def _ask(self, keys: Sequence[Key[Any]], limit: TimeLimit) -> None:
        """Sort keys by what the leases say."""
        call, transport = self._call, self._flights.loads.transport
        tokens = {key: secrets.token_bytes(TOKEN_BYTES) for key in keys}
        items = [lease_request(key, token, call.terms) for key, token in tokens.items()]
        try:
            answer = await transport.call(
                BATCH_LEASE, pb.BatchLeaseRequest(items=items), call.left_ms(limit), call.terms.has_fallback
            )
        except asyncio.CancelledError:
            self._flights.loads.releases.add(tokens.items(), call.terms)
            raise
        except CacheError as error:
            if _may_be_granted(error):
                self._flights.loads.releases.add(tokens.items(), call.terms)
            if not all(loads_directly(call.policy, key, error) for key in keys):
                raise
            self._direct.update(dict.fromkeys(keys, error))
            return
        if len(answer.results) != len(keys):
            self._flights.loads.releases.add(tokens.items(), call.terms)
            raise ServerDefect("the answer does not have one result per key")
        for (key, token), result in zip(tokens.items(), answer.results, strict=True):
            self._sort(key, token, result)

    def _sort(self, key: Key[Any], token: bytes, result: pb.BatchLeaseResult) -> None:
        if result.HasField("error"):
            error = error_of_item(result.error)
            if _may_be_granted(error):
                self._flights.loads.releases.add([(key, token)], self._call.terms)
            if loads_directly(self._call.policy, key, error):
                self._direct[key] = error
            else:
                self._errors[key] = error
        elif result.lease.HasField("hit"):
            self._results[key] = result.lease.hit
        elif result.lease.HasField("granted"):
            self._leased[key] = Granted(token, result.lease.granted.grant)
            if result.lease.granted.HasField("stale"):
                self._stale[key] = result.lease.granted.stale
        elif result.lease.HasField("held"):
            self._held.append(key)
        else:
            self._errors[key] = ServerDefect("the answer is neither a value nor a lease")

    async def _wait(self, key: Key[Any]) -> None:
        try:
            self._results[key] = await self._flights.get_or_load(self._call.of_key(key), waits=True)
        except CacheError as error:
            self._errors[key] = error

    # Loads.

    async def _load_own(self) -> None:
        policy = self._call.policy
        at_once = [k for k, hit in self._stale.items() if serves_at_once(policy, stale=True, early=not hit.stale)]
        waited_for = [key for key in self._leased if key not in set(at_once)] + list(self._direct)
        if not waited_for:
            self._results.update((key, self._stale[key]) for key in at_once)
            if at_once and self._flights.loads.has_room_for_refresh:
                self._start(at_once, background=True)
            return
        chosen = [*waited_for, *at_once]
        load = self._start(chosen, background=False)
        for key in chosen:
            await self._settle(key, load)

    def _start(self, keys: Sequence[Key[Any]], *, background: bool) -> Load:
        call, loads = self._call, self._flights.loads
        stale = [key for key in keys if key in self._stale]
        policy = call.policy
        plan = Plan(
            keys,
            call.source_of(keys),
            call.in_thread,
            policy.load_timeout_ms,
            stale,
            policy.error_pause_ms,
            call.context,
        )
        held = {key: self._leased.pop(key) for key in keys if key in self._leased}
        leases = Leases(loads.transport, loads.releases, loads.events, held, call.terms)
        without = {key: self._direct[key] for key in keys if key in self._direct}
        return loads.load(plan, leases, background=background, without=without)

    async def _settle(self, key: Key[Any], load: Load) -> None:
        call, stale = self._call.of_key(key), self._stale.get(key)
        outcome = await self._flights.outcome(call, load, stale, self._started_s)
        mistake = None if outcome is None else outcome.mistakes.get(key)
        if mistake is None:
            self._results[key] = settle(call, outcome, stale)
        else:
            error = own_error(mistake)
            assert isinstance(error, CacheError)
            self._errors[key] = error


def _may_be_granted(error: CacheError) -> bool:
    """Whether a lease that was asked for may be held although the request failed."""
    return isinstance(error, (OutcomeUnknown, DeadlineExceeded)) and error.retry is not Retry.SAFE


async def _all(coroutines: Iterable[Any]) -> None:
    """Run all to their end and raise the first failure; if the caller is cancelled, so are they."""
    results = await asyncio.gather(*coroutines, return_exceptions=True)
    for result in results:
        if isinstance(result, BaseException):
            raise result
