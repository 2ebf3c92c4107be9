"""Interleaved rounds: in each, every contender has one turn, so that a ratio compares neighbours in time."""

from __future__ import annotations

import asyncio
import gc
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from tests.benchmarks.plan import Plan

Call = Callable[[int], Awaitable[None]]
"""Does the n-th call of a run."""


@dataclass(frozen=True, slots=True)
class Turn:
    """What one contender does in its turn."""

    name: str
    call: Call
    concurrency: int
    """Tasks that call one after the other, without pause."""
    items: int = 1
    """Keys per call."""


class Rates(NamedTuple):
    """One contender's keys per second in each round."""

    turn: Turn
    per_s: list[float]


async def run_rounds(turns: Sequence[Turn], plan: Plan) -> list[Rates]:
    """Warm every contender up, then let them take turns; who begins changes from round to round."""
    counter = itertools.count()
    for turn in turns:
        await _slice(turn, counter, plan.slice_calls, plan.warm_up_s)
    gc.collect()
    gc.freeze()  # what was made so far is nobody's to pay for
    rates = [Rates(turn, []) for turn in turns]
    try:
        for first in range(plan.rounds):
            for place in range(len(turns)):
                mine = rates[(first + place) % len(turns)]
                gc.collect()
                mine.per_s.append(await _slice(mine.turn, counter, plan.slice_calls, plan.slice_s))
    finally:
        gc.unfreeze()
    return rates


async def _slice(turn: Turn, counter: itertools.count[int], calls: int, seconds: float) -> float:
    """Keys per second of one turn."""
    started_s = time.perf_counter()
    end_s = started_s + seconds
    done = 0

    async def caller() -> None:
        nonlocal done
        call = turn.call
        while done < calls and time.perf_counter() < end_s:
            done += 1
            await call(next(counter))

    async with asyncio.TaskGroup() as group:
        for _ in range(turn.concurrency):
            group.create_task(caller())
    return done * turn.items / (time.perf_counter() - started_s)
