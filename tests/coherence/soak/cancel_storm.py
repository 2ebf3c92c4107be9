"""A storm of cancelled calls behind a proxy that delays: no reply may reach another caller (P3)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, NamedTuple

import grpc
import grpc.aio

from coherd._rpc.methods import BATCH_GET, GET, KeyRead, KeysRead
from coherd.v1 import cache_service_pb2 as pb
from coherence.faults.proxy_thread import ProxyThread
from coherence.history import History, Recorder
from coherence.scenarios.service_scenarios import USER
from coherence.traffic.caller import CHANNEL, Caller
from coherence.traffic.keyspace import COUNTED, ITEMS
from coherence.traffic.session_caller import SessionCaller
from coherence.traffic.source import Source
from coherence.validate.checkers import check_no_crossing, check_no_resurrection, check_safe_under_loss
from coherence.validate.violation import Violation
from rig.calls import SERVICE
from rig.process import Node
from rig.proxy import FaultProxy
from rig.server import CoherdServer

TASKS = 16
SESSIONS_LOST = 8
"""While a storm over sessions lasts."""


class Storm(NamedTuple):
    """What a storm showed."""

    cancelled: int
    answered: int
    reads: int
    hits: int
    violations: list[Violation]


async def storm(target: str, cancelled: int, directory: Path, seed: int) -> Storm:
    """Cancel that many calls at random moments, while others of the same keys go on and are checked."""
    rng = random.Random(seed)
    source = Source(directory / "source", COUNTED)
    recorder = Recorder(directory / "storm.jsonl", "storm")
    caller = Caller([target], recorder, source, timeout_s=10.0)
    async with grpc.aio.insecure_channel(target, CHANNEL) as channel:
        get, batch = (channel.unary_unary(f"/{SERVICE.full_name}/{name}") for name in ("Get", "BatchGet"))
        left, answered = cancelled, 0

        async def cancel() -> None:
            nonlocal left, answered
            while left > 0:
                left -= 1
                item = rng.choice(ITEMS)
                request: Any = pb.GetRequest(key=item.wire)
                method = get
                if rng.random() < 0.2:
                    request = pb.BatchGetRequest(keys=[one.wire for one in rng.sample(ITEMS, 5)])
                    method = batch
                call = method(request.SerializeToString())
                await asyncio.sleep(rng.random() * 0.004)
                if call.done():
                    left += 1
                    answered += 1
                call.cancel()

        async def check() -> None:
            while left > 0:
                item = rng.choice(ITEMS)
                if rng.random() < 0.3:
                    await caller.batch_get(0, rng.sample(ITEMS, 6))
                elif rng.random() < 0.1:
                    await caller.set(0, item, source.commit(item.index))
                elif rng.random() < 0.02:
                    await caller.invalidate(0, USER)
                else:
                    await caller.get(0, item)

        await asyncio.gather(*(caller.set(0, item, 1) for item in ITEMS))
        await asyncio.gather(*(cancel() for _ in range(TASKS)), *(check() for _ in range(32)))
    await caller.close()
    source.close()
    history = History.load(directory)
    found = [*check_no_crossing(history), *check_no_resurrection(history), *check_safe_under_loss(history)]
    reads = [one for one in history.on("get", "batch_get") if one.is_acknowledged]
    return Storm(cancelled, answered, len(reads), sum(one.value is not None for one in reads), found)


async def session_storm(target: str, cancelled: int, directory: Path, seed: int) -> Storm:
    """As `storm`, over one session that is lost now and then."""
    rng = random.Random(seed)
    source = Source(directory / "source", COUNTED)
    recorder = Recorder(directory / "storm.jsonl", "storm")
    caller = SessionCaller([target], recorder, source, timeout_s=10.0)
    transport = caller.transports[0]
    left, answered, lost = cancelled, 0, 0

    async def cancel() -> None:
        nonlocal left, answered, lost
        while left > 0:
            left -= 1
            if lost < SESSIONS_LOST * (cancelled - left) / cancelled - 0.5 and caller.lose_session(0):
                lost += 1
            item = rng.choice(ITEMS)
            asked: Coroutine[Any, Any, Any]
            if rng.random() < 0.2:
                keys = [one.wire.text for one in rng.sample(ITEMS, 5)]
                asked = transport.call(BATCH_GET, KeysRead(keys), 10_000)
            else:
                asked = transport.call(GET, KeyRead(item.wire.text), 10_000)
            call = asyncio.create_task(asked)
            await asyncio.sleep(rng.random() * 0.004)
            if call.done():
                left += 1
                answered += 1
            call.cancel()
            await asyncio.gather(call, return_exceptions=True)

    async def check() -> None:
        while left > 0:
            item = rng.choice(ITEMS)
            draw = rng.random()
            if draw < 0.3:
                await caller.batch_get(0, rng.sample(ITEMS, 6))
            elif draw < 0.37:
                await caller.set(0, item, source.commit(item.index))
            elif draw < 0.385:
                await caller.invalidate(0, USER)
            else:
                await caller.get(0, item)

    await asyncio.gather(*(caller.set(0, item, 1) for item in ITEMS))
    await asyncio.gather(*(cancel() for _ in range(TASKS)), *(check() for _ in range(32)))
    await caller.close()
    source.close()
    assert lost == SESSIONS_LOST
    history = History.load(directory)
    found = [*check_no_crossing(history), *check_no_resurrection(history), *check_safe_under_loss(history)]
    reads = [one for one in history.on("get", "batch_get") if one.is_acknowledged]
    return Storm(cancelled, answered, len(reads), sum(one.value is not None for one in reads), found)


def run_storm(node: Node, cancelled: int, directory: Path, seed: int = 0, *, sessions: bool = False) -> Storm:
    """A storm against a server that reaches its store through a proxy which delays every reply."""
    with ProxyThread(FaultProxy(node.port)) as proxy:
        proxy.act(lambda one: setattr(one, "reply_delay_s", 0.003))
        with CoherdServer("--redis", f"redis://127.0.0.1:{proxy.port}", "--log-format", "json") as server:
            act = session_storm if sessions else storm
            done = asyncio.run(act(server.target, cancelled, directory, seed))
            if '"level": "error"' in server.errors():
                raise AssertionError(server.errors())
    return done
