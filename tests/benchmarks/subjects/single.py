"""One key per call, over the client's session, and as a unary rpc. Must beat the service a team would write itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from typing import Final

from tests.benchmarks.contenders import Contender
from tests.benchmarks.contenders.coherd_client import CoherdClient
from tests.benchmarks.contenders.own_service import OwnService
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row, speed_row
from tests.benchmarks.rounds import Call, Turn, run_rounds
from tests.benchmarks.stage import prepare, servers, stage

ALONE: Final = 1
FEW: Final = (4, 8)
TOGETHER: Final = 32
"""Concurrent callers."""


async def get(plan: Plan) -> list[Row]:
    """Reading what is there."""
    return await _compare("get", lambda one: one.get, (ALONE, TOGETHER), plan)


async def set_(plan: Plan) -> list[Row]:
    """Storing."""
    return await _compare("set", lambda one: one.set, (ALONE, TOGETHER), plan)


async def miss(plan: Plan) -> list[Row]:
    """Reading what is not there."""
    return await _compare("miss", lambda one: one.miss, (TOGETHER,), plan)


async def _compare(subject: str, call_of: Callable[[Contender], Call], callers: Sequence[int], plan: Plan) -> list[Row]:
    rows: list[Row] = []
    async with stage(plan) as on:
        contenders = [on.coherd, *on.others]
        for concurrency in callers:
            ours, *others = await run_rounds([Turn(one.name, call_of(one), concurrency) for one in contenders], plan)
            what = f"{subject}, {concurrency} caller{'s' if concurrency > 1 else ''}"
            for theirs in others:
                demand = Demand(">", 1) if theirs.turn.name == on.service.name else None
                rows.append(speed_row(subject, what, theirs.turn.name, ours, theirs, demand))
    return rows


async def unary(plan: Plan) -> list[Row]:
    """Reading and storing by unary rpcs: what other languages have, and this client with ``sessions=False``."""
    rows: list[Row] = []
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        coherd = CoherdClient(server.target, plan.stored_keys, sessions=False)
        service = stack.enter_context(OwnService(valkey.port, plan.stored_keys))
        await prepare(stack, coherd, service)
        for verb, call_of in VERBS.items():
            for concurrency in (ALONE, *FEW, TOGETHER):
                turns = [Turn(one.name, call_of(one), concurrency) for one in (coherd, service)]
                ours, theirs = await run_rounds(turns, plan)
                what = f"unary {verb}, {concurrency} caller{'s' if concurrency > 1 else ''}"
                rows.append(speed_row("unary", what, theirs.turn.name, ours, theirs, Demand(">", 1)))
    return rows


VERBS: Final[dict[str, Callable[[Contender], Call]]] = {"get": lambda one: one.get, "set": lambda one: one.set}
