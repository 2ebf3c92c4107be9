"""The room of those who wait for one key: they share one mark, and none looks before it is set."""

from __future__ import annotations

import asyncio

import pytest

from coherd_server.core.store import StoreUnavailable
from coherd_server.core.waiting import Room

LASTS_S = 60.0


class Marks:
    """Marks that are set when the test says so."""

    def __init__(self) -> None:
        self.begun = 0
        self.set = asyncio.Event()
        self.error: StoreUnavailable | None = None

    async def __call__(self) -> None:
        self.begun += 1
        await self.set.wait()
        if self.error is not None:
            raise self.error


async def turns() -> None:
    """Let everything run that can."""
    for _ in range(5):
        await asyncio.sleep(0)


async def test_who_comes_while_a_mark_is_under_way_returns_when_it_is_set() -> None:
    """Else it looks too early: a change between its look and the mark would be told to nobody."""
    room, marks = Room(), Marks()
    callers = [asyncio.create_task(room.mark(marks, LASTS_S))]
    await turns()
    assert not room.is_marked
    callers.append(asyncio.create_task(room.mark(marks, LASTS_S)))
    await turns()
    assert not any(caller.done() for caller in callers)
    marks.set.set()
    await asyncio.gather(*callers)
    assert room.is_marked
    assert marks.begun == 1


async def test_a_caller_that_goes_leaves_the_mark_to_the_others() -> None:
    room, marks = Room(), Marks()
    first, second = (asyncio.create_task(room.mark(marks, LASTS_S)) for _ in range(2))
    await turns()
    first.cancel()
    await turns()
    marks.set.set()
    await second
    assert room.is_marked
    assert marks.begun == 1


async def test_a_mark_that_failed_is_everybodys_failure_and_is_tried_again() -> None:
    room, marks = Room(), Marks()
    marks.error = StoreUnavailable("gone")
    marks.set.set()
    for answer in await asyncio.gather(*(room.mark(marks, LASTS_S) for _ in range(2)), return_exceptions=True):
        assert isinstance(answer, StoreUnavailable)
    assert not room.is_marked
    marks.error = None
    await room.mark(marks, LASTS_S)
    assert room.is_marked
    assert marks.begun == 2


async def test_a_change_ends_the_mark_also_one_under_way() -> None:
    room, marks = Room(), Marks()
    caller = asyncio.create_task(room.mark(marks, LASTS_S))
    await turns()
    change = room.next_change
    room.wake()
    assert change.done()
    marks.set.set()
    await caller
    assert not room.is_marked
    assert not room.next_change.done()


async def test_a_mark_ends_with_its_time() -> None:
    room, marks = Room(), Marks()
    marks.set.set()
    await room.mark(marks, 0.0)
    assert not room.is_marked


@pytest.mark.parametrize("failing", [False, True])
async def test_a_mark_nobody_waits_for_any_more_ends_quietly(failing: bool) -> None:
    room, marks = Room(), Marks()
    if failing:
        marks.error = StoreUnavailable("gone")
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))
    caller = asyncio.create_task(room.mark(marks, LASTS_S))
    await turns()
    caller.cancel()
    await turns()
    marks.set.set()
    await turns()
    assert room.is_marked is not failing
    assert not complaints
