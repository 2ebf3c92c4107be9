"""Writing: values that their callers state to be current now."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from coherd.contract.catalog import ResolvedKey
from coherd.contract.entry import Flags, Times, encode_header
from coherd.contract.reasons import Refusal
from coherd.contract.tags import TagRef
from coherd.contract.ttl import choose_ttl_ms
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.domain.counters import Counters
from coherd_server.domain.failure import (
    CONTENDED,
    FOREIGN_VALUE,
    FULL,
    OUTWAITED,
    UNAVAILABLE,
    Failure,
    failure_of,
    refused,
)
from coherd_server.domain.judge import ABSENT, State, Verdict, expected_block
from coherd_server.domain.near.announcing import Announcer, distinct
from coherd_server.domain.near.ports import Announcement
from coherd_server.domain.ports import Holder, Put, PutOutcome, Store, StoreUnavailable
from coherd_server.domain.reading import Reader
from coherd_server.domain.turnstile import Turnstile

MAX_ATTEMPTS: Final = 16
"""How often a write starts over because the node, the entry or the fence changed under it. Writes of one process take
turns, so only those of other processes can."""
MAX_TURN_MS: Final = 30_000
"""Longest wait of a write for those of its key that came before it."""
MAX_VERSION: Final = 2**63 - 1


UNWANTED: Final = Failure(
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, "the caller gave up before it was sent; nothing was changed"
)


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


def _nobody(index: int, outcome: SetDone | Failure) -> None:
    """Reports to nobody."""


def _always(index: int) -> bool:
    """Every item is wanted."""
    return True


class _Plan(NamedTuple):
    item: SetItem
    ttl_ms: int
    extra: tuple[TagRef, ...]

    @property
    def tags(self) -> list[str]:
        return [tag for _, tag in (*self.item.key.tags, *self.extra)]

    @property
    def stale_ms(self) -> int:
        return 0 if self.item.negative else self.item.key.policy.stale_ms

    @property
    def lifetime_ms(self) -> int:
        return self.ttl_ms + self.stale_ms


class Writer:
    """Sets over one store.

    Args:
        store: where entries live.
        reader: of the same store.
        announcer: tells near caches.
        counters: that every set adds to.
        max_value_bytes: longest payload accepted.
        spread: source of random numbers in ``[0, 1)`` for jitter.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        announcer: Announcer,
        counters: Counters,
        *,
        max_value_bytes: int,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._store = store
        self._reader = reader
        self._announcer = announcer
        self._counters = counters
        self._max_value_bytes = max_value_bytes
        self._spread = spread
        self._turnstile = Turnstile()

    async def set(
        self,
        items: Sequence[SetItem],
        *,
        turn_ms: int = MAX_TURN_MS,
        report: Callable[[int, SetDone | Failure], None] = _nobody,
        wanted: Callable[[int], bool] = _always,
    ) -> list[SetDone | Failure]:
        """Store values, each stating that it is current now. Items are concurrent.

        Stamps are read before the write, so a value set while its tag is invalidated is dead on arrival.

        Args:
            items: what to store.
            turn_ms: longest wait for earlier writes of a key; then nothing was sent, and the caller is told so.
            report: told each item's outcome as soon as it is known, by its index.
            wanted: asked before each try whether an item is still to be stored; else nothing more is sent of it.
        """
        turn_ends_s = asyncio.get_running_loop().time() + turn_ms / 1000
        started = time.perf_counter()
        done: list[SetDone | Failure] = [CONTENDED] * len(items)
        pending: dict[int, _Plan] = {}

        def end(index: int, outcome: SetDone | Failure) -> None:
            done[index] = outcome
            report(index, outcome)

        for index, item in enumerate(items):
            try:
                pending[index] = self._plan(item)
            except Refusal as refusal:
                end(index, refused(refusal))
        tries = dict.fromkeys(pending, 0)
        blocks: dict[int, tuple[bytes, bytes]] = {}
        told: dict[int, Announcement] = {}
        confirming: list[asyncio.Task[None]] = []
        entered: set[str] = set()
        try:
            while pending:
                for index in [index for index in pending if not wanted(index)]:
                    del pending[index]
                    end(index, UNWANTED)
                turn = _whose_turn(pending, self._turnstile, entered)
                if not pending:
                    break
                if not turn:
                    try:
                        async with asyncio.timeout_at(turn_ends_s):
                            entered = await self._turnstile.wait_for(plan.item.key.text for plan in pending.values())
                    except TimeoutError:
                        for index in pending:
                            end(index, OUTWAITED)
                        break
                    continue
                try:
                    outcomes = await self._attempt(turn, blocks, told)
                finally:
                    self._turnstile.leave(plan.item.key.text for plan in turn.values())
                for index in turn:
                    tries[index] += 1
                    if index in outcomes or tries[index] == MAX_ATTEMPTS:
                        del pending[index]
                        if index not in told or not _is_stored(outcomes.get(index)):
                            end(index, outcomes.get(index, CONTENDED))
                confirming += self._confirm(outcomes, told, end)
            await asyncio.gather(*confirming)
        finally:
            for task in confirming:
                task.cancel()
        self._count(items, done, time.perf_counter() - started)
        return done

    def _confirm(
        self,
        outcomes: Mapping[int, SetDone | Failure],
        told: Mapping[int, Announcement],
        end: Callable[[int, SetDone | Failure], None],
    ) -> list[asyncio.Task[None]]:
        """End what was stored once near caches are told: at once where the store did that with the change."""
        stored: dict[Announcement, list[int]] = {}
        for index, outcome in outcomes.items():
            if index in told and _is_stored(outcome):
                stored.setdefault(told[index], []).append(index)

        async def finish(one: Announcement, indexes: Sequence[int]) -> None:
            failure = await self._announcer.finish([one])
            for index in indexes:
                end(index, failure or outcomes[index])

        tasks: list[asyncio.Task[None]] = []
        for one, indexes in stored.items():
            if one.appended is None or one.awaited:
                tasks.append(asyncio.create_task(finish(one, indexes)))
            else:
                for index in indexes:
                    end(index, outcomes[index])
        return tasks

    def check(self, item: SetItem) -> int:
        """The TTL the value gets, in milliseconds.

        Raises:
            Refusal: VALUE_TOO_LARGE, REQUEST_INVALID, VERSION_INVALID or TTL_INVALID.
        """
        if len(item.payload) > self._max_value_bytes:
            raise Refusal(
                ErrorReason.ERROR_REASON_VALUE_TOO_LARGE,
                f"the value has {len(item.payload)} bytes, the server's max_value_bytes is {self._max_value_bytes}",
                field="value",
            )
        if item.negative and item.payload:
            raise Refusal(ErrorReason.ERROR_REASON_REQUEST_INVALID, "a negative entry has no value", field="value")
        if item.version is not None and not 1 <= item.version <= MAX_VERSION:
            raise Refusal(
                ErrorReason.ERROR_REASON_VERSION_INVALID, f"version must be in 1..{MAX_VERSION}", field="version"
            )
        return choose_ttl_ms(item.key.policy, item.ttl_ms, negative=item.negative, spread=self._spread())

    def _plan(self, item: SetItem) -> _Plan:
        ttl_ms = self.check(item)
        key = item.key
        extra = key.domain.extra_tags(item.extra_tags, key.tags) if item.extra_tags else ()
        return _Plan(item, ttl_ms, extra)

    async def _attempt(
        self, pending: Mapping[int, _Plan], blocks: dict[int, tuple[bytes, bytes]], told: dict[int, Announcement]
    ) -> dict[int, SetDone | Failure]:
        """One try at every pending set; those absent from the answer must be tried again.

        ``told``: what near caches must be told of each set, put there by the try that was sent.

        ``blocks``: node identity and stamps of each set's first try. A set that starts over because it was fenced keeps
        them: with newer ones it could outlive an invalidation that came after it began.
        """
        needs: dict[str, int] = {}
        for plan in pending.values():
            lifetime_ms = plan.lifetime_ms
            for tag in plan.tags:
                if needs.get(tag, 0) < lifetime_ms:
                    needs[tag] = lifetime_ms
        try:
            holders, epochs = await self._store.mint([plan.item.key.text for plan in pending.values()], needs)
        except StoreUnavailable as error:
            if len(pending) == 1:
                return dict.fromkeys(pending, FULL if error.full else UNAVAILABLE)
            return await self._attempt_each(pending, blocks, told)
        answers: dict[int, SetDone | Failure] = {}
        puts: dict[int, Put] = {}
        for (index, plan), holder in zip(pending.items(), holders, strict=True):
            replaces: bytes | None = None
            if plan.item.only_if_absent:
                verdict = await self._present(plan.item.key)
                if isinstance(verdict, Failure) or verdict.state is State.FOREIGN:
                    answers[index] = verdict if isinstance(verdict, Failure) else FOREIGN_VALUE
                    continue
                if verdict.state is State.FRESH:
                    answers[index] = SetDone(PutOutcome.OCCUPIED)
                    continue
                replaces = verdict.head
            block = expected_block(plan.item.key, plan.extra, holder.identity, epochs)
            if block is None:
                raise AssertionError("mint answered without an epoch")
            first_identity, first_block = blocks.setdefault(index, (holder.identity, block))
            if first_identity == holder.identity:
                block = first_block
            else:
                blocks[index] = (holder.identity, block)
            puts[index] = self._put(plan, holder, block, replaces)
        announcements = self._announcer.of_keys([pending[index].item.key for index in puts])
        told |= {index: one for index, one in zip(puts, announcements, strict=True) if one is not None}
        outcomes = await self._store.put(list(puts.values()), distinct(announcements))
        for index, outcome in zip(puts, outcomes, strict=True):
            answer = _answer(outcome, pending[index].ttl_ms)
            if answer is not None:
                answers[index] = answer
        return answers

    async def _attempt_each(
        self, pending: Mapping[int, _Plan], blocks: dict[int, tuple[bytes, bytes]], told: dict[int, Announcement]
    ) -> dict[int, SetDone | Failure]:
        """One try per item, so that a node that is down fails only its own items."""
        parts = await asyncio.gather(*(self._attempt({index: plan}, blocks, told) for index, plan in pending.items()))
        return {index: answer for part in parts for index, answer in part.items()}

    async def _present(self, key: ResolvedKey) -> Verdict | Failure:
        """The verdict on a key, dead only by epochs read after the value (rule 4)."""
        try:
            found = (await self._reader.find([key]))[0]
            if found.verdict.state is State.DEAD:
                again = (await self._reader.find([key]))[0]
                if again.verdict.state is not State.DEAD or again.verdict.head == found.verdict.head:
                    return again.verdict
                return ABSENT
        except StoreUnavailable as error:
            return failure_of(error)
        return found.verdict

    def _put(self, plan: _Plan, holder: Holder, block: bytes, replaces: bytes | None) -> Put:
        item = plan.item
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

    def _count(self, items: Sequence[SetItem], done: Sequence[SetDone | Failure], seconds: float) -> None:
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


def _is_stored(outcome: SetDone | Failure | None) -> bool:
    return isinstance(outcome, SetDone) and outcome.outcome is PutOutcome.STORED


def _whose_turn(pending: Mapping[int, _Plan], turnstile: Turnstile, entered: set[str]) -> dict[int, _Plan]:
    """The sets whose turn it is: one of each key that was ``entered``, or that can be. What was entered and is not
    wanted any more is left; afterwards ``entered`` is empty."""
    turn: dict[int, _Plan] = {}
    for index, plan in pending.items():
        key = plan.item.key.text
        if key in entered:
            entered.remove(key)
            turn[index] = plan
        elif turnstile.enter(key):
            turn[index] = plan
    turnstile.leave(entered)
    entered.clear()
    return turn


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
            return FOREIGN_VALUE
        case PutOutcome.LATE:
            return UNAVAILABLE
        case PutOutcome.OCCUPIED | PutOutcome.FENCED | PutOutcome.MOVED_IDENTITY:
            return None
