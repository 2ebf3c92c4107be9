"""Leases: one caller loads, the others wait [one-load]. What was loaded: `coherd_server.core.filling`."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import (
    LeaseItem,
    check_grant,
    check_lease,
    check_release,
    check_same_extra,
    extra_tags_of,
)
from coherd.contract.limits import GRANT_BYTES
from coherd.contract.reasons import Refusal
from coherd.contract.ttl import refresh_early
from coherd_server.core.counters import Counters
from coherd_server.core.failure import CONTENDED, FOREIGN_VALUE, Failure, failure_of, refused
from coherd_server.core.granted_leases import GrantedLeases
from coherd_server.core.lease_bytes import Lease, token_of
from coherd_server.core.lease_check import current_lease
from coherd_server.core.reading import Lookup, Reader
from coherd_server.core.store import (
    EpochRead,
    Grant,
    GrantOutcome,
    HoldOutcome,
    Store,
    StoreUnavailable,
    WriteBasis,
)
from coherd_server.core.validity import State, expected_block, extra_refs_of
from coherd_server.core.waiting import WaitingRooms

LOOK_AGAIN_S: Final = 0.2
"""The timer behind the wake-ups: a lease that expires wakes nobody [timer-behind-wakes]. Stretched where many wait: one
look is enough."""
LOOKERS: Final = 10
LONGEST_LOOK_S: Final = 5.0
MARK_MS: Final = 30_000
"""How long the store remembers that somebody waits."""
MAX_ATTEMPTS: Final = 16
"""How often a grant starts over because value or lease changed under it."""


class Granted(NamedTuple):
    """The caller loads; ``stale`` may be served meanwhile."""

    lease_ms: int
    grant: bytes
    """What a fill or a renewal must present besides the token."""
    stale: Lookup | None = None


class Held(NamedTuple):
    """Somebody else loads, or the lease is lost; ``stale`` may be served meanwhile."""

    stale: Lookup | None = None


class Leases:
    """Leases over one store.

    Args:
        store: where entries and leases live.
        reader: of the same store.
        grants: told of each lease that is granted.
        counters: that every lease and fill adds to.
        draw: source of random numbers in ``[0, 1)`` for early refresh.
        new_grant: source of random bytes, `GRANT_BYTES` of them, never the same twice.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        grants: GrantedLeases,
        counters: Counters,
        *,
        draw: Callable[[], float] = random.random,
        new_grant: Callable[[], bytes] = lambda: os.urandom(GRANT_BYTES),
    ) -> None:
        self._store = store
        self._reader = reader
        self._granted = grants
        self._counters = counters
        self._draw = draw
        self._new_grant = new_grant
        self._rooms = WaitingRooms()
        store.on_wake(self._rooms.wake)

    async def lease(self, item: LeaseItem) -> Lookup | Granted | Held | Failure:
        """A fresh value; else the lease, for one caller; the others are held until something changes, at most
        ``wait_ms``, unless there is a stale value to serve."""
        try:
            check_lease(item)
            answer = await self._look(item)
            waited = False
            if isinstance(answer, Held) and answer.stale is None and item.wait_ms:
                answer = await self._wait(item)
                waited = True
        except Refusal as refusal:
            return refused(refusal)
        except StoreUnavailable as error:
            return failure_of(error)
        self._count(item.key, answer, waited)
        return answer

    async def _wait(self, item: LeaseItem) -> Lookup | Granted | Held | Failure:
        """Look again at every change, until there is another answer than that somebody else loads."""
        loop = asyncio.get_running_loop()
        end_s = loop.time() + item.wait_ms / 1000
        with self._rooms.enter(item.key) as room:
            woken = False
            while True:
                change = room.next_change
                marked = room.is_marked
                if not marked and not woken:  # who was woken looks first: most likely nothing is left to wait for
                    await room.mark(lambda: self._store.await_changes(item.key.text, MARK_MS), MARK_MS / 2000)
                    marked = True
                answer = await self._look(item)
                remaining_s = end_s - loop.time()
                if not isinstance(answer, Held) or answer.stale is not None or remaining_s <= 0 or self._rooms.closed:
                    return answer
                woken = False
                if not marked:
                    continue
                look_s = min(LOOK_AGAIN_S * max(1.0, room.callers / LOOKERS), LONGEST_LOOK_S) * (0.5 + self._draw())
                await asyncio.wait([change], timeout=min(remaining_s, look_s))
                woken = change.done()

    async def _look(self, item: LeaseItem) -> Lookup | Granted | Held | Failure:
        """One judgement of value and lease, until it holds."""
        for _ in range(MAX_ATTEMPTS):
            answer = await self._try(item)
            if answer is not None:
                return answer
        return CONTENDED

    async def _try(self, item: LeaseItem) -> Lookup | Granted | Held | Failure | None:
        """Judge value and lease once; None if they changed meanwhile."""
        key = item.key
        names = [tag for _, tag in key.tags]
        values, leases, reads = await self._store.read_leased([key.text], names)
        (found,) = await self._reader.classify([key], values, dict(zip(names, reads, strict=True)))
        state = found.validity.state
        if state is State.FOREIGN:
            return FOREIGN_VALUE
        early = state is State.FRESH and self._is_early(found)
        if state is State.FRESH and not early:
            return found
        extra = extra_tags_of(item)
        needs_ms = key.policy.ttl_ms + key.policy.stale_ms + item.lease_ms
        needs = {tag: needs_ms for _, tag in (*key.tags, *extra)}
        raw_lease = leases[0] or b""
        epochs = dict(zip(names, reads, strict=True))
        if state is State.ABSENT and not raw_lease and self._are_known(needs, epochs):
            basis = WriteBasis(values[0].identity, values[0].redis_now_ms, b"")
        else:
            (basis,), ensured = await self._store.ensure_epochs([key.text], needs)
            epochs = dict(ensured)
        if state is State.INVALIDATED:  # only by epochs read after it [judged-by-later-epochs]
            # A copy: what is read there of extra tags must not replace what was ensured for the stamps.
            (found,) = await self._reader.classify([key], values, dict(epochs))
            if found.validity.state is State.FRESH:
                return found
        stale = found if early or found.validity.state is State.STALE else None
        holds = await current_lease(self._store, key, raw_lease, basis.identity, epochs)
        if holds is not None and holds.token != item.token:
            return found if early else Held(stale)
        if holds is not None:
            check_same_extra(extra_refs_of(key, holds.block), extra)
            held = await self._store.hold(key.text, holds.token + holds.grant, item.lease_ms)
            return None if held is HoldOutcome.LOST else Granted(item.lease_ms, holds.grant, stale)
        if token_of(raw_lease) == item.token:
            return Held(stale)  # its own lease, overtaken: a late copy of the request, whose lease nobody would use
        block = expected_block(key, extra, basis.identity, epochs)
        if block is None:
            raise AssertionError("ensure_epochs answered without an epoch")
        header = found.validity.header
        lease = Lease(item.token, self._new_grant(), basis.redis_now_ms, block)
        grant = Grant(
            key.text,
            None if header is None else found.validity.head,
            raw_lease,
            lease.encode(),
            item.lease_ms,
            basis.identity,
        )
        (outcome,) = await self._store.grant([grant])
        if isinstance(outcome, StoreUnavailable):
            return failure_of(outcome)
        if outcome is GrantOutcome.FOREIGN:
            return FOREIGN_VALUE
        if outcome is not GrantOutcome.GRANTED:
            return None
        if header is None:  # else its fill looks first: it must not be in the way of what is there if it is overtaken
            self._granted.note(key.text, lease, grant.lease, item.lease_ms)
        return Granted(item.lease_ms, lease.grant, stale)

    def _are_known(self, needs: Mapping[str, int], epochs: Mapping[str, EpochRead]) -> bool:
        """Whether epochs that were just read are all there are to be, and live long enough: none is to be ensured.

        That does where nothing is stored: nothing is judged dead by them [judged-by-later-epochs], they are only what
        the load begins with.
        """
        known = self._store.remembered(needs) if needs.keys() == epochs.keys() else None
        if known is None:
            return False
        return all(read.epoch is not None and known[1][tag] == read for tag, read in epochs.items())

    def _is_early(self, found: Lookup) -> bool:
        header = found.validity.header
        if header is None:
            return False
        return refresh_early(
            found.key.policy,
            remaining_ms=found.validity.remaining_ms,
            load_ms=header.times.load_ms,
            draw=1.0 - self._draw(),
        )

    def close(self) -> None:
        """End all waits: the server stops."""
        self._rooms.close()

    async def renew(self, item: LeaseItem) -> Granted | Held | Failure:
        """Let a lease of this token and grant live ``lease_ms`` from now if its stamps are current, else `Held`.

        Never grants: so a client learns whether the load that runs under its token is still worth joining
        [confirmed-join].
        """
        key = item.key
        try:
            check_lease(item)
            check_grant(item.grant)
            names = [tag for _, tag in (*key.tags, *extra_tags_of(item))]
            needs_ms = key.policy.ttl_ms + key.policy.stale_ms + item.lease_ms
            _, leases, _ = await self._store.read_leased([key.text], ())
            (basis,), epochs = await self._store.ensure_epochs([key.text], dict.fromkeys(names, needs_ms))
            lease = await current_lease(self._store, key, leases[0] or b"", basis.identity, dict(epochs), needs_ms)
            if lease is None or (lease.token, lease.grant) != (item.token, item.grant):
                return Held()
            held = await self._store.hold(key.text, item.token + item.grant, item.lease_ms)
        except Refusal as refusal:
            return refused(refusal)
        except StoreUnavailable as error:
            return failure_of(error)
        return Held() if held is HoldOutcome.LOST else Granted(item.lease_ms, item.grant)

    async def release(self, key: ResolvedKey, token: bytes, cooldown_ms: int) -> bool | Failure:
        """Release the lease of a token, whatever its grant: a caller that got no answer can release what may have been
        granted. Whether the token held it.

        Args:
            key: whose lease it is.
            token: who holds it.
            cooldown_ms: how long nobody is granted the next one, at most `MAX_LEASE_MS`; 0: the next caller is.
        """
        try:
            check_release(token, cooldown_ms)
            return await self._store.hold(key.text, token, cooldown_ms) is not HoldOutcome.LOST
        except Refusal as refusal:
            return refused(refusal)
        except StoreUnavailable as error:
            return failure_of(error)

    def _count(self, key: ResolvedKey, answer: Lookup | Granted | Held | Failure, waited: bool) -> None:
        if isinstance(answer, Failure):
            return
        counts = self._counters.of(key.domain.name)
        if isinstance(answer, Lookup):
            counts["hits"] += 1
            counts["read_bytes"] += len(answer.validity.payload)
            counts["loads_avoided"] += waited
        elif answer.stale is not None:
            counts["stale_hits"] += 1
            counts["read_bytes"] += len(answer.stale.validity.payload)
        else:
            counts["misses"] += 1
