"""Delete, touch, invalidate: changes that carry no value."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import Final

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.declared import DomainSpec
from coherd.contract.reasons import Refusal
from coherd.contract.ttl import choose_ttl_ms
from coherd_server.core.counters import Counters
from coherd_server.core.entry import Flags, encode_header
from coherd_server.core.failure import CONTENDED, FOREIGN_VALUE, UNAVAILABLE, UNKNOWN, Failure, failure_of, refused
from coherd_server.core.get import Reader
from coherd_server.core.near.publish import ChangePublisher, distinct
from coherd_server.core.store import RemoveOutcome, Store, StoreUnavailable, TouchOutcome
from coherd_server.core.validity import State, expected_block

MAX_ATTEMPTS: Final = 4
"""How often a touch starts over because the entry changed under it."""
_GONE: Final = (RemoveOutcome.REMOVED, RemoveOutcome.ABSENT)
"""A near cache may hold what the store had lost already."""


class Changer:
    """Changes over one store.

    Args:
        store: where entries live.
        reader: of the same store.
        publisher: tells near caches.
        counters: that every change adds to.
    """

    def __init__(self, store: Store, reader: Reader, publisher: ChangePublisher, counters: Counters) -> None:
        self._store = store
        self._reader = reader
        self._publisher = publisher
        self._counters = counters

    async def delete(self, keys: Sequence[ResolvedKey], *, wait_for_near_caches: bool = False) -> list[bool | Failure]:
        """Remove each key and void its lease; whether an entry was stored."""
        done: list[bool | Failure] = []
        asked = {key.text: key for key in keys}
        told = dict(zip(asked, self._publisher.of_keys([*asked.values()], wait=wait_for_near_caches), strict=True))
        notices = distinct(told.values())
        replicas = {text: key.domain.wait_replicas for text, key in asked.items()}
        removed = await self._store.remove(replicas, notices)
        outcomes = dict(zip(asked, removed, strict=True))
        unconfirmed: Failure | None = None
        if any(outcome in _GONE for outcome in removed):
            unconfirmed = await self._publisher.finish(notices)
        for key in keys:
            outcome = outcomes[key.text]
            if isinstance(outcome, StoreUnavailable):
                done.append(failure_of(outcome))
            elif outcome is RemoveOutcome.FOREIGN:
                done.append(FOREIGN_VALUE)
            elif unconfirmed is not None and told[key.text] is not None:
                done.append(unconfirmed)
            else:
                self._counters.counts[key.domain.name]["deletes"] += 1
                done.append(outcome is RemoveOutcome.REMOVED)
        return done

    async def touch(self, key: ResolvedKey, ttl_ms: int | None) -> int | Failure | None:
        """Give a fresh value a new TTL from now [touch-renews-epochs]; the TTL, or None on a miss."""
        try:
            if ttl_ms is not None:
                choose_ttl_ms(key.policy, ttl_ms)
            for _ in range(MAX_ATTEMPTS):
                lookup = (await self._reader.find([key]))[0]
                header = lookup.validity.header
                if lookup.validity.state is not State.FRESH or header is None:
                    return None
                chosen_ms = choose_ttl_ms(key.policy, ttl_ms, negative=bool(header.flags & Flags.NEGATIVE))
                lifetime_ms = chosen_ms + header.times.stale_ms
                needs = {tag: lifetime_ms for _, tag in (*key.tags, *lookup.extra)}
                (basis,), epochs = await self._store.ensure_epochs([key.text], needs)
                if header.block != expected_block(key, lookup.extra, basis.identity, epochs):
                    return None
                times = header.times._replace(fresh_until_ms=basis.redis_now_ms + chosen_ms)
                renewed = encode_header(flags=header.flags, version=header.version, times=times, block=header.block)
                outcome = await self._store.touch(key.text, lookup.validity.head, renewed, lifetime_ms)
                if outcome is TouchOutcome.TOUCHED:
                    return await self._publisher.finish(distinct(self._publisher.of_keys([key]))) or chosen_ms
        except Refusal as refusal:
            return refused(refusal)
        except StoreUnavailable as error:
            return failure_of(error)
        return CONTENDED

    async def drop(
        self, tags: Mapping[str, DomainSpec], keys: Sequence[ResolvedKey], *, wait_for_near_caches: bool = False
    ) -> int | Failure:
        """Invalidate tags and delete keys at the same time; how many of the keys were stored.

        Args:
            tags: each with its domain.
            keys: may repeat.
            wait_for_near_caches: as in `invalidate`.
        """
        if not keys:
            return await self.invalidate(tags, wait_for_near_caches=wait_for_near_caches) or 0
        removals, failure = await asyncio.gather(
            self.delete(keys, wait_for_near_caches=wait_for_near_caches),
            self.invalidate(tags, wait_for_near_caches=wait_for_near_caches),
        )
        failures = [removal for removal in removals if isinstance(removal, Failure)] + ([failure] if failure else [])
        if failures:
            reasons = {failed.reason for failed in failures}
            untouched = len(failures) == len(removals) + bool(tags) and reasons == {UNAVAILABLE.reason}
            return failures[0] if untouched or failures[0].reason != UNAVAILABLE.reason else UNKNOWN
        return sum(existed is True for existed in removals)

    async def invalidate(self, tags: Mapping[str, DomainSpec], *, wait_for_near_caches: bool = False) -> Failure | None:
        """Give every tag a fresh epoch, in time that does not depend on the number of entries; None when all
        hold [hold-then-acknowledge].

        Args:
            tags: each with its domain.
            wait_for_near_caches: until each of them has dropped what is invalidated, whatever the domain says.
        """
        notices = distinct(self._publisher.of_tags(tags, wait=wait_for_near_caches))
        try:
            await self._store.invalidate({tag: domain.wait_replicas for tag, domain in tags.items()}, notices)
        except StoreUnavailable as error:
            return failure_of(error)
        unconfirmed = await self._publisher.finish(notices)
        if unconfirmed is not None:
            return unconfirmed
        for domain in tags.values():
            self._counters.counts[domain.name]["invalidations"] += 1
        return None
