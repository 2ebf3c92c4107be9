"""Time limits without a timer each, on a clock the test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextvars import Context
from typing import Any

import pytest

from coherd._rpc import deadlines as module
from coherd._rpc.deadlines import MOST_LIMITS, SPARE, Deadlines


class Timer:
    """As asyncio's, of a clock."""

    def __init__(self, at_s: float, act: Callable[[], None]) -> None:
        self.at_s, self.act, self.is_cancelled = at_s, act, False

    def cancel(self) -> None:
        self.is_cancelled = True


class Clock:
    """The part of an event loop that tells time."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.timers: list[Timer] = []

    def time(self) -> float:
        return self.now_s

    def call_at(self, at_s: float, act: Callable[..., None], *args: Any, context: Context | None = None) -> Timer:
        self.timers.append(Timer(at_s, lambda: act(*args)))
        return self.timers[-1]

    def call_later(self, in_s: float, act: Callable[..., None], *args: Any, context: Context | None = None) -> Timer:
        return self.call_at(self.now_s + in_s, act, *args)

    def turn(self, by_s: float) -> None:
        """Time passes."""
        self.now_s += by_s
        while due := [one for one in self.timers if one.at_s <= self.now_s and not one.is_cancelled]:
            self.timers.remove(due[0])
            due[0].act()
        self.timers = [one for one in self.timers if not one.is_cancelled]


class World:
    """Deadlines over a clock, and what they did."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.clock = Clock()
        monkeypatch.setattr(module.asyncio, "get_running_loop", lambda: self.clock)
        self.open: dict[int, str] = {}
        self.expired: list[int] = []
        self.deadlines = Deadlines(self.open, self._expire)

    def add(self, operation_id: int, limit_ms: int) -> None:
        self.open[operation_id] = ""
        self.deadlines.add(operation_id, limit_ms)

    def _expire(self, operation_id: int) -> None:
        del self.open[operation_id]
        self.expired.append(operation_id)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


def test_each_ends_at_its_time(world: World) -> None:
    world.add(1, 1_000)
    world.add(2, 3_000)
    world.clock.turn(0.5)
    world.add(3, 1_000)
    world.clock.turn(0.49)
    assert world.expired == []
    world.clock.turn(0.02)
    assert world.expired == [1]
    world.clock.turn(0.5)
    assert world.expired == [1, 3]
    world.clock.turn(1.5)
    assert world.expired == [1, 3, 2]
    assert world.clock.timers == []


def test_what_is_answered_does_not_end(world: World) -> None:
    for operation_id in range(10):
        world.add(operation_id, 1_000)
    for operation_id in range(0, 10, 2):
        del world.open[operation_id]
    world.clock.turn(1.1)
    assert world.expired == [1, 3, 5, 7, 9]


def test_there_is_one_timer_per_limit(world: World) -> None:
    for operation_id in range(1_000):
        world.add(operation_id, 1_000 + operation_id % 3)
    assert len(world.clock.timers) == 3


def test_one_that_waits_long_does_not_keep_what_is_answered(world: World) -> None:
    world.add(0, 600_000)
    for operation_id in range(1, 50_000):
        world.add(operation_id, 600_000)
        del world.open[operation_id]
    assert sum(map(len, world.deadlines._queues.values())) <= SPARE + 4
    world.clock.turn(600.0)
    assert world.expired == [0]


def test_more_limits_than_queues(world: World) -> None:
    for operation_id in range(3 * MOST_LIMITS):
        world.add(operation_id, 1_000 + operation_id)
    assert len(world.deadlines._queues) == MOST_LIMITS
    del world.open[100]
    world.clock.turn(2.0)
    assert sorted(world.expired) == [one for one in range(3 * MOST_LIMITS) if one != 100]
    for operation_id in range(1_000, 1_010):  # the queues are free again
        world.add(operation_id, 9_000 + operation_id)
    assert len(world.clock.timers) == 10


def test_after_the_end_nothing_expires(world: World) -> None:
    world.add(1, 1_000)
    world.deadlines.close()
    world.clock.turn(2.0)
    assert world.expired == []


async def test_on_a_real_loop() -> None:
    ended: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    deadlines = Deadlines({7: ""}, ended.set_result)
    deadlines.add(7, 20)
    assert await asyncio.wait_for(ended, 60) == 7
