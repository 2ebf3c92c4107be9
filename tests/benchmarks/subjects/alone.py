"""One caller that reads one value after the other: nothing is shared, so the way there and back is all there is."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Final

from tests.benchmarks.contenders.bare_call import BareCall
from tests.benchmarks.contenders.coherd_client import CoherdClient
from tests.benchmarks.plan import Plan
from tests.benchmarks.result import Demand, Row
from tests.benchmarks.rounds import Rates, Turn, run_rounds
from tests.benchmarks.stage import prepare, servers

DEMAND: Final = Demand("<=", 0.8)


async def alone(plan: Plan) -> list[Row]:
    """The typed client against a bare unary call of the same bytes to the same server."""
    async with AsyncExitStack() as stack:
        _, server = servers(stack)
        client, bare = CoherdClient(server.target, plan.stored_keys), BareCall(server.target, plan.stored_keys)
        await prepare(stack, client, bare)
        ours, theirs = await run_rounds([Turn(client.name, client.get, 1), Turn(bare.name, bare.get, 1)], plan)
    return [Row("alone", "one sequential get", bare.name, "us", _each_us(ours), _each_us(theirs), DEMAND)]


def _each_us(rates: Rates) -> tuple[float, ...]:
    """Microseconds per call in each round."""
    return tuple(1_000_000 / per_s for per_s in rates.per_s)
