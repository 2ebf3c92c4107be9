"""Attempts at leases: values and leases are read together, and a lease is granted if both are still the same."""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import LeaseItem, check_same_extra, extra_tags_of
from coherd.contract.reasons import Refusal
from coherd.contract.tags import TagRef
from coherd.contract.ttl import refresh_early
from coherd_server.core.entry import EntryFormatError
from coherd_server.core.failure import CONTENDED, FOREIGN_VALUE, Failure, failure_of, refused
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.granted_leases import GrantedLeases
from coherd_server.core.lease_bytes import Lease, decode_lease, is_later, token_of
from coherd_server.core.store import (
    EpochRead,
    Grant,
    GrantOutcome,
    HoldOutcome,
    Store,
    StoreUnavailable,
    ValueRead,
    WriteBasis,
)
from coherd_server.core.validity import State, expected_block, extra_refs_of

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


LeaseAnswer = Lookup | Granted | Held | Failure
"""What who asks for a value or a lease is told."""


class _Next(enum.Enum):
    """What is to be done after a look where there is no answer yet."""

    GRANT = enum.auto()
    AGAIN = enum.auto()


class _Look(NamedTuple):
    """What was found for one item that got no answer by that."""

    item: LeaseItem
    value: ValueRead
    raw_lease: bytes
    """Empty: none."""
    lookup: Lookup
    early: bool
    """The value is fresh, and is to be refreshed early."""
    extra: tuple[TagRef, ...]
    basis: WriteBasis
    epochs: dict[str, EpochRead]
    """Of the tags it would be stamped with."""

    @property
    def tags(self) -> list[str]:
        """What it would be stamped with."""
        return [tag for _, tag in (*self.item.key.tags, *self.extra)]

    @property
    def needs_ms(self) -> int:
        """How long the epochs must live at least."""
        policy = self.item.key.policy
        return policy.ttl_ms + policy.stale_ms + self.item.lease_ms

    @property
    def is_fresh(self) -> bool:
        """There is a value after all."""
        return self.lookup.validity.state is State.FRESH and not self.early

    @property
    def stale(self) -> Lookup | None:
        """What may be served while somebody loads."""
        return self.lookup if self.early or self.lookup.validity.state is State.STALE else None


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

    async def answers(self, items: Sequence[LeaseItem]) -> list[LeaseAnswer]:
        """What value and lease of each item are worth now: a fresh value, the lease, or that somebody else holds it.
        Items are concurrent, also those of one key: together they take as few round trips as one alone."""
        answers: dict[int, LeaseAnswer] = {}
        left = dict(enumerate(items))
        for _ in range(MAX_ATTEMPTS):
            await self._try(left, answers)
            left = {index: item for index, item in left.items() if index not in answers}
            if not left:
                break
        return [answers.get(index, CONTENDED) for index in range(len(items))]

    async def _try(self, items: Mapping[int, LeaseItem], answers: dict[int, LeaseAnswer]) -> None:
        """One look at values and leases, and the grants that follow from it. There is no answer where value or lease
        changed before it was granted."""
        asked = items
        try:
            looks = await self._look(items, answers)
            asked = {index: look.item for index, look in looks.items()}
            if looks:
                await self._grant(await self._judge(looks, answers), answers)
        except StoreUnavailable as error:
            left = {index: item for index, item in asked.items() if index not in answers}
            if len(left) == 1 or self._store.one_primary:
                answers.update(dict.fromkeys(left, failure_of(error)))
            else:  # so that a node that is down fails only its own items
                await asyncio.gather(*(self._try({index: item}, answers) for index, item in left.items()))

    async def _look(self, items: Mapping[int, LeaseItem], answers: dict[int, LeaseAnswer]) -> dict[int, _Look]:
        """What is there; fresh and foreign values are answered.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        keys = [item.key for item in items.values()]
        names = list({tag: None for key in keys for _, tag in key.stamp_starts})
        values, leases, reads = await self._store.read_leased([key.text for key in keys], names)
        epochs = dict(zip(names, reads, strict=True))
        lookups = await self._reader.classify(keys, values, dict(epochs))
        looks: dict[int, _Look] = {}
        for (index, item), value, raw, lookup in zip(items.items(), values, leases, lookups, strict=True):
            state = lookup.validity.state
            early = state is State.FRESH and self._is_early(lookup)
            if state is State.FOREIGN:
                answers[index] = FOREIGN_VALUE
            elif state is State.FRESH and not early:
                answers[index] = lookup
            else:
                try:
                    extra = extra_tags_of(item)
                except Refusal as refusal:
                    answers[index] = refused(refusal)
                    continue
                own = {tag: epochs[tag] for _, tag in item.key.stamp_starts}
                basis = WriteBasis(value.identity, value.redis_now_ms, b"")
                looks[index] = _Look(item, value, raw or b"", lookup, early, extra, basis, own)
        return looks

    async def _judge(self, looks: Mapping[int, _Look], answers: dict[int, LeaseAnswer]) -> dict[int, _Look]:
        """The looks after which a lease can be granted, each with what it is to be stamped with.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        asking = {index: look for index, look in looks.items() if not self._is_known(look)}
        judged = dict(looks)
        if asking:
            needs: dict[str, int] = {}
            for look in asking.values():
                for tag in look.tags:
                    needs[tag] = max(needs.get(tag, 0), look.needs_ms)
            texts = [look.item.key.text for look in asking.values()]
            bases, ensured = await self._store.ensure_epochs(texts, needs)
            for (index, look), basis in zip(asking.items(), bases, strict=True):
                judged[index] = look._replace(basis=basis, epochs={tag: ensured[tag] for tag in look.tags})
            await self._look_again(judged, ensured)
        nexts = await asyncio.gather(*(self._meet(look) for look in judged.values() if look.raw_lease))
        met = dict(zip([index for index, look in judged.items() if look.raw_lease], nexts, strict=True))
        grantable: dict[int, _Look] = {}
        for index, look in judged.items():
            answer = look.lookup if look.is_fresh else met.get(index, _Next.GRANT)
            if answer is _Next.GRANT:
                grantable[index] = look
            elif not isinstance(answer, _Next):
                answers[index] = answer
        return grantable

    async def _look_again(self, judged: dict[int, _Look], ensured: Mapping[str, EpochRead]) -> None:
        """Values count as invalidated only by epochs that were read after them [later-epochs]."""
        dead = {index: look for index, look in judged.items() if look.lookup.validity.state is State.INVALIDATED}
        if not dead:
            return
        # A copy: what is read there of extra tags must not replace what was ensured for the stamps.
        keys, values = [look.item.key for look in dead.values()], [look.value for look in dead.values()]
        lookups = await self._reader.classify(keys, values, dict(ensured))
        for (index, look), lookup in zip(dead.items(), lookups, strict=True):
            judged[index] = look._replace(lookup=lookup)

    async def _meet(self, look: _Look) -> LeaseAnswer | _Next:
        """What follows from the lease that is there.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        if look.is_fresh:
            return look.lookup
        item = look.item
        holds = await current_lease(self._store, item.key, look.raw_lease, look.basis.identity, look.epochs)
        if holds is not None and holds.token != item.token:
            return look.lookup if look.early else Held(look.stale)
        if holds is not None:
            try:
                check_same_extra(extra_refs_of(item.key, holds.block), look.extra)
            except Refusal as refusal:
                return refused(refusal)
            held = await self._store.hold(item.key.text, holds.token + holds.grant, item.lease_ms)
            return _Next.AGAIN if held is HoldOutcome.LOST else Granted(item.lease_ms, holds.grant, look.stale)
        if token_of(look.raw_lease) == item.token or is_later(look.raw_lease):
            # Its own lease, overtaken: a late copy of the request, whose lease nobody would use. Or one that a later
            # version granted and this one cannot judge: it ends by itself [later-format].
            return Held(look.stale)
        return _Next.GRANT

    async def _grant(self, looks: Mapping[int, _Look], answers: dict[int, LeaseAnswer]) -> None:
        """Grant leases where value and lease are still what was looked at [grant-compares]."""
        leases: list[Lease] = []
        grants: list[Grant] = []
        for look in looks.values():
            item, basis = look.item, look.basis
            block = expected_block(item.key, look.extra, basis.identity, look.epochs)
            if block is None:
                raise AssertionError("ensure_epochs answered without an epoch")
            lease = Lease(item.token, self._new_grant(), basis.redis_now_ms, block)
            head = look.lookup.validity.head or None
            leases.append(lease)
            grants.append(Grant(item.key.text, head, look.raw_lease, lease.encode(), item.lease_ms, basis.identity))
        outcomes = await self._store.grant(grants) if grants else ()
        for (index, look), lease, grant, outcome in zip(looks.items(), leases, grants, outcomes, strict=True):
            if isinstance(outcome, StoreUnavailable):
                answers[index] = failure_of(outcome)
            elif outcome is GrantOutcome.FOREIGN:
                answers[index] = FOREIGN_VALUE
            elif outcome is GrantOutcome.GRANTED:
                if grant.judged_head is None:  # else its fill looks first: it must not be in the way of what is there
                    self._grants.note(grant.key, lease, grant.lease, grant.lease_ms)  # if it is overtaken
                answers[index] = Granted(grant.lease_ms, lease.grant, look.stale)

    def _is_known(self, look: _Look) -> bool:
        """Whether the epochs that were just read are all there are to be, and live long enough: none is to be ensured.

        That does where nothing is stored: nothing is judged dead by them [later-epochs], they are only what
        the load begins with.
        """
        if look.lookup.validity.state is not State.ABSENT or look.raw_lease or look.extra:
            return False
        known = self._store.remembered(dict.fromkeys(look.epochs, look.needs_ms))
        if known is None:
            return False
        return all(read.epoch is not None and known[1][tag] == read for tag, read in look.epochs.items())

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
