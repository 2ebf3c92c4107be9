"""Reading what the process has: nobody is asked."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AsyncExitStack
from typing import Final

from tests.benchmarks.contenders.hot import BURST, CashewsHot, CoherdHot, CoherdHotBlocking, Hot
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row, speed_row
from tests.benchmarks.rounds import Turn, run_rounds
from tests.benchmarks.stage import prepare, servers

DEMAND: Final = Demand(">=", 3)
"""2.5 us where theirs takes 7.5."""
OURS: Final[tuple[Callable[[str], Hot], ...]] = (CoherdHot, CoherdHotBlocking)
"""Made with the server's target. Each has a row."""


async def near_hit(plan: Plan) -> list[Row]:
    """Near-cache hits against cashews' client-side hits."""
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        cashews = CashewsHot(valkey.url)
        await prepare(stack, cashews)
        for make in OURS:
            mine = make(server.target)
            await prepare(stack, mine)
            turns = [Turn(one.name, one.burst, 1, BURST) for one in (mine, cashews)]
            ours, theirs = await run_rounds(turns, plan)
            what = f"near-cache hit, {mine.name}"
            rows.append(speed_row("near_hit", what, cashews.name, ours, theirs, DEMAND, unit="hits/s"))
    return rows
