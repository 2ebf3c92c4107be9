"""One attempt at a lease: value and lease are read together, and the lease is granted if both are still the same.

Leases that this process has granted are remembered: their fills need not look for what is stored of them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import LeaseItem, check_same_extra, extra_tags_of
from coherd.contract.ttl import refresh_early
from coherd_server.core.entry import EntryFormatError
from coherd_server.core.failure import CONTENDED, FOREIGN_VALUE, Failure, failure_of
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.lease_bytes import Lease, decode_lease, is_later, token_of
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

MOST_GRANTS: Final = 65_536
"""Most granted leases that are remembered."""
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


class GrantedLease(NamedTuple):
    """One lease, as it was stored."""

    lease: Lease
    raw: bytes


class GrantedLeases:
    """Remembers each lease of this process for as long as it was granted for, at most `MOST_GRANTS` of them.

    Nothing hangs on it: a fill compares what is remembered with what is stored.

    Args:
        now_s: a clock that does not go back, in seconds.
    """

    def __init__(self, now_s: Callable[[], float] = time.monotonic) -> None:
        self._now_s = now_s
        self._granted: dict[tuple[str, bytes, bytes], tuple[GrantedLease, float]] = {}

    def note(self, key: str, lease: Lease, raw: bytes, lease_ms: int) -> None:
        """A lease of the key was granted."""
        granted = self._granted
        granted[key, lease.token, lease.grant] = (GrantedLease(lease, raw), self._now_s() + lease_ms / 1000)
        while len(granted) > MOST_GRANTS or self._is_over(next(iter(granted))):
            del granted[next(iter(granted))]

    def take(self, key: str, token: bytes, grant: bytes) -> GrantedLease | None:
        """The lease, if it is remembered; it is not any more. A fill ends it."""
        found = self._granted.pop((key, token, grant), None)
        return None if found is None else found[0]

    def __len__(self) -> int:
        return len(self._granted)

    def _is_over(self, name: tuple[str, bytes, bytes]) -> bool:
        return self._granted[name][1] < self._now_s()


class LeaseAttempt:
    """Answers those who ask for a value or the right to load it.

    Args:
        store: where entries and leases live.
        reader: of the same store.
        grants: told of each lease that is granted.
        draw: source of random numbers in ``[0, 1)`` for early refresh.
        new_grant: source of random bytes, `GRANT_BYTES` of them, never the same twice.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        grants: GrantedLeases,
        draw: Callable[[], float],
        new_grant: Callable[[], bytes],
    ) -> None:
        self._store = store
        self._reader = reader
        self._grants = grants
        self._draw = draw
        self._new_grant = new_grant

    async def answer(self, item: LeaseItem) -> Lookup | Granted | Held | Failure:
        """What value and lease are worth now: a fresh value, the lease, or that somebody else holds it.

        Raises:
            Refusal: a tag cannot be given, or the token holds a lease with other extra tags.
            StoreUnavailable: the store does not answer.
        """
        for _ in range(MAX_ATTEMPTS):
            answer = await self._try(item)
            if answer is not None:
                return answer
        return CONTENDED

    async def _try(self, item: LeaseItem) -> Lookup | Granted | Held | Failure | None:
        """One look at value and lease; None if they changed before the lease was granted."""
        key = item.key
        names = [tag for _, tag in key.tags]
        values, leases, reads = await self._store.read_leased([key.text], names)
        (lookup,) = await self._reader.classify([key], values, dict(zip(names, reads, strict=True)))
        state = lookup.validity.state
        if state is State.FOREIGN:
            return FOREIGN_VALUE
        early = state is State.FRESH and self._is_early(lookup)
        if state is State.FRESH and not early:
            return lookup
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
        if state is State.INVALIDATED:  # only by epochs read after it [later-epochs]
            # A copy: what is read there of extra tags must not replace what was ensured for the stamps.
            (lookup,) = await self._reader.classify([key], values, dict(epochs))
            if lookup.validity.state is State.FRESH:
                return lookup
        stale = lookup if early or lookup.validity.state is State.STALE else None
        holds = await current_lease(self._store, key, raw_lease, basis.identity, epochs)
        if holds is not None and holds.token != item.token:
            return lookup if early else Held(stale)
        if holds is not None:
            check_same_extra(extra_refs_of(key, holds.block), extra)
            held = await self._store.hold(key.text, holds.token + holds.grant, item.lease_ms)
            return None if held is HoldOutcome.LOST else Granted(item.lease_ms, holds.grant, stale)
        if token_of(raw_lease) == item.token or is_later(raw_lease):
            # Its own lease, overtaken: a late copy of the request, whose lease nobody would use. Or one that a later
            # version granted and this one cannot judge: it ends by itself [later-format].
            return Held(stale)
        block = expected_block(key, extra, basis.identity, epochs)
        if block is None:
            raise AssertionError("ensure_epochs answered without an epoch")
        head = lookup.validity.head
        lease = Lease(item.token, self._new_grant(), basis.redis_now_ms, block)
        grant = Grant(
            key.text,
            head or None,
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
        if not head:  # else its fill looks first: it must not be in the way of what is there if it is overtaken
            self._grants.note(key.text, lease, grant.lease, item.lease_ms)
        return Granted(item.lease_ms, lease.grant, stale)

    def _are_known(self, needs: Mapping[str, int], epochs: Mapping[str, EpochRead]) -> bool:
        """Whether epochs that were just read are all there are to be, and live long enough: none is to be ensured.

        That does where nothing is stored: nothing is judged dead by them [later-epochs], they are only what
        the load begins with.
        """
        known = self._store.remembered(needs) if needs.keys() == epochs.keys() else None
        if known is None:
            return False
        return all(read.epoch is not None and known[1][tag] == read for tag, read in epochs.items())

    def _is_early(self, lookup: Lookup) -> bool:
        header = lookup.validity.header
        if header is None:
            return False
        return refresh_early(
            lookup.key.policy,
            remaining_ms=lookup.validity.remaining_ms,
            load_ms=header.times.load_ms,
            draw=1.0 - self._draw(),
        )


async def current_lease(
    store: Store, key: ResolvedKey, raw: bytes, identity: bytes, epochs: dict[str, EpochRead], needs_ms: int = 0
) -> Lease | None:
    """The lease in stored bytes, if its stamps are those of now.

    Args:
        store: where it was read.
        key: whose lease it is.
        raw: its bytes; empty where there is none.
        identity: of the key's node.
        epochs: of the tags that follow from the key. Those of the lease's extra tags are added here: read, or made to
            live ``needs_ms`` where an entry or a longer load is to carry them [epochs-outlive-entries].
        needs_ms: 0: they are only looked at.

    Raises:
        StoreUnavailable: epochs of extra tags cannot be read.
    """
    if not raw:
        return None
    try:
        lease = decode_lease(raw)
        extra = extra_refs_of(key, lease.block)
    except EntryFormatError:
        return None
    more = [tag for _, tag in extra if tag not in epochs]
    if more and needs_ms:
        epochs.update((await store.ensure_epochs([], dict.fromkeys(more, needs_ms)))[1])
    elif more:
        epochs.update(zip(more, (await store.read([], more))[1], strict=True))
    return lease if lease.block == expected_block(key, extra, identity, epochs) else None
