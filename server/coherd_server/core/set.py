"""Writing: values that their callers state to be current now."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import SetItem, check_set, extra_tags_of
from coherd.contract.reasons import Refusal
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.counters import Counters
from coherd_server.core.failure import CONTENDED, OUTWAITED, UNKNOWN, Failure, refused
from coherd_server.core.get import Reader
from coherd_server.core.key_queue import KeyQueue
from coherd_server.core.near.change_log import ChangeNotice
from coherd_server.core.near.publish import ChangePublisher, is_told
from coherd_server.core.set_attempt import SetAttempt, SetProgress
from coherd_server.core.set_plan import SetDone, SetPlan, plan_of
from coherd_server.core.store import PutOutcome, Store

MAX_ATTEMPTS: Final = 32
"""How often a write starts over because the node, the entry or the fence changed under it. Writes of one process take
turns, so that is the doing of other processes."""
MAX_TURN_MS: Final = 30_000
"""Longest wait of a write for those of its key that came before it."""
UNWANTED: Final = Failure(
    ErrorReason.ERROR_REASON_DEADLINE_EXCEEDED, "the caller gave up before it was sent; nothing was changed"
)


def _nobody(index: int, outcome: SetDone | Failure) -> None:
    """Reports to nobody."""


def _always(index: int) -> bool:
    """Every item is wanted."""
    return True


class Writer:
    """Sets over one store.

    Args:
        store: where entries live.
        reader: of the same store.
        publisher: tells near caches.
        counters: that every set adds to.
        max_value_bytes: longest payload accepted.
        spread: source of random numbers in ``[0, 1)`` for jitter.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        publisher: ChangePublisher,
        counters: Counters,
        *,
        max_value_bytes: int,
        spread: Callable[[], float] = random.random,
    ) -> None:
        self._attempt = SetAttempt(store, reader, publisher)
        self._publisher = publisher
        self._counters = counters
        self._max_value_bytes = max_value_bytes
        self._spread = spread
        self._key_queue = KeyQueue()

    async def set(
        self,
        items: Sequence[SetItem],
        *,
        turns_ms: Sequence[int] = (),
        report: Callable[[int, SetDone | Failure], None] = _nobody,
        wanted: Callable[[int], bool] = _always,
    ) -> list[SetDone | Failure]:
        """Store values, each stating that it is current now. Items are concurrent [concurrent-frame].

        Stamps are read before the write, so a value set while its tag is invalidated is dead on arrival.

        Args:
            items: what to store.
            turns_ms: of each item the longest wait for earlier writes of its key, `MAX_TURN_MS` where none are given;
                then nothing of it was sent, and the caller is told so.
            report: told each item's outcome as soon as it is known, by its index.
            wanted: asked before each try, and before anything is written, whether an item is still to be stored; else
                nothing more is sent of it.
        """
        began_s = asyncio.get_running_loop().time()
        started = time.perf_counter()
        done: list[SetDone | Failure] = [CONTENDED] * len(items)
        progress = SetProgress(wanted)

        def end(index: int, outcome: SetDone | Failure) -> None:
            if progress.begun and index in progress.begun and isinstance(outcome, Failure):
                outcome = UNKNOWN
            done[index] = outcome
            report(index, outcome)

        pending = self._plans(items, end)
        tried: dict[int, int] = {}
        confirming: list[asyncio.Task[None]] = []
        entered: set[str] = set()
        try:
            while pending:
                if wanted is not _always:
                    for index in [index for index in pending if not wanted(index)]:
                        del pending[index]
                        end(index, UNWANTED)
                turn = _whose_turn(pending, self._key_queue, entered)
                if not pending:
                    break
                if not turn:
                    ends_s = {i: began_s + (turns_ms[i] if turns_ms else MAX_TURN_MS) / 1000 for i in pending}
                    next_s = min(ends_s.values())
                    try:
                        async with asyncio.timeout_at(next_s):
                            entered = await self._key_queue.wait_for(plan.item.key.text for plan in pending.values())
                    except TimeoutError:
                        for index in [index for index, end_s in ends_s.items() if end_s <= next_s]:
                            del pending[index]
                            end(index, OUTWAITED)
                    continue
                try:
                    outcomes = await self._attempt.make(turn, tried, progress)
                finally:
                    self._key_queue.leave([plan.item.key.text for plan in turn.values()])
                untold: dict[ChangeNotice, dict[int, SetDone | Failure]] = {}
                for index in turn:
                    outcome = outcomes.get(index)
                    if outcome is None:
                        tried[index] = tried.get(index, 0) + 1
                        if tried[index] < MAX_ATTEMPTS:
                            continue
                        outcome = CONTENDED
                    del pending[index]
                    notice = progress.told.get(index)
                    if notice is None or is_told(notice) or not _is_stored(outcome):
                        end(index, outcome)
                    else:
                        untold.setdefault(notice, {})[index] = outcome
                confirming += [asyncio.create_task(self._confirm(notice, of, end)) for notice, of in untold.items()]
            if confirming:
                await asyncio.gather(*confirming)
        finally:
            for task in confirming:
                task.cancel()
        self._count(items, done, time.perf_counter() - started)
        return done

    def _plans(self, items: Sequence[SetItem], end: Callable[[int, SetDone | Failure], None]) -> dict[int, SetPlan]:
        """What is to be stored, by index; what is refused is ended."""
        plans: dict[int, SetPlan] = {}
        for index, item in enumerate(items):
            try:
                ttl_ms = check_set(item, self._max_value_bytes, self._spread())
                plans[index] = plan_of(item, ttl_ms, extra_tags_of(item))
            except Refusal as refusal:
                end(index, refused(refusal))
        return plans

    async def _confirm(
        self,
        notice: ChangeNotice,
        outcomes: Mapping[int, SetDone | Failure],
        end: Callable[[int, SetDone | Failure], None],
    ) -> None:
        """End what was stored once near caches are told."""
        failure = await self._publisher.finish([notice])
        for index, outcome in outcomes.items():
            end(index, failure or outcome)

    def is_writing(self, key: ResolvedKey) -> bool:
        """A set of this key must wait for its turn."""
        return self._key_queue.is_taken(key.text)

    def _count(self, items: Sequence[SetItem], done: Sequence[SetDone | Failure], seconds: float) -> None:
        timed: set[str] = set()
        for item, outcome in zip(items, done, strict=True):
            if _is_stored(outcome):
                domain = item.key.domain.name
                counts = self._counters.counts[domain]
                counts["sets"] += 1
                counts["written_bytes"] += len(item.payload)
                if domain not in timed:
                    timed.add(domain)
                    self._counters.writes[domain].add(seconds)


def _is_stored(outcome: SetDone | Failure) -> bool:
    return isinstance(outcome, SetDone) and outcome.outcome is PutOutcome.STORED


def _whose_turn(pending: Mapping[int, SetPlan], key_queue: KeyQueue, entered: set[str]) -> dict[int, SetPlan]:
    """The sets whose turn it is: one of each key that was ``entered``, or that can be. What was entered and is not
    wanted any more is left; afterwards ``entered`` is empty."""
    if not entered and key_queue.enter_all([plan.item.key.text for plan in pending.values()]):
        return dict(pending)
    turn: dict[int, SetPlan] = {}
    for index, plan in pending.items():
        key = plan.item.key.text
        if key in entered:
            entered.remove(key)
            turn[index] = plan
        elif key_queue.enter(key):
            turn[index] = plan
    key_queue.leave(entered)
    entered.clear()
    return turn
