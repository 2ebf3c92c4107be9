"""Many callers of several processes want one cold key at once: how many of them load it."""

from __future__ import annotations

import asyncio
import json
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

from tests.benchmarks.line_process import LineProcess
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row, bound_row
from tests.benchmarks.stage import servers

OURS: Final = "coherd"
OTHERS: Final = {"aiocache": "cached_stampede", "cashews": "lock=True", "dogpile": "distributed_lock"}
"""With the lock each has for this."""
DEMAND: Final = Demand("=", 1)


class _Rush(NamedTuple):
    loads: int
    """Of all processes together."""
    took_ms: float
    """Until the last caller of the slowest process had its value."""


async def stampede(plan: Plan) -> list[Row]:
    """Loads, and the time until the last caller has its value."""
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        addresses = {OURS: server.target, **dict.fromkeys(OTHERS, str(valkey.port))}
        herds = {
            name: [await _process(stack, name, address, plan) for _ in range(plan.herd_processes)]
            for name, address in addresses.items()
        }
        for processes in herds.values():
            for process in processes:
                await process.hear()
        rushes: dict[str, list[_Rush]] = {name: [] for name in herds}
        for item in range(plan.rounds):
            for name, processes in herds.items():
                rushes[name].append(await _rush(processes, item))
    return _rows(rushes, plan)


async def _process(stack: AsyncExitStack, name: str, address: str, plan: Plan) -> LineProcess:
    module = "tests.benchmarks.contenders.herds.process"
    return await LineProcess.start(
        stack, module, name, address, str(plan.herd // plan.herd_processes), str(plan.load_ms)
    )


async def _rush(processes: list[LineProcess], item: int) -> _Rush:
    for process in processes:
        process.say(str(item))
    answers = [json.loads(line) for line in await asyncio.gather(*(process.hear() for process in processes))]
    return _Rush(sum(answer["loads"] for answer in answers), max(answer["took_ms"] for answer in answers))


def _rows(rushes: dict[str, list[_Rush]], plan: Plan) -> list[Row]:
    loads = {name: tuple(float(rush.loads) for rush in those) for name, those in rushes.items()}
    took = {name: tuple(rush.took_ms for rush in those) for name, those in rushes.items()}
    herd = f"{plan.herd:,} callers in {plan.herd_processes} processes, one cold key"
    last = f"the same, {plan.load_ms} ms a load, until the last has it"
    return [
        bound_row("stampede", herd, "one load", 1, "loads", loads[OURS], DEMAND),
        *(Row("stampede", herd, f"{name}, {lock}", "loads", loads[OURS], loads[name]) for name, lock in OTHERS.items()),
        *(Row("stampede", last, f"{name}, {lock}", "ms", took[OURS], took[name]) for name, lock in OTHERS.items()),
    ]
