"""The leases one load runs under: kept alive, filled, or released."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

from coherd._calls import messages
from coherd._calls.batches import split_keys, split_payloads
from coherd._calls.time_limit import TimeLimit
from coherd._loading.decide import AWAY, renew_every_ms
from coherd._loading.events import Events, LoadEventKind
from coherd._loading.policy import Terms
from coherd._loading.releases import Releases
from coherd._rpc.methods import BATCH_FILL, BATCH_LEASE, FILL, LEASE
from coherd._rpc.protocol import Transport
from coherd._rpc.status import error_of_item
from coherd.contract.limits import MAX_CALLERS
from coherd.errors import CacheError, InvalidRequest, NotPermitted, NotServed, ServerDefect
from coherd.key import Key
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason

log: Final = logging.getLogger("coherd.loading")
_MISTAKES: Final = (InvalidRequest, NotPermitted, NotServed)
"""Errors of a fill that are the caller's and would come again."""


class Payload(NamedTuple):
    """What a load yielded for one key, as it is stored. Callers decode it each for themselves: nobody can alter
    another's value, and a hit and a miss answer alike."""

    value: bytes | None
    """None: there is nothing."""


class Granted(NamedTuple):
    """A lease of this process."""

    token: bytes
    """Chosen here, sent in exactly one request for a grant."""
    grant: bytes
    """As it was answered. Fills and renewals name it: a late copy of the request may have the token granted anew, to
    nobody, with stamps that are newer than what is loaded here."""


class Leases:
    """Leases that were granted to this process for one load, by key. Nothing here waits for a service that is away.

    Args:
        transport: carries the requests.
        releases: of the event loop.
        events: of the client.
        held: the leases.
        terms: of the call.
    """

    def __init__(
        self,
        transport: Transport,
        releases: Releases,
        events: Events,
        held: Mapping[Key[Any], Granted],
        terms: Terms,
    ) -> None:
        self._transport = transport
        self._releases = releases
        self._events = events
        self._held = dict(held)
        self._terms = terms

    @property
    def service(self) -> object:
        """Whose leases they are."""
        return self._transport.service

    def __contains__(self, key: object) -> bool:
        """Whether the lease was not seen lost."""
        return key in self._held

    async def renew_forever(self) -> None:
        """Renew until cancelled, or until all are lost. A renewal that fails is left to the next one."""
        while self._held:
            await asyncio.sleep(renew_every_ms(self._terms.lease_ms) / 1_000)
            for keys in split_keys(list(self._held)):
                try:
                    await self.renew(keys)
                except CacheError as error:
                    log.debug("leases were not renewed: %s", type(error).__name__)

    async def renew(self, keys: Sequence[Key[Any]], *, callers: int = 0, counted: int = 0) -> None:
        """Renew once, and forget those that are lost: their epochs are no longer current, or somebody else has them.

        Args:
            keys: of the leases.
            callers: who join the load if its lease is current, for the service's counts.
            counted: those of them that the service has counted before.

        Raises:
            CacheError: it is not known which are.
        """
        known = [(key, held) for key in keys if (held := self._held.get(key)) is not None]
        if not known:
            return
        requests = [
            lease_request(key, held.token, self._terms, renews=held.grant, callers=callers, counted=counted)
            for key, held in known
        ]
        if len(requests) == 1:
            kinds = [
                (await self._transport.call(LEASE, requests[0], self._terms.timeout_ms, True)).WhichOneof("result")
            ]
        else:
            batch = pb.BatchLeaseRequest(items=requests)
            results = (await self._transport.call(BATCH_LEASE, batch, self._terms.timeout_ms, True)).results
            # An item that failed is left to the next renewal.
            kinds = [None if result.HasField("error") else result.lease.WhichOneof("result") for result in results]
        if len(kinds) != len(known):
            raise ServerDefect("the answer does not have one result per item")
        for (key, _), kind in zip(known, kinds, strict=True):
            if kind is not None and kind != "granted":
                self._held.pop(key, None)

    async def fill(
        self, loaded: Mapping[Key[Any], Payload], load_ms: int, *, stale_keys: Collection[Key[Any]], pause_ms: int
    ) -> dict[Key[Any], CacheError]:
        """Store what was loaded under its leases. Rejected fills, an absent service and values that are too large are
        no error: callers have their values. What is left is the caller's mistake, by key.

        Args:
            loaded: by key.
            load_ms: how long that took.
            stale_keys: those that have a value to serve meanwhile.
            pause_ms: how long nobody loads those again that could not be stored.
        """
        items = [
            (key, self._fill(key, held, loaded[key], load_ms)) for key, held in self._held.items() if key in loaded
        ]
        mistakes: dict[Key[Any], CacheError] = {}
        back: list[Key[Any]] = []
        if len(items) == 1:
            calls, left_ms = [items], lambda: self._terms.timeout_ms
        else:
            calls = split_payloads(items, lambda request: request.set.value)
            left_ms = TimeLimit(self._terms.timeout_ms).left_ms  # of all of them
        for call in calls:
            for key, error in (await self._send(call, left_ms)).items():
                back.append(key)
                if self._is_unremembered(loaded[key], error):
                    continue
                if isinstance(error, _MISTAKES) and error.reason != ErrorReason.ERROR_REASON_VALUE_TOO_LARGE:
                    mistakes[key] = error
                self._events.happened(LoadEventKind.UNCACHED, [key], error, log_it=not isinstance(error, AWAY))
        if back:
            paused = set(stale_keys)
            await self.release([key for key in back if key in paused], pause_ms)
            await self.release(back, 0)
        return mistakes

    def _fill(self, key: Key[Any], held: Granted, payload: Payload, load_ms: int) -> pb.FillRequest:
        negative = payload.value is None
        ttl_ms = self._terms.nothing_ttl_ms if negative else self._terms.ttl_ms
        request = pb.FillRequest(token=held.token, grant=held.grant, load_ms=load_ms)
        request.set.key.text = key
        request.set.value = payload.value or b""
        request.set.negative = negative
        if ttl_ms is not None:
            request.set.ttl_ms = ttl_ms
        return request

    async def _send(
        self, call: Sequence[tuple[Key[Any], pb.FillRequest]], left_ms: Callable[[], int]
    ) -> dict[Key[Any], CacheError]:
        """What failed, by key."""
        try:
            if len(call) == 1:
                await self._transport.call(FILL, call[0][1], left_ms(), True)
                return {}
            batch = pb.BatchFillRequest(items=[item for _, item in call])
            results = (await self._transport.call(BATCH_FILL, batch, left_ms(), True)).results
        except CacheError as error:
            return {key: error for key, _ in call}
        if len(results) != len(call):
            return {key: ServerDefect("the answer does not have one result per item") for key, _ in call}
        return {
            key: error_of_item(result.error)
            for (key, _), result in zip(call, results, strict=True)
            if result.HasField("error")
        }

    def _is_unremembered(self, payload: Payload, error: CacheError) -> bool:
        """Neither the catalog nor the call says how long "nothing" is remembered: so it is not."""
        return (
            payload.value is None
            and self._terms.nothing_ttl_ms is None
            and isinstance(error, InvalidRequest)
            and error.reason == ErrorReason.ERROR_REASON_TTL_INVALID
        )

    async def release(self, keys: Iterable[Key[Any]], pause_ms: int) -> None:
        """End leases without a value, so that the next caller loads at once, or after a pause. Never raises: what the
        service cannot be told now it is told later."""
        tokens = [(key, held.token) for key in keys if (held := self._held.pop(key, None)) is not None]
        if tokens:
            await self._releases.settle(tokens, self._terms, pause_ms)


def lease_request(
    key: Key[Any],
    token: bytes,
    terms: Terms,
    *,
    wait_ms: int = 0,
    renews: bytes | None = None,
    callers: int = 1,
    counted: int = 0,
) -> pb.LeaseRequest:
    """Asks for a lease, or renews a grant.

    Args:
        key: of the item.
        token: names the load.
        terms: of the call.
        wait_ms: how long it may be held.
        renews: the grant to renew.
        callers: who share the request, for the service's counts.
        counted: those of them that the service has counted before.

    Raises:
        TypeError: a tag is no text.
    """
    return pb.LeaseRequest(
        key=messages.key_message(key),
        token=token,
        lease_ms=terms.lease_ms,
        wait_ms=wait_ms,
        extra_tags=terms.tags,
        renew=renews is not None,
        grant=renews,
        callers=None if callers == (0 if renews is not None else 1) else min(callers, MAX_CALLERS),
        counted=min(counted, MAX_CALLERS),
    )
