"""Leases: one caller loads, the others wait [one-load]. What was loaded: `coherd_server.core.filling`."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import (
    LeaseItem,
    LeaseOutcome,
    check_grant,
    check_lease,
    check_release,
    extra_tags_of,
    lease_counts,
)
from coherd.contract.limits import GRANT_BYTES
from coherd.contract.reasons import Refusal
from coherd_server.core.counters import Counters
from coherd_server.core.failure import Failure, failure_of, refused
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.granted_leases import GrantedLeases
from coherd_server.core.lease_attempt import Granted, Held, LeaseAnswer, LeaseAttempt, current_lease
from coherd_server.core.store import (
    HoldOutcome,
    Store,
    StoreUnavailable,
)
from coherd_server.core.waiting import WaitingRooms

LOOK_AGAIN_S: Final = 0.2
"""The timer behind the wake-ups: a lease that expires wakes nobody [timer-behind-wakes]. Stretched where many wait: one
look is enough."""
LOOKERS: Final = 10
LONGEST_LOOK_S: Final = 5.0
MARK_MS: Final = 30_000
"""How long the store remembers that somebody waits."""
_NEW_GRANT: Final = partial(os.urandom, GRANT_BYTES)


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
        new_grant: Callable[[], bytes] = _NEW_GRANT,
    ) -> None:
        self._store = store
        self._counters = counters
        self._draw = draw
        self._attempt = LeaseAttempt(store, reader, grants, draw, new_grant)
        self._rooms = WaitingRooms()
        store.on_wake(self._rooms.wake)

    async def lease(self, item: LeaseItem) -> LeaseAnswer:
        """A fresh value; else the lease, for one caller; the others are held until something changes, at most
        ``wait_ms``, unless there is a stale value to serve."""
        try:
            check_lease(item)
            (answer,) = await self._attempt.answers([item])
            waited = False
            if isinstance(answer, Held) and answer.stale is None and item.wait_ms:
                answer = await self._wait(item)
                waited = True
        except Refusal as refusal:
            return refused(refusal)
        except StoreUnavailable as error:
            return failure_of(error)
        self._count(item, answer, waited)
        return answer

    async def lease_many(self, items: Sequence[LeaseItem]) -> list[LeaseAnswer]:
        """As `lease` for each item, in order, in as few round trips as for one; nobody is held until something
        changes."""
        answers: dict[int, LeaseAnswer] = {}
        asked: dict[int, LeaseItem] = {}
        for index, item in enumerate(items):
            try:
                check_lease(item)
                asked[index] = item
            except Refusal as refusal:
                answers[index] = refused(refusal)
        found = await self._attempt.answers(list(asked.values()))
        for (index, item), answer in zip(asked.items(), found, strict=True):
            self._count(item, answer, False)
            answers[index] = answer
        return [answers[index] for index in range(len(items))]

    async def _wait(self, item: LeaseItem) -> LeaseAnswer:
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
                (answer,) = await self._attempt.answers([item])
                remaining_s = end_s - loop.time()
                if not isinstance(answer, Held) or answer.stale is not None or remaining_s <= 0 or self._rooms.closed:
                    return answer
                woken = False
                if not marked:
                    continue
                look_s = min(LOOK_AGAIN_S * max(1.0, room.callers / LOOKERS), LONGEST_LOOK_S) * (0.5 + self._draw())
                await asyncio.wait([change], timeout=min(remaining_s, look_s))
                woken = change.done()

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
        if held is HoldOutcome.LOST:
            return Held()
        counts = self._counters.counts[key.domain.name]
        counts.update(lease_counts(item, LeaseOutcome.JOINED, waited=False))
        return Granted(item.lease_ms, item.grant)

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

    def _count(self, item: LeaseItem, answer: LeaseAnswer, waited: bool) -> None:
        if isinstance(answer, Failure):
            return
        counts = self._counters.counts[item.key.domain.name]
        hit = answer if isinstance(answer, Lookup) else answer.stale
        kind = LeaseOutcome.MISS
        if hit is not None:
            kind = LeaseOutcome.HIT if hit is answer else LeaseOutcome.STALE
            counts["read_bytes"] += len(hit.validity.payload)
        counts.update(lease_counts(item, kind, waited=waited))
