"""Request coalescing: gets and sets of one key that overlap are done as one read and one write for several keys.

So what a call costs beside its key is paid once for a group. A caller that is alone waits for nobody (ADR 15).
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, Final, Generic, NamedTuple, TypeVar

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.requests import SetItem
from coherd_server.core.failure import Failure
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.set import Writer
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import Store

OVERLAP_S: Final = 0.01
"""So long after calls that overlapped a call is gathered with others."""
GATHER_TURNS: Final = 20
"""Turns of the event loop that a group waits for more calls, some microseconds each where nothing else happens."""
GATHER_S: Final = 0.001
"""Longest wait for more calls."""
MOST_ITEMS: Final = 256
"""Most items of one group; more are done in several beside each other."""
MOST_BYTES: Final = 1 << 16
"""Longest payload of a set that shares a group."""

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


class Waiting(Generic[Item, Outcome]):
    """One item, and the caller that waits for what becomes of it."""

    __slots__ = ("future", "item")

    def __init__(self, item: Item, future: asyncio.Future[Outcome]) -> None:
        self.item = item
        self.future = future

    @property
    def is_wanted(self) -> bool:
        """It is not answered, and its caller has not given up."""
        return not self.future.done()

    def answer(self, outcome: Outcome) -> None:
        """Tell the caller, if there still is one."""
        if not self.future.done():
            self.future.set_result(outcome)


def _all_at_once(waiting: Sequence[Waiting[Item, Outcome]]) -> Iterable[Sequence[Waiting[Item, Outcome]]]:
    return (waiting,)


class Groups(Generic[Item, Outcome]):
    """Items of one kind, which are asked for one by one and done in groups.

    Args:
        do: does a group and answers each of its items.
        split: takes apart what should not be one group.
    """

    def __init__(
        self,
        do: Callable[[Sequence[Waiting[Item, Outcome]]], Coroutine[Any, Any, None]],
        split: Callable[[Sequence[Waiting[Item, Outcome]]], Iterable[Sequence[Waiting[Item, Outcome]]]] = _all_at_once,
    ) -> None:
        self._do = do
        self._split = split
        self._waiting: list[Waiting[Item, Outcome]] = []
        self._tasks: set[asyncio.Task[None]] = set()

    def add(self, item: Item) -> asyncio.Future[Outcome]:
        """What becomes of an item that is done with the next group. Cancelling it disturbs nobody; what is under way
        is not called back."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(item, future))
        return future

    def begin(self) -> None:
        """Begin with all that have come."""
        if not self._waiting:
            return
        waiting, self._waiting = [one for one in self._waiting if one.is_wanted], []
        for part in self._split(waiting):
            for at in range(0, len(part), MOST_ITEMS):
                task = asyncio.create_task(self._run(part[at : at + MOST_ITEMS]))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _run(self, group: Sequence[Waiting[Item, Outcome]]) -> None:
        try:
            await self._do(group)
            error: Exception = AssertionError("not answered")
        except Exception as raised:  # noqa: BLE001 - it is raised in the callers
            error = raised
        except BaseException:  # the process ends before the group is done
            for waiting in group:
                waiting.future.cancel()
            raise
        for waiting in group:
            if not waiting.future.done():
                waiting.future.set_exception(error)


class _TimedSet(NamedTuple):
    item: SetItem
    turn_ms: int


_WaitingSet = Waiting[_TimedSet, SetDone | Failure]


class Coalescer:
    """Stands in front of the reader and the writer, for calls that bring one key each.

    Args:
        store: calls are only gathered where all its keys are on one primary: else a slow node would hold up calls of
            the others.
        reader: of the same store.
        writer: of the same store.
    """

    def __init__(self, store: Store, reader: Reader, writer: Writer) -> None:
        self._store = store
        self._reader = reader
        self._writer = writer
        self._under_way = 0
        self._overlapping_until_s = -math.inf
        self._is_gathering = False
        self._gets: dict[bool, Groups[ResolvedKey, Lookup | Failure]] = {
            accept_stale: Groups(partial(self._get_group, accept_stale)) for accept_stale in (False, True)
        }
        self._sets: Groups[_TimedSet, SetDone | Failure] = Groups(self._set_group, self._split)

    async def get(self, key: ResolvedKey, *, accept_stale: bool = False) -> Lookup | Failure:
        """As `Reader.get`, of one key."""
        overlapping = self._is_overlapping()
        self._under_way += 1
        try:
            if overlapping:
                return await self._gather(self._gets[accept_stale], key)
            return (await self._reader.get([key], accept_stale=accept_stale))[0]
        finally:
            self._under_way -= 1

    async def set(self, item: SetItem, *, turn_ms: int) -> SetDone | Failure:
        """As `Writer.set`, of one item.

        What takes longer holds up no others: what must wait for its turn, looks at what is there, or is large.
        """
        overlapping = self._is_overlapping()
        self._under_way += 1
        try:
            if overlapping and not item.only_if_absent and len(item.payload) <= MOST_BYTES:
                return await self._gather(self._sets, _TimedSet(item, turn_ms))
            return (await self._writer.set([item], turns_ms=[turn_ms]))[0]
        finally:
            self._under_way -= 1

    def _is_overlapping(self) -> bool:
        """Whether a call that comes now finds another one under way, or one has just done so."""
        now_s = time.monotonic()
        if self._under_way:
            self._overlapping_until_s = now_s + OVERLAP_S
        return now_s < self._overlapping_until_s and self._store.one_primary

    def _gather(self, groups: Groups[Item, Outcome], item: Item) -> asyncio.Future[Outcome]:
        if not self._is_gathering:
            self._is_gathering = True
            asyncio.get_running_loop().call_soon(self._wait, GATHER_TURNS, time.monotonic() + GATHER_S)
        return groups.add(item)

    def _wait(self, turns: int, until_s: float) -> None:
        """Begin when some turns of the event loop are over: each is short where nothing else is to be done, and brings
        other calls where something is."""
        if turns and time.monotonic() < until_s:
            asyncio.get_running_loop().call_soon(self._wait, turns - 1, until_s)
            return
        self._is_gathering = False
        for gets in self._gets.values():
            gets.begin()
        self._sets.begin()

    async def _get_group(self, accept_stale: bool, group: Sequence[Waiting[ResolvedKey, Lookup | Failure]]) -> None:
        answers = await self._reader.get([waiting.item for waiting in group], accept_stale=accept_stale)
        for waiting, answer in zip(group, answers, strict=True):
            waiting.answer(answer)

    def _split(self, sets: Sequence[_WaitingSet]) -> list[list[_WaitingSet]]:
        """Those that can be written at once, and each that must wait for its turn."""
        first: dict[str, _WaitingSet] = {}
        later: list[list[_WaitingSet]] = []
        for waiting in sets:
            key = waiting.item.item.key
            if key.text in first or self._writer.is_writing(key):
                later.append([waiting])
            else:
                first[key.text] = waiting
        return [[*first.values()], *later]

    async def _set_group(self, group: Sequence[_WaitingSet]) -> None:
        def report(index: int, outcome: SetDone | Failure) -> None:
            group[index].answer(outcome)

        def wanted(index: int) -> bool:
            return group[index].is_wanted

        items, turns_ms = [waiting.item.item for waiting in group], [waiting.item.turn_ms for waiting in group]
        await self._writer.set(items, turns_ms=turns_ms, report=report, wanted=wanted)
