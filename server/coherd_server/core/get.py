"""Reading: what is stored under keys and what it is worth.

Each verb takes a list and answers per item, so that unary calls, batches and session frames are one code path; one bad
item never fails the rest. Answers are values or `Failure`; only programming errors are raised.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import structlog

from coherd.catalog.catalog import ResolvedKey
from coherd.contract.keys import decode_value
from coherd.contract.tags import TagRef
from coherd_server.core.counters import Counters
from coherd_server.core.entry import EntryFormatError, Flags, Header, decode_plain_header
from coherd_server.core.failure import Failure, failure_of
from coherd_server.core.read_columns import ReadColumns, judge, nothing
from coherd_server.core.store import EpochRead, Store, StoreUnavailable, ValueRead
from coherd_server.core.validity import FOREIGN, State, Validity, extra_refs_of, open_entry, validate

_log = structlog.get_logger("coherd.store")


class Lookup(NamedTuple):
    """What a read found, for the caller."""

    key: ResolvedKey
    validity: Validity
    extra: tuple[TagRef, ...] = ()

    def is_hit(self, accept_stale: bool) -> bool:
        """Whether the caller gets a value."""
        state = self.validity.state
        return state is State.FRESH or (accept_stale and state is State.STALE)

    @property
    def extra_tags(self) -> dict[str, str]:
        """Identifier and decoded value of the extra tags."""
        pairs = (ref.split("=", 1) for ref, _ in self.extra if "=" in ref)
        return {name: decode_value(value) for name, value in pairs}


class Reader:
    """Reads over one store.

    Args:
        store: where entries live.
        counters: that every read adds to.
    """

    def __init__(self, store: Store, counters: Counters) -> None:
        self._store = store
        self._counters = counters
        self._told_later = False

    async def get(self, keys: Sequence[ResolvedKey], *, accept_stale: bool = False) -> list[Lookup | Failure]:
        """What is stored under each key, in order.

        A read that starts after an acknowledged invalidation never returns a value from before it (P1): values and
        epochs are read within this call.
        """
        started = time.perf_counter()
        try:
            lookups: list[Lookup | Failure] = list(await self.find(keys))
        except StoreUnavailable as error:
            if len(keys) == 1 or self._store.one_primary:
                return [failure_of(error)] * len(keys)
            lookups = await self._find_each(keys)
        self._count(lookups, accept_stale, time.perf_counter() - started)
        return lookups

    async def get_columns(
        self, keys: Sequence[ResolvedKey], *, accept_stale: bool = False
    ) -> tuple[ReadColumns, dict[int, Lookup | Failure]]:
        """As `get`, in columns; what is neither a miss nor a fresh value without version and extra tags stands beside
        them, by its place."""
        started = time.perf_counter()
        others: dict[int, Lookup | Failure]
        try:
            tags = _tags_of(keys)
            reads, found = await self._store.read_columns([key.text for key in keys], tags)
            epochs = dict(zip(tags, found, strict=True))
            columns, places = judge(keys, reads, epochs)
            others = {}
            if places:
                raws, identities, now_ms = reads
                left = [ValueRead(raws[at], identities[at], now_ms[at]) for at in places]
                lookups = await self.classify([keys[at] for at in places], left, epochs)
                others.update(zip(places, lookups, strict=True))
        except StoreUnavailable:
            return nothing(len(keys)), dict(enumerate(await self.get(keys, accept_stale=accept_stale)))
        seconds = time.perf_counter() - started
        self._count_columns(keys, columns, seconds)
        if others:
            self._count(others.values(), accept_stale, seconds)
        return columns, others

    async def _find_each(self, keys: Sequence[ResolvedKey]) -> list[Lookup | Failure]:
        """One read per key, so that of several nodes one that is down fails only its own keys."""

        async def find_one(key: ResolvedKey) -> Lookup | Failure:
            try:
                return (await self.find([key]))[0]
            except StoreUnavailable as error:
                return failure_of(error)

        return await asyncio.gather(*map(find_one, keys))

    async def find(self, keys: Sequence[ResolvedKey]) -> list[Lookup]:
        """What is stored under each key, in order, without counting it.

        Raises:
            StoreUnavailable: a node does not answer.
        """
        tags = _tags_of(keys)
        reads, epochs = await self._store.read([key.text for key in keys], tags)
        return await self.classify(keys, reads, dict(zip(tags, epochs, strict=True)))

    async def classify(
        self, keys: Sequence[ResolvedKey], reads: Sequence[ValueRead], epochs: dict[str, EpochRead]
    ) -> list[Lookup]:
        """What values that were read are worth by these epochs, to which those of extra tags are added: one more round
        trip, only for entries that have them.

        Raises:
            StoreUnavailable: the epochs of extra tags cannot be read.
        """
        lookups: list[Lookup] = []
        new = tuple.__new__
        tagged: dict[int, tuple[Header, tuple[TagRef, ...]]] = {}
        for key, read in zip(keys, reads, strict=True):
            raw = read[0]
            plain = None if raw is None else decode_plain_header(raw)
            if plain is not None:
                lookups.append(new(Lookup, (key, validate(key, read, plain, (), epochs), ())))
                continue
            entry = open_entry(read)
            if isinstance(entry, Validity):
                validity = entry
                if entry.state is State.LATER:
                    self._tell_later()
            elif entry.flags and entry.flags & Flags.EXTRA_TAGS:
                validity = FOREIGN  # unless its extra tags can be read
                with contextlib.suppress(EntryFormatError):
                    tagged[len(lookups)] = entry, extra_refs_of(key, entry.block)
            else:
                validity = validate(key, read, entry, (), epochs)
            lookups.append(new(Lookup, (key, validity, ())))
        if tagged:
            more = list({tag: None for _, refs in tagged.values() for _, tag in refs})
            epochs.update(zip(more, (await self._store.read([], more))[1], strict=True))
            for index, (entry, refs) in tagged.items():
                lookups[index] = Lookup(keys[index], validate(keys[index], reads[index], entry, refs, epochs), refs)
        return lookups

    def _count_columns(self, keys: Sequence[ResolvedKey], columns: ReadColumns, seconds: float) -> None:
        """Count what the columns have."""
        states, values, _, _ = columns
        domain = keys[0].domain
        if all(key.domain is domain for key in keys):
            self._add(domain.name, states, values, seconds)
            return
        by_domain: dict[str, tuple[list[State | None], list[bytes]]] = {}
        for key, state, value in zip(keys, states, values, strict=True):
            of_domain = by_domain.setdefault(key.domain.name, ([], []))
            of_domain[0].append(state)
            of_domain[1].append(value)
        for name, (some, their) in by_domain.items():
            self._add(name, some, their, seconds)

    def _add(self, domain: str, states: Sequence[State | None], values: Sequence[bytes], seconds: float) -> None:
        told = len(states) - states.count(None)
        if not told:
            return
        hits, dead = states.count(State.FRESH), states.count(State.INVALIDATED)
        counts = self._counters.counts[domain]
        if hits:
            counts["hits"] += hits
            counts["read_bytes"] += sum(map(len, values))
        if told > hits:
            counts["misses"] += told - hits
        if dead:
            counts["dead"] += dead
        self._counters.reads[domain].add(seconds)

    def _tell_later(self) -> None:
        """Says once that another server of this store is ahead of this one."""
        if not self._told_later:
            self._told_later = True
            _log.warning(
                "entries of a later format are misses here: another server of this store is of a later version"
            )

    def _count(self, lookups: Iterable[Lookup | Failure], accept_stale: bool, seconds: float) -> None:
        by_domain: dict[str, list[int]] = {}
        for lookup in lookups:
            if isinstance(lookup, Failure):
                continue
            key, validity, _ = lookup
            sums = by_domain.get(key.domain.name)
            if sums is None:
                sums = by_domain[key.domain.name] = [0] * len(_COUNTED)
            state, raw, header, _, _ = validity
            if state is State.FRESH or (accept_stale and state is State.STALE):
                sums[0 if state is State.FRESH else 1] += 1
                sums[2] += len(raw) - (header.size if header is not None else 0)
            else:
                sums[3] += 1
                if state is State.FOREIGN:
                    sums[4] += 1
                elif state is State.INVALIDATED:
                    sums[5] += 1
        for domain, sums in by_domain.items():
            counts = self._counters.counts[domain]
            self._counters.reads[domain].add(seconds)
            for name, by in zip(_COUNTED, sums, strict=True):
                if by:
                    counts[name] += by


def _tags_of(keys: Sequence[ResolvedKey]) -> list[str]:
    """The tags that follow from keys, each once."""
    return list({tag: None for key in keys for _, tag in key.stamp_starts})


_COUNTED: Final = ("hits", "stale_hits", "read_bytes", "misses", "foreign", "dead")
