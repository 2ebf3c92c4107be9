"""Reading what the process has: nobody is asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from tests.benchmarks.contenders.hot import (
    BURST,
    CashewsHot,
    CoherdHot,
    CoherdHotBlocking,
    CoherdPeek,
    CoherdShared,
    Hot,
)
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row, speed_row
from tests.benchmarks.rounds import Turn, run_rounds
from tests.benchmarks.stage import prepare, servers

SAFE: Final = Demand(">=", 1.4)
"""A value of the caller's own, where cashews gives all the same."""
SHARED: Final = Demand(">=", 5)
OURS: Final[tuple[tuple[Callable[[str], Hot], Demand | None], ...]] = (
    (CoherdHot, SAFE),
    (CoherdShared, SHARED),
    (CoherdPeek, SHARED),
    (CoherdHotBlocking, SAFE),
)
"""Made with the server's target. Each has a row."""


async def near_hit(plan: Plan) -> list[Row]:
    """Near-cache hits against cashews' client-side hits."""
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        cashews = CashewsHot(valkey.url)
        await prepare(stack, cashews)
        for make, demand in OURS:
            mine = make(server.target)
            await prepare(stack, mine)
            turns = [Turn(one.name, one.burst, 1, BURST) for one in (mine, cashews)]
            ours, theirs = await run_rounds(turns, plan)
            what = f"near-cache hit, {mine.name}"
            rows.append(speed_row("near_hit", what, cashews.name, ours, theirs, demand, unit="hits/s"))
    return rows
