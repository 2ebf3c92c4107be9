"""What many tasks of one process ask for at once: on Coherd's side they share the frames of a session."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, NamedTuple

from tests.benchmarks.contenders import BATCH, Contender
from tests.benchmarks.contenders.aiocache_library import AiocacheLibrary
from tests.benchmarks.contenders.cashews_library import CashewsLibrary
from tests.benchmarks.contenders.coherd_client import CoherdClient
from tests.benchmarks.contenders.direct_redis import DirectRedis
from tests.benchmarks.contenders.glide_library import GlideLibrary
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row, speed_row
from tests.benchmarks.rounds import Call, Turn, run_rounds
from tests.benchmarks.stage import prepare, servers

TASKS: Final = 50
"""Concurrent tasks of single calls."""
CALLERS: Final = (1, 4)
"""Concurrent tasks of calls for many keys."""
GET_DEMANDS: Final[Mapping[str, Demand]] = {
    "redis-py": Demand(">=", 4),
    "valkey-glide": Demand(">=", 2.5),
    "cashews": Demand(">=", 8),
    "aiocache": Demand(">=", 8),
}
SET_DEMANDS: Final[Mapping[str, Demand]] = {"redis-py": Demand(">=", 3)}
MANY_DEMAND: Final = Demand(">=", 0.4)
"""Per key: it reads epochs as well as values, and compares them."""


class _Cast(NamedTuple):
    coherd: CoherdClient
    redis: DirectRedis
    glide: GlideLibrary
    cashews: CashewsLibrary
    aiocache: AiocacheLibrary


async def session_get(plan: Plan) -> list[Row]:
    """Reading what is there, from the service: near caches are off."""
    return await _singles("session_get", "get", lambda one: one.get, GET_DEMANDS, plan)


async def session_set(plan: Plan) -> list[Row]:
    """Storing."""
    return await _singles("session_set", "set", lambda one: one.set, SET_DEMANDS, plan)


async def session_get_many(plan: Plan) -> list[Row]:
    """Reading many keys per call, against what Redis has for that."""
    rows: list[Row] = []
    async with _cast(plan) as on:
        for callers in CALLERS:
            turns = [Turn(one.name, one.get_many, callers, BATCH) for one in (on.coherd, on.redis)]
            ours, theirs = await run_rounds(turns, plan)
            what = f"get_many of {BATCH}, {callers} task{'s' if callers > 1 else ''}"
            against = f"{on.redis.name}, {on.redis.get_many_name} of {BATCH}"
            rows.append(speed_row("session_get_many", what, against, ours, theirs, MANY_DEMAND))
    return rows


async def _singles(
    subject: str, verb: str, call_of: Callable[[Contender], Call], demands: Mapping[str, Demand], plan: Plan
) -> list[Row]:
    async with _cast(plan) as on:
        ours, *others = await run_rounds([Turn(one.name, call_of(one), TASKS) for one in on], plan)
    what = f"{verb}, {TASKS} tasks"
    return [
        speed_row(subject, what, theirs.turn.name, ours, theirs, demands.get(theirs.turn.name)) for theirs in others
    ]


@asynccontextmanager
async def _cast(plan: Plan) -> AsyncIterator[_Cast]:
    """On one Valkey, each with its keys stored."""
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        keys = plan.stored_keys
        on = _Cast(
            CoherdClient(server.target, keys),
            DirectRedis(valkey.url, keys),
            GlideLibrary(valkey.port, keys),
            CashewsLibrary(valkey.url, keys),
            AiocacheLibrary(valkey.port, keys),
        )
        await prepare(stack, *on)
        yield on
