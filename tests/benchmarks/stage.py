"""One Valkey, the Coherd server and every contender, in the processes they would have in use."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from tests.benchmarks.contenders import Contender, Preparing
from tests.benchmarks.contenders.aiocache_library import AiocacheLibrary
from tests.benchmarks.contenders.cashews_library import CashewsLibrary
from tests.benchmarks.contenders.coherd_client import CoherdClient
from tests.benchmarks.contenders.direct_redis import DirectRedis
from tests.benchmarks.contenders.own_service import OwnService
from tests.benchmarks.plan import Plan

from rig.process import Node
from rig.server import CoherdServer
from rig.valkey import standalone


@dataclass(frozen=True, slots=True)
class Stage:
    """Who takes part."""

    coherd: CoherdClient
    redis: DirectRedis
    service: OwnService
    cashews: CashewsLibrary
    aiocache: AiocacheLibrary

    @property
    def others(self) -> list[Contender]:
        """All but Coherd."""
        return [self.redis, self.service, self.cashews, self.aiocache]


@asynccontextmanager
async def stage(plan: Plan) -> AsyncIterator[Stage]:
    """All of them on one Valkey, each with its keys stored."""
    async with AsyncExitStack() as stack:
        valkey, server = servers(stack)
        keys = plan.stored_keys
        contenders = (
            CoherdClient(server.target, keys),
            DirectRedis(valkey.url, keys),
            stack.enter_context(OwnService(valkey.port, keys)),
            CashewsLibrary(valkey.url, keys),
            AiocacheLibrary(valkey.port, keys),
        )
        await prepare(stack, *contenders)
        yield Stage(*contenders)


def servers(stack: AsyncExitStack) -> tuple[Node, CoherdServer]:
    """A Valkey and a Coherd server on it; both end with the stack."""
    valkey = stack.enter_context(standalone())
    return valkey, stack.enter_context(CoherdServer("--redis", valkey.url, "--log-level", "error"))


async def prepare(stack: AsyncExitStack, *contenders: Preparing) -> None:
    """Let each store its keys; they are closed with the stack."""
    for contender in contenders:
        stack.push_async_callback(contender.close)
        await contender.prepare()
