"""The verbs of the cache over the store port: get, set, delete, touch, invalidate.

Each verb takes a list and answers per item, so that unary calls, batches and session frames are one code path; one bad item
never fails the rest. Answers are values or `Failure`; only programming errors are raised.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple, TypeVar

from coherd.contract import tags as tag_rules
from coherd.contract.catalog import Catalog, ResolvedKey
from coherd.contract.entry import EntryFormatError, Flags, Header, Times, encode_header
from coherd.contract.keys import decode_value
from coherd.contract.reasons import Refusal
from coherd.contract.ttl import choose_ttl_ms
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.domain.counters import Counters
from coherd_server.domain.judge import (
    ABSENT,
    FOREIGN,
    State,
    Verdict,
    expected_block,
    extra_tags_of,
    judge,
    open_entry,
)
from coherd_server.domain.ports import (
    EpochRead,
    Holder,
    Put,
    PutOutcome,
    RemoveOutcome,
    Store,
    StoreUnavailable,
    TouchOutcome,
)

MAX_ATTEMPTS: Final = 4
"""How often a write starts over because the node or the entry changed under it."""
MAX_VERSION: Final = 2**63 - 1


class Failure(NamedTuple):
    """Why an item failed: a reason of `ErrorReason`, a text without keys or payloads, and the field at fault."""

    reason: int
    message: str
    field: str = ""


@dataclass(frozen=True, slots=True)
class Found:
    """What a read found, for the caller."""

    key: ResolvedKey
    verdict: Verdict
    extra: tuple[tag_rules.TagRef, ...] = ()

    def is_hit(self, accept_stale: bool) -> bool:
        """Whether the caller gets a value."""
        state = self.verdict.state
        return state is State.FRESH or (accept_stale and state is State.STALE)

    @property
    def extra_tags(self) -> dict[str, str]:
        """Identifier and decoded value of the extra tags."""
        pairs = (ref.split("=", 1) for ref, _ in self.extra if "=" in ref)
        return {name: decode_value(value) for name, value in pairs}


class SetItem(NamedTuple):
    """One value to store. Bounds as in `coherd.v1.SetRequest`."""

    key: ResolvedKey
    payload: bytes
    ttl_ms: int | None = None
    extra_tags: Mapping[str, str] = {}
    only_if_absent: bool = False
    version: int | None = None
    negative: bool = False


class SetDone(NamedTuple):
    """What a set did."""

    outcome: PutOutcome
    """STORED, OCCUPIED (a fresh value is present) or OLDER."""
    ttl_ms: int = 0


class _Plan(NamedTuple):
    item: SetItem
    ttl_ms: int
    extra: tuple[tag_rules.TagRef, ...]

    @property
    def tags(self) -> Iterable[str]:
        return (tag for _, tag in (*self.item.key.tags, *self.extra))

    @property
    def stale_ms(self) -> int:
        return 0 if self.item.negative else self.item.key.policy.stale_ms

    @property
    def lifetime_ms(self) -> int:
        return self.ttl_ms + self.stale_ms


T = TypeVar("T")
UNAVAILABLE: Final = Failure(
    ErrorReason.ERROR_REASON_STORE_UNAVAILABLE, "the store does not answer; nothing was changed"
)
UNKNOWN: Final = Failure(
    ErrorReason.ERROR_REASON_OUTCOME_UNKNOWN, "the store did not answer in time; the change may or may not take effect"
)
_FULL: Final = Failure(ErrorReason.ERROR_REASON_STORE_FULL, "the store is at its memory limit and evicts nothing")
_FOREIGN: Final = Failure(
    ErrorReason.ERROR_REASON_FOREIGN_VALUE, "bytes that are not ours are stored under this key; they are left untouched"
)
_CONTENDED: Final = Failure(
    ErrorReason.ERROR_REASON_CONTENDED, "other writes of this key kept changing it; nothing was changed"
)


def failure_of(error: StoreUnavailable) -> Failure:
    """The failure a store error is told as."""
    if error.full:
        return _FULL
    return UNKNOWN if error.outcome_unknown else UNAVAILABLE


def refused(refusal: Refusal) -> Failure:
    """The failure a refused input is told as."""
    return Failure(refusal.reason, str(refusal), refusal.field)


class Cache:
    """The verbs over one store and one catalog.

    Args:
        store: where entries live.
        catalog: with the operator's overrides applied.
        counters: that every verb adds to.
        max_value_bytes: longest payload accepted.
        spread: source of random numbers in ``[0, 1)`` for jitter.
    """

    def __init__(
        self,
        store: Store,
        catalog: Catalog,
        counters: Counters,
        *,
        max_value_bytes: int,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._catalog = catalog
        self._counters = counters
        self._max_value_bytes = max_value_bytes
        self._spread = spread

    # get

    async def get(self, keys: Sequence[ResolvedKey], *, accept_stale: bool = False) -> list[Found | Failure]:
        """What is stored under each key, in order. A read that starts after an acknowledged invalidation never returns a
        value from before it (P1): values and epochs are read within this call."""
        started = time.perf_counter()
        try:
            found: list[Found | Failure] = list(await self._find(keys))
        except StoreUnavailable as error:
            if len(keys) == 1:
                return [failure_of(error)]
            found = await self._find_each(keys)
        self._count_reads(found, accept_stale, time.perf_counter() - started)
        return found

    async def _find_each(self, keys: Sequence[ResolvedKey]) -> list[Found | Failure]:
        """One read per key, so that a node that is down fails only its own keys."""

        async def one(key: ResolvedKey) -> Found | Failure:
            try:
                return (await self._find([key]))[0]
            except StoreUnavailable as error:
                return failure_of(error)

        return await asyncio.gather(*map(one, keys))

    async def _find(self, keys: Sequence[ResolvedKey]) -> list[Found]:
        names = list({tag: None for key in keys for _, tag in key.tags})
        reads, epoch_reads = await self._store.read([key.text for key in keys], names)
        epochs = dict(zip(names, epoch_reads, strict=True))
        opened = [open_entry(read) for read in reads]
        extras: dict[int, tuple[tag_rules.TagRef, ...]] = {}
        for index, (key, entry) in enumerate(zip(keys, opened, strict=True)):
            if isinstance(entry, Header) and entry.flags & Flags.EXTRA_TAGS:
                try:
                    extras[index] = extra_tags_of(key, entry)
                except EntryFormatError:
                    opened[index] = FOREIGN
        if extras:
            more = list({tag: None for refs in extras.values() for _, tag in refs})
            epochs.update(zip(more, (await self._store.read([], more))[1], strict=True))
        found: list[Found] = []
        for index, (key, read, entry) in enumerate(zip(keys, reads, opened, strict=True)):
            extra = extras.get(index, ())
            verdict = judge(key, read, entry, extra, epochs) if isinstance(entry, Header) else entry
            found.append(Found(key, verdict, extra))
        return found

    def _count_reads(self, found: Iterable[Found | Failure], accept_stale: bool, seconds: float) -> None:
        timed: set[str] = set()
        for one in found:
            if isinstance(one, Failure):
                continue
            domain = one.key.domain.name
            counts = self._counters.of(domain)
            state = one.verdict.state
            if one.is_hit(accept_stale):
                counts["hits" if state is State.FRESH else "stale_hits"] += 1
                header = one.verdict.header
                counts["read_bytes"] += len(one.verdict.raw) - (header.size if header else 0)
            else:
                counts["misses"] += 1
                if state is State.FOREIGN:
                    counts["foreign"] += 1
                elif state is State.DEAD:
                    counts["dead"] += 1
            if domain not in timed:
                timed.add(domain)
                self._counters.reads[domain].add(seconds)

    # set

    async def set(self, items: Sequence[SetItem]) -> list[SetDone | Failure]:
        """Store values, each stating that it is current now. Items are concurrent.

        Stamps are read before the write, so a value set while its tag is invalidated is dead on arrival.
        """
        started = time.perf_counter()
        done: list[SetDone | Failure] = [_CONTENDED] * len(items)
        pending: dict[int, _Plan] = {}
        for index, item in enumerate(items):
            try:
                pending[index] = self._plan(item)
            except Refusal as refusal:
                done[index] = refused(refusal)
        for _ in range(MAX_ATTEMPTS):
            if not pending:
                break
            outcomes = await self._attempt(pending)
            for index, outcome in outcomes.items():
                done[index] = outcome
                del pending[index]
        self._count_writes(items, done, time.perf_counter() - started)
        return done

    def _plan(self, item: SetItem) -> _Plan:
        if len(item.payload) > self._max_value_bytes:
            raise Refusal(
                ErrorReason.ERROR_REASON_VALUE_TOO_LARGE,
                f"the value has {len(item.payload)} bytes, the server's limit max_value_bytes is {self._max_value_bytes}",
                field="value",
            )
        if item.negative and item.payload:
            raise Refusal(ErrorReason.ERROR_REASON_REQUEST_INVALID, "a negative entry has no value", field="value")
        if item.version is not None and not 1 <= item.version <= MAX_VERSION:
            raise Refusal(
                ErrorReason.ERROR_REASON_VERSION_INVALID, f"version must be in 1..{MAX_VERSION}", field="version"
            )
        key = item.key
        ttl_ms = choose_ttl_ms(key.policy, item.ttl_ms, negative=item.negative, spread=self._spread())
        extra: tuple[tag_rules.TagRef, ...] = ()
        if item.extra_tags:
            domain = key.domain
            extra = tag_rules.extra_tags(domain.name, item.extra_tags, domain.tags, domain.any_tags, key.tags)
        return _Plan(item, ttl_ms, extra)

    async def _attempt(self, pending: Mapping[int, _Plan]) -> dict[int, SetDone | Failure]:
        """One try at every pending set; those absent from the answer must be tried again."""
        needs: dict[str, int] = {}
        for plan in pending.values():
            for tag in plan.tags:
                needs[tag] = max(needs.get(tag, 0), plan.lifetime_ms)
        try:
            holders, epochs = await self._store.mint([plan.item.key.text for plan in pending.values()], needs)
        except StoreUnavailable as error:
            if len(pending) == 1:
                return dict.fromkeys(pending, _FULL if error.full else UNAVAILABLE)
            return await self._attempt_each(pending)
        answers: dict[int, SetDone | Failure] = {}
        puts: dict[int, Put] = {}
        for (index, plan), holder in zip(pending.items(), holders, strict=True):
            replaces: bytes | None = None
            if plan.item.only_if_absent:
                verdict = await self._present(plan.item.key)
                if isinstance(verdict, Failure) or verdict.state is State.FOREIGN:
                    answers[index] = verdict if isinstance(verdict, Failure) else _FOREIGN
                    continue
                if verdict.state is State.FRESH:
                    answers[index] = SetDone(PutOutcome.OCCUPIED)
                    continue
                replaces = verdict.head
            puts[index] = self._put(plan, holder, epochs, replaces)
        for index, outcome in zip(puts, await self._store.put(list(puts.values())), strict=True):
            answer = _answer(outcome, pending[index].ttl_ms)
            if answer is not None:
                answers[index] = answer
        return answers

    async def _attempt_each(self, pending: Mapping[int, _Plan]) -> dict[int, SetDone | Failure]:
        """One try per item, so that a node that is down fails only its own items."""
        parts = await asyncio.gather(*(self._attempt({index: plan}) for index, plan in pending.items()))
        return {index: answer for part in parts for index, answer in part.items()}

    async def _present(self, key: ResolvedKey) -> Verdict | Failure:
        """The verdict on a key, dead only by epochs read after the value (rule 4)."""
        try:
            found = (await self._find([key]))[0]
            if found.verdict.state is State.DEAD:
                again = (await self._find([key]))[0]
                if again.verdict.state is not State.DEAD or again.verdict.head == found.verdict.head:
                    return again.verdict
                return ABSENT
        except StoreUnavailable as error:
            return failure_of(error)
        return found.verdict

    def _put(self, plan: _Plan, holder: Holder, epochs: Mapping[str, EpochRead], replaces: bytes | None) -> Put:
        item = plan.item
        block = expected_block(item.key, plan.extra, holder.identity, epochs)
        if block is None:
            raise AssertionError("mint answered without an epoch")
        flags = Flags.NONE
        if item.negative:
            flags |= Flags.NEGATIVE
        if item.version is not None:
            flags |= Flags.VERSIONED
        if plan.extra:
            flags |= Flags.EXTRA_TAGS
        now_ms = holder.redis_now_ms
        header = encode_header(
            flags=flags,
            version=item.version or 0,
            times=Times(now_ms, now_ms + plan.ttl_ms, plan.stale_ms),
            block=block,
        )
        return Put(item.key.text, header + item.payload, plan.lifetime_ms, holder.identity, holder.fence, replaces)

    def _count_writes(self, items: Sequence[SetItem], done: Sequence[SetDone | Failure], seconds: float) -> None:
        timed: set[str] = set()
        for item, outcome in zip(items, done, strict=True):
            domain = item.key.domain.name
            if isinstance(outcome, SetDone) and outcome.outcome is PutOutcome.STORED:
                counts = self._counters.of(domain)
                counts["sets"] += 1
                counts["written_bytes"] += len(item.payload)
                if domain not in timed:
                    timed.add(domain)
                    self._counters.writes[domain].add(seconds)

    # delete, touch, invalidate

    async def delete(self, keys: Sequence[ResolvedKey]) -> list[bool | Failure]:
        """Remove each key and void its lease; whether an entry was stored."""
        done: list[bool | Failure] = []
        for key, outcome in zip(keys, await self._store.remove([key.text for key in keys]), strict=True):
            if isinstance(outcome, StoreUnavailable):
                done.append(failure_of(outcome))
            elif outcome is RemoveOutcome.FOREIGN:
                done.append(_FOREIGN)
            else:
                self._counters.of(key.domain.name)["deletes"] += 1
                done.append(outcome is RemoveOutcome.REMOVED)
        return done

    async def touch(self, key: ResolvedKey, ttl_ms: int | None) -> int | Failure | None:
        """Give a fresh value a new TTL from now; the TTL, or None on a miss."""
        try:
            chosen_ms = choose_ttl_ms(key.policy, ttl_ms)
            for _ in range(MAX_ATTEMPTS):
                found = (await self._find([key]))[0]
                header = found.verdict.header
                if found.verdict.state is not State.FRESH or header is None:
                    return None
                lifetime_ms = chosen_ms + header.times.stale_ms
                needs = {tag: lifetime_ms for _, tag in (*key.tags, *found.extra)}
                (holder,), epochs = await self._store.mint([key.text], needs)
                if header.block != expected_block(key, found.extra, holder.identity, epochs):
                    return None
                times = header.times._replace(fresh_until_ms=holder.redis_now_ms + chosen_ms)
                renewed = encode_header(flags=header.flags, version=header.version, times=times, block=header.block)
                outcome = await self._store.touch(key.text, found.verdict.head, renewed, lifetime_ms)
                if outcome is TouchOutcome.TOUCHED:
                    return chosen_ms
        except Refusal as refusal:
            return refused(refusal)
        except StoreUnavailable as error:
            return failure_of(error)
        return _CONTENDED

    async def invalidate(self, names: Sequence[str]) -> Failure | None:
        """Give every tag a fresh epoch, in time that does not depend on the number of entries; None when all hold."""
        try:
            await self._store.invalidate(names)
        except StoreUnavailable as error:
            return failure_of(error)
        for name in names:
            self._counters.of(domain_of_tag(name))["invalidations"] += 1
        return None


def domain_of_tag(tag: str) -> str:
    """The domain a tag's canonical text begins with."""
    return tag.split("/", 1)[0].split(":", 1)[0]


def _answer(outcome: PutOutcome | StoreUnavailable, ttl_ms: int) -> SetDone | Failure | None:
    """What the caller of a set is told; None where the set must start over."""
    if isinstance(outcome, StoreUnavailable):
        return failure_of(outcome)
    match outcome:
        case PutOutcome.STORED:
            return SetDone(outcome, ttl_ms)
        case PutOutcome.OLDER:
            return SetDone(outcome)
        case PutOutcome.FOREIGN:
            return _FOREIGN
        case PutOutcome.LATE:
            return UNAVAILABLE
        case PutOutcome.OCCUPIED | PutOutcome.FENCED | PutOutcome.MOVED_IDENTITY:
            return None
