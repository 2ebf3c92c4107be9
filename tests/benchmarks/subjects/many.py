"""Many keys per call. Per key it must beat everybody's single calls; against their calls for many it is stated."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tests.benchmarks.contenders import BATCH, Batching, Contender
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row, speed_row
from tests.benchmarks.rounds import Call, Turn, run_rounds
from tests.benchmarks.stage import stage
from tests.benchmarks.subjects.single import TOGETHER

CALLERS: Final = (1, 4)
"""Callers of batches. Single calls are made by `TOGETHER`: that is where they are fastest."""


async def get_many(plan: Plan) -> list[Row]:
    """Reading what is there."""
    return await _compare(
        "get_many", lambda one: one.get_many, lambda one: one.get, lambda one: one.get_many_name, plan
    )


async def set_many(plan: Plan) -> list[Row]:
    """Storing."""
    return await _compare(
        "set_many", lambda one: one.set_many, lambda one: one.set, lambda one: one.set_many_name, plan
    )


async def _compare(
    subject: str,
    many: Callable[[Batching], Call],
    single: Callable[[Contender], Call],
    name: Callable[[Batching], str],
    plan: Plan,
) -> list[Row]:
    rows: list[Row] = []
    async with stage(plan) as on:
        batching: list[Batching] = [on.redis, on.cashews, on.aiocache]
        verb = subject.removesuffix("_many")
        for callers in CALLERS:
            singles = [Turn(f"{one.name}, {verb}, {TOGETHER} callers", single(one), TOGETHER) for one in on.others]
            batches = [Turn(f"{one.name}, {name(one)} of {BATCH}", many(one), callers, BATCH) for one in batching]
            mine = Turn(on.coherd.name, many(on.coherd), callers, BATCH)
            ours, *others = await run_rounds([mine, *singles, *batches], plan)
            what = f"{subject} of {BATCH}, {callers} caller{'s' if callers > 1 else ''}"
            for theirs in others:
                demand = Demand(">", 1) if theirs.turn in singles and subject == "get_many" else None
                rows.append(speed_row(subject, what, theirs.turn.name, ours, theirs, demand))
    return rows
