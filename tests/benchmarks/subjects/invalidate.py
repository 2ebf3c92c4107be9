"""Invalidating one user among very many keys: the time must not depend on how many of them are the user's."""

from __future__ import annotations

import gc
import statistics
import time
from contextlib import AsyncExitStack
from typing import Final

from tests.benchmarks.contenders import expect
from tests.benchmarks.contenders.crowds import Crowd, sample_of
from tests.benchmarks.contenders.crowds.cashews_tags import CashewsTags
from tests.benchmarks.contenders.crowds.coherd_epochs import CoherdEpochs
from tests.benchmarks.contenders.crowds.redis_scan import RedisScan
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row
from tests.benchmarks.stage import prepare, servers

from rig.valkey import standalone

SAME: Final = Demand("<=", 1.5)
"""The same time, with room for what a machine with other work adds to a few milliseconds."""
OTHERS_KEYS: Final = 1_000
"""Keys of each user that is there and not invalidated."""
_Took = dict[tuple[str, int], list[float]]
"""Milliseconds of each round, by contender and keys of the user."""


async def invalidate(plan: Plan) -> list[Row]:
    """Users of several sizes, against each other and against SCAN and sets of keys."""
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        crowds: tuple[Crowd, ...] = (
            CoherdEpochs(server.target, valkey.url),
            RedisScan(stack.enter_context(standalone()).url),
            CashewsTags(stack.enter_context(standalone()).url),
        )
        await prepare(stack, *crowds)
        for crowd in crowds:
            await _fill_others(crowd, plan)
        ours, *others = crowds
        took_ms: dict[tuple[str, int], list[float]] = {
            (one.name, keys): [] for one in crowds for keys in plan.user_keys
        }
        for first in range(plan.rounds):
            for place in range(len(crowds)):
                crowd = crowds[(first + place) % len(crowds)]
                for keys in plan.user_keys:
                    samples = plan.invalidations if crowd is ours else 1
                    each = [await _invalidation_ms(crowd, keys) for _ in range(samples)]
                    took_ms[crowd.name, keys].append(statistics.median(each))
    return _rows(ours.name, [one.name for one in others], took_ms, plan)


async def _fill_others(crowd: Crowd, plan: Plan) -> None:
    left = plan.crowd_keys - sum(plan.user_keys)
    for number, start in enumerate(range(0, left, OTHERS_KEYS)):
        await crowd.fill(f"other{number}", min(OTHERS_KEYS, left - start))
    for keys in plan.user_keys:
        await crowd.fill(_user(keys), keys)


async def _invalidation_ms(crowd: Crowd, keys: int) -> float:
    user, days = _user(keys), sample_of(keys)
    await crowd.fill(user, keys)
    expect(await crowd.found(user, days) == len(days))
    gc.collect()
    started_s = time.perf_counter()
    await crowd.invalidate(user)
    took_s = time.perf_counter() - started_s
    expect(await crowd.found(user, days) == 0)
    expect(await crowd.found("other0", [1]) == 1)
    return took_s * 1_000


def _user(keys: int) -> str:
    return f"user{keys}"


def _rows(ours: str, others: list[str], took_ms: _Took, plan: Plan) -> list[Row]:
    def row(keys: int, against: str, theirs: str, theirs_keys: int, demand: Demand | None) -> Row:
        what = f"invalidate a user with {keys:,} of {plan.crowd_keys:,} keys"
        figures = tuple(took_ms[ours, keys]), tuple(took_ms[theirs, theirs_keys])
        return Row("invalidate", what, against, "ms", *figures, demand)

    fewest = plan.user_keys[0]
    return [
        *(row(keys, f"coherd, a user with {fewest:,}", ours, fewest, SAME) for keys in plan.user_keys[1:]),
        *(row(keys, name, name, keys, None) for name in others for keys in plan.user_keys),
    ]
