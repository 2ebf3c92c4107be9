"""Callers that wait for another process's load: how long after the fill was acknowledged they have its value."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Final

import redis.asyncio
from tests.benchmarks.contenders import PATIENCE_MS
from tests.benchmarks.contenders.waiter import LOCK_TIMEOUT_S, key
from tests.benchmarks.line_process import LineProcess
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row, bound_row
from tests.benchmarks.stage import servers

from coherd.client import CacheClient

BOUND_MS: Final = 20.0
DEMAND: Final = Demand("<=", 1.0)
ARRIVAL_S: Final = 0.4
"""Until all of a round's waiters wait: nobody says so."""
PACE_S: Final = 0.005
"""Between two fills."""
Fill = Callable[[str, int, asyncio.Event], Awaitable[None]]
"""Takes a key of a round, sets the event when it may fill it, and returns once the fill is acknowledged."""


async def wakeup(plan: Plan) -> list[Row]:
    """One process fills, another waits for every key; against redis-py's lock, whose waiters poll."""
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        cache = await stack.enter_async_context(CacheClient.connect(server.target, timeout_ms=PATIENCE_MS))
        client = redis.asyncio.Redis.from_url(valkey.url, max_connections=plan.waits)
        stack.push_async_callback(client.aclose)
        module = "tests.benchmarks.contenders.waiter"
        waiters = {
            "coherd": await LineProcess.start(stack, module, "coherd", server.target),
            "lock": await LineProcess.start(stack, module, "lock", str(valkey.port)),
        }
        for waiter in waiters.values():
            await waiter.hear()
        gates: dict[str, asyncio.Event] = {}

        async def fill(name: str, number: int, held: asyncio.Event) -> None:
            async def load(_: object) -> str:
                held.set()
                await gates[f"{name} {number}"].wait()
                return "loaded"

            await cache.get_or_load(key(name, number), load)

        async def release(name: str, number: int, held: asyncio.Event) -> None:
            text = str(key(name, number))
            async with client.lock(f"lock:{text}", timeout=LOCK_TIMEOUT_S):
                held.set()
                await gates[f"{name} {number}"].wait()
                await client.set(f"own:{text}", "loaded")

        ours, theirs = [], []
        for turn in range(plan.rounds):
            ours.append(await _round(fill, waiters["coherd"], f"c{turn}", plan.waits, gates))
            theirs.append(await _round(release, waiters["lock"], f"l{turn}", plan.waits, gates))
    what = f"wake-up, {plan.waits} keys waited for"
    p99 = [_quantile(late, 0.99) for late in ours]
    return [
        Row("wakeup", f"{what}, p50", "redis-py Lock", "ms", _all(ours, 0.5), _all(theirs, 0.5)),
        Row("wakeup", f"{what}, p99", "redis-py Lock", "ms", _all(ours, 0.99), _all(theirs, 0.99)),
        bound_row("wakeup", f"{what}, p99", f"{BOUND_MS:g} ms", BOUND_MS, "ms", p99, DEMAND),
    ]


async def _round(
    fill: Fill, waiter: LineProcess, name: str, count: int, gates: dict[str, asyncio.Event]
) -> list[float]:
    """Milliseconds from each acknowledgement to the value in the other process. Filled in reverse order of asking: who
    asked last must not be better off for it."""
    filled_s = [0.0] * count

    async def one(number: int, held: asyncio.Event) -> None:
        await fill(name, number, held)
        filled_s[number] = time.monotonic()

    holding = [asyncio.Event() for _ in range(count)]
    gates.update({f"{name} {number}": asyncio.Event() for number in range(count)})
    async with asyncio.TaskGroup() as group:
        for number, held in enumerate(holding):
            group.create_task(one(number, held))
        for held in holding:
            await held.wait()
        waiter.say(f"{name} {count}")
        await asyncio.sleep(ARRIVAL_S)
        for number in reversed(range(count)):
            gates[f"{name} {number}"].set()
            await asyncio.sleep(PACE_S)
    had_s = json.loads(await waiter.hear())
    # One clock of the host. A value can be there before the acknowledgement is: that is no time at all.
    return [max(0.001, 1_000 * (had - filled)) for had, filled in zip(had_s, filled_s, strict=True)]


def _all(late_ms: list[list[float]], share: float) -> tuple[float, ...]:
    return tuple(_quantile(one, share) for one in late_ms)


def _quantile(figures: list[float], share: float) -> float:
    return sorted(figures)[min(len(figures) - 1, int(share * len(figures)))]
