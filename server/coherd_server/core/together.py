"""Calls for one item that overlap, done as one for several: what a call costs beside its item is paid once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Sequence
from typing import Any, Final, Generic, TypeVar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")
MOST: Final = 256
"""Items done at one time; more are done beside them."""


class Asked(Generic[Item, Outcome]):
    """One item, and who waits for what becomes of it."""

    __slots__ = ("_future", "item")

    def __init__(self, item: Item, future: asyncio.Future[Outcome]) -> None:
        self.item = item
        self._future = future

    @property
    def is_wanted(self) -> bool:
        """It is not answered, and its caller has not given up."""
        return not self._future.done()

    def answer(self, outcome: Outcome) -> None:
        """Tell the caller, if there still is one."""
        if not self._future.done():
            self._future.set_result(outcome)

    def fail(self, error: Exception) -> None:
        """Raise in the caller, if there still is one."""
        if not self._future.done():
            self._future.set_exception(error)

    def cancel(self) -> None:
        """The process ends before it is done."""
        self._future.cancel()


def _whole(asked: Sequence[Asked[Item, Outcome]]) -> Iterable[Sequence[Asked[Item, Outcome]]]:
    """All are one group."""
    return (asked,)


class Together(Generic[Item, Outcome]):
    """Items that are asked for one by one, and done in groups.

    Args:
        when_gathered: see `coherd_server.core.store.Store.when_gathered`.
        do: does a group and answers each of its items.
        split: takes apart what should not be one group.
    """

    def __init__(
        self,
        when_gathered: Callable[[Callable[[], None]], None],
        do: Callable[[Sequence[Asked[Item, Outcome]]], Coroutine[Any, Any, None]],
        split: Callable[[Sequence[Asked[Item, Outcome]]], Iterable[Sequence[Asked[Item, Outcome]]]] = _whole,
    ) -> None:
        self._when_gathered = when_gathered
        self._do = do
        self._split = split
        self._asked: list[Asked[Item, Outcome]] = []
        self._groups: set[asyncio.Task[None]] = set()

    async def ask(self, item: Item) -> Outcome:
        """What becomes of an item. Cancelling it disturbs nobody; what is under way is not called back."""
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        self._asked.append(Asked(item, future))
        self._when_gathered(self._begin)
        return await future

    def _begin(self) -> None:
        asked, self._asked = [one for one in self._asked if one.is_wanted], []
        for part in self._split(asked):
            for at in range(0, len(part), MOST):
                group = asyncio.create_task(self._run(part[at : at + MOST]))
                self._groups.add(group)
                group.add_done_callback(self._groups.discard)

    async def _run(self, group: Sequence[Asked[Item, Outcome]]) -> None:
        try:
            await self._do(group)
            for one in group:
                one.fail(AssertionError("not answered"))
        except Exception as error:  # noqa: BLE001 - it is raised in the callers
            for one in group:
                one.fail(error)
        finally:
            for one in group:
                one.cancel()
