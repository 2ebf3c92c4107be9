"""Calls for one item that are done in groups: everybody gets what is theirs, whatever becomes of the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import pytest

from coherd_server.core.coalescer import MOST_ITEMS, Groups, Waiting

Group = Sequence[Waiting[int, str]]


class Gathering:
    """Groups begin when the test says so."""

    def __init__(self, do: Callable[[Group], Coroutine[Any, Any, None]]) -> None:
        self.groups: list[list[int]] = []
        self._do = do
        self._gathered: Groups[int, str] = Groups(self._noted)
        self.begin = self._gathered.begin

    async def _noted(self, group: Group) -> None:
        self.groups.append([waiting.item for waiting in group])
        await self._do(group)

    async def _one(self, item: int) -> str:
        return await self._gathered.add(item)

    async def ask(self, *items: int) -> list[asyncio.Task[str]]:
        asked = [asyncio.create_task(self._one(item)) for item in items]
        await asyncio.sleep(0)
        return asked


async def answer(group: Group) -> None:
    for waiting in group:
        waiting.answer(f"{waiting.item}!")


async def test_what_came_until_it_begins_is_one_group() -> None:
    gathering = Gathering(answer)
    asked = await gathering.ask(1, 2) + await gathering.ask(3)
    assert gathering.groups == []
    gathering.begin()
    assert await asyncio.gather(*asked) == ["1!", "2!", "3!"]
    assert gathering.groups == [[1, 2, 3]]
    gathering.begin()
    late = await gathering.ask(4)
    gathering.begin()
    assert await asyncio.gather(*late) == ["4!"]
    assert gathering.groups == [[1, 2, 3], [4]]


async def test_a_large_group_is_done_in_parts_beside_each_other() -> None:
    begun = asyncio.Barrier(3)

    async def all_at_once(group: Group) -> None:
        await begun.wait()
        await answer(group)

    gathering = Gathering(all_at_once)
    asked = await gathering.ask(*range(2 * MOST_ITEMS + 1))
    gathering.begin()
    async with asyncio.timeout(60):
        assert await asyncio.gather(*asked) == [f"{item}!" for item in range(2 * MOST_ITEMS + 1)]
    assert [len(group) for group in gathering.groups] == [MOST_ITEMS, MOST_ITEMS, 1]


async def test_each_is_told_as_soon_as_its_own_is_known() -> None:
    go_on = asyncio.Event()

    async def one_by_one(group: Group) -> None:
        group[0].answer("first")
        await go_on.wait()
        group[1].answer("second")

    gathering = Gathering(one_by_one)
    first, second = await gathering.ask(1, 2)
    gathering.begin()
    async with asyncio.timeout(60):
        assert await first == "first"
    assert not second.done()
    go_on.set()
    assert await second == "second"


async def test_who_gives_up_before_it_begins_is_left_out_and_later_it_is_not_wanted_any_more() -> None:
    begun, go_on = asyncio.Event(), asyncio.Event()
    wanted: list[bool] = []

    async def slowly(group: Group) -> None:
        begun.set()
        await go_on.wait()
        wanted.extend(waiting.is_wanted for waiting in group)
        await answer(group)

    gathering = Gathering(slowly)
    early, late, other = await gathering.ask(1, 2, 3)
    early.cancel()
    await asyncio.sleep(0)
    gathering.begin()
    await begun.wait()
    late.cancel()
    await asyncio.sleep(0)
    go_on.set()
    assert await other == "3!"
    assert gathering.groups == [[2, 3]]
    assert wanted == [False, True]
    assert early.cancelled()
    assert late.cancelled()


async def test_a_defect_is_raised_in_each_caller_that_has_no_answer() -> None:
    async def broken(group: Group) -> None:
        group[0].answer("fine")
        raise KeyError

    gathering = Gathering(broken)
    fine, *others = await gathering.ask(1, 2, 3)
    gathering.begin()
    assert await fine == "fine"
    for other in others:
        with pytest.raises(KeyError):
            await other


async def test_nobody_waits_for_an_answer_that_was_forgotten() -> None:
    async def forgetful(group: Group) -> None:
        group[0].answer("fine")

    gathering = Gathering(forgetful)
    fine, forgotten = await gathering.ask(1, 2)
    gathering.begin()
    assert await fine == "fine"
    async with asyncio.timeout(60):
        with pytest.raises(AssertionError):
            await forgotten
