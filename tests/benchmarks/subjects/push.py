"""How soon the near cache of another process has dropped what was invalidated."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final, NamedTuple

from tests.benchmarks.contenders import PATIENCE_MS, expect
from tests.benchmarks.data import daily, document
from tests.benchmarks.line_process import LineProcess
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, NotMeasured, Row, bound_row
from tests.benchmarks.stage import servers

from coherd.client import CacheClient
from coherd.domains.tags import User

BOUND_MS: Final = 10
WITHIN: Final = Demand("<=", 1)
"""Of the bound, at the 99th percentile."""
STRICT_ADDS: Final = Demand("<=", 2)
"""Round trips."""
OTHERS_KEY: Final = 1_000_000
"""An item that is stored and never invalidated: reading it remotely is a round trip."""


class _Seen(NamedTuple):
    acknowledged_ms: float
    """From the call to its acknowledgement."""
    empty_ms: float
    """From the acknowledgement until the other process no longer served the value; 0 if it had stopped before."""
    trip_ms: float
    """One remote read by the same client just before."""


async def push(plan: Plan) -> list[Row]:
    """Push and strict in turns, each seen by a process that reads the value over and over."""
    pushed: list[list[_Seen]] = []
    strict: list[list[_Seen]] = []
    async with AsyncExitStack() as stack:
        _, server = servers(stack)
        cache = await stack.enter_async_context(
            CacheClient.connect(server.target, near_cache=False, timeout_ms=PATIENCE_MS)
        )
        reader = await LineProcess.start(stack, "tests.benchmarks.contenders.near_reader", server.target)
        await reader.hear()
        await cache.set(daily(OTHERS_KEY), document())
        await _invalidation(cache, reader, strict=False)  # connections are there before it counts
        for _ in range(plan.rounds):
            pushed.append([])
            strict.append([])
            for _ in range(plan.pushes):
                pushed[-1].append(await _invalidation(cache, reader, strict=False))
                strict[-1].append(await _invalidation(cache, reader, strict=True))
    return _rows(pushed, strict)


async def _invalidation(cache: CacheClient, reader: LineProcess, *, strict: bool) -> _Seen:
    """Store an item, let the reader hold it, invalidate its user."""
    key = daily(0)
    await cache.set(key, document())
    reader.say("0")
    if await reader.hear() != "held":
        raise NotMeasured("this version of the client keeps no near cache")
    began_ns = time.monotonic_ns()
    expect(await cache.get(daily(OTHERS_KEY)) is not None)
    called_ns = time.monotonic_ns()
    await cache.invalidate(User(key.user), wait_for_near_caches=strict)
    acknowledged_ns = time.monotonic_ns()
    last_ns, first_ns = map(int, (await reader.hear()).split())
    expect(not strict or last_ns <= acknowledged_ns, "served after the acknowledgement of a strict invalidation")
    return _Seen(
        (acknowledged_ns - called_ns) / 1e6,
        max(0, first_ns - acknowledged_ns) / 1e6,
        (called_ns - began_ns) / 1e6,
    )


def _rows(pushed: Sequence[Sequence[_Seen]], strict: Sequence[Sequence[_Seen]]) -> list[Row]:
    def quantiles(share: float) -> list[float]:
        return [_quantile([one.empty_ms for one in seen], share) for seen in pushed]

    emptied = "acknowledged until another process has dropped it"
    bound = f"{BOUND_MS} ms"
    adds = [
        max(0.0, _acknowledged_ms(waited) - _acknowledged_ms(not_waited))
        for waited, not_waited in zip(strict, pushed, strict=True)
    ]
    trips = [statistics.median(one.trip_ms for one in (*a, *b)) for a, b in zip(strict, pushed, strict=True)]
    return [
        bound_row("push", f"{emptied}, p50", bound, BOUND_MS, "ms", quantiles(0.5), None),
        bound_row("push", f"{emptied}, p99", bound, BOUND_MS, "ms", quantiles(0.99), WITHIN),
        Row(
            "push",
            "what strict adds to the acknowledgement",
            "one remote get",
            "ms",
            tuple(adds),
            tuple(trips),
            STRICT_ADDS,
        ),
    ]


def _acknowledged_ms(seen: Sequence[_Seen]) -> float:
    return statistics.median(one.acknowledged_ms for one in seen)


def _quantile(figures: Sequence[float], share: float) -> float:
    """The smallest figure that this share of them does not exceed."""
    return sorted(figures)[math.ceil(share * len(figures)) - 1]
