"""Calls that arrive together share round trips; cancelled ones disturb nobody (P3)."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import Caller, reason_in, text_key
from rig.process import Node
from rig.proxy import FaultProxy
from rig.server import PATIENT, CoherdServer
from rig.valkey import standalone

CANCELLED = 2_000
KEYS = [f"celery:own:id:{number}" for number in range(100)]


@pytest.fixture
def node() -> Iterator[Node]:
    """A store of the test's own: its counts are ours."""
    with standalone() as one:
        yield one


def fill(server: CoherdServer) -> None:
    """Store every key under its own name."""
    with Caller(server.target) as caller:
        items = [pb.SetRequest(key=text_key(key), value=key.encode()) for key in KEYS]
        done = caller.call("BatchSet", pb.BatchSetRequest(items=items)).results
        assert {one.set.outcome for one in done} == {pb.SET_OUTCOME_STORED}


class Async:
    """Calls without waiting for their turn."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._get = channel.unary_unary(
            "/coherd.v1.CacheService/Get", pb.GetRequest.SerializeToString, pb.GetResponse.FromString
        )
        self._set = channel.unary_unary(
            "/coherd.v1.CacheService/Set", pb.SetRequest.SerializeToString, pb.SetResponse.FromString
        )

        self._describe = channel.unary_unary("/coherd.v1.CacheService/DescribeCatalog")

    async def arrived(self) -> None:
        """Once the server has all calls before it: they are taken in order, and this one needs no store."""
        await self._describe(b"", timeout=60)

    def get(self, key: str) -> grpc.aio.UnaryUnaryCall:
        """Start a Get."""
        return self._get(pb.GetRequest(key=text_key(key)), timeout=120)

    def set(self, key: str) -> grpc.aio.UnaryUnaryCall:
        """Start a Set of the key's own value."""
        return self._set(pb.SetRequest(key=text_key(key), value=key.encode()), timeout=120)


@asynccontextmanager
async def calling(server: CoherdServer) -> AsyncIterator[Async]:
    """On one connection."""
    async with grpc.aio.insecure_channel(server.target) as channel:
        yield Async(channel)


Starter = Callable[[Async, str], grpc.aio.UnaryUnaryCall]


def commands(node: Node) -> dict[str, int]:
    """How often each command was called so far."""
    stats = node.client().info("commandstats")
    return {name.removeprefix("cmdstat_"): int(one["calls"]) for name, one in stats.items()}


async def counted(node: Node, start: Starter) -> tuple[list[Any], dict[str, int]]:
    """50 calls at once while the store's replies are held; their answers, and the commands it was sent."""
    async with FaultProxy(node.port) as proxy:
        with await asyncio.to_thread(CoherdServer, "--redis", proxy.url, *PATIENT) as server:
            await asyncio.to_thread(fill, server)
            async with calling(server) as caller:
                await start(caller, KEYS[0])
                before = commands(node)
                proxy.reply_hold = asyncio.Event()
                calls = [start(caller, key) for key in KEYS[:50]]
                await caller.arrived()
                proxy.reply_hold.set()
                answers = await asyncio.gather(*calls)
                after = commands(node)
            await asyncio.to_thread(server.stop)
    return answers, {name: calls - before.get(name, 0) for name, calls in after.items()}


async def test_gets_that_arrive_together_share_round_trips(node: Node) -> None:
    answers, sent = await counted(node, Async.get)
    assert [answer.hit.value.decode() for answer in answers] == KEYS[:50]
    assert 0 < sent["mget"] <= 35, f"50 calls must share: {sent}"
    assert sent.get("get", 0) + sent.get("eval", 0) == 0


async def test_sets_that_arrive_together_share_round_trips(node: Node) -> None:
    answers, sent = await counted(node, Async.set)
    assert {answer.outcome for answer in answers} == {pb.SET_OUTCOME_STORED}
    assert 0 < sent["evalsha"] <= 40, f"a few scripts per shared batch, not per call: {sent}"


async def test_a_set_that_only_waited_for_its_turn_was_not_sent_and_is_told_so(node: Node) -> None:
    """P6: its caller may try again; the set before it, whose reply is lost, is of unknown outcome."""
    key = KEYS[0]
    async with FaultProxy(node.port) as proxy:
        with (
            await asyncio.to_thread(CoherdServer, "--redis", proxy.url, *PATIENT) as server,
            Caller(server.target) as caller,
        ):
            await asyncio.to_thread(caller.set, key, b"before")
            proxy.half_open = True
            first = await asyncio.to_thread(caller.hold, "Set", pb.SetRequest(key=text_key(key), value=b"first"))
            second = pb.SetRequest(key=text_key(key), value=b"second")
            several = pb.BatchSetRequest(items=[second, second])
            problem, answer = await asyncio.gather(
                asyncio.to_thread(caller.refused, "Set", second, timeout_s=2.0),
                asyncio.to_thread(caller.call, "BatchSet", several, timeout_s=2.0),
            )
            assert (problem.code, problem.reason, problem.retry_ms) == ("ABORTED", "CONTENDED", 20)
            assert "nothing was changed" in problem.message
            assert [reason_in(result) for result in answer.results] == ["CONTENDED"] * 2
            assert not first.done(), "the test is void: nothing stood in the way"
            first.cancel()
            proxy.half_open = False
            await asyncio.to_thread(server.stop)


async def test_a_burst_of_sets_on_a_new_connection_loses_none(server: CoherdServer) -> None:
    """Calls over a connection's limit of streams are lost without a reason; a burst comes before the limit is known."""
    keys = [f"celery:burst:id:{number}" for number in range(1_000)]
    async with calling(server) as caller:
        answers = await asyncio.gather(*(caller.set(key) for key in keys))
    assert {answer.outcome for answer in answers} == {pb.SET_OUTCOME_STORED}


async def test_callers_that_are_held_keep_nobody_from_the_same_connection(server: CoherdServer, name: str) -> None:
    """More than gRPC's usual hundred wait for a load at one time; the fill that ends their wait still gets through."""
    key, token = text_key(f"celery:burst:id:{name}"), bytes(range(16))
    path = "/coherd.v1.CacheService/"
    async with grpc.aio.insecure_channel(server.target) as channel:
        lease = channel.unary_unary(path + "Lease", pb.LeaseRequest.SerializeToString, pb.LeaseResponse.FromString)
        fill = channel.unary_unary(path + "Fill", pb.FillRequest.SerializeToString, pb.FillResponse.FromString)
        granted = await lease(pb.LeaseRequest(key=key, token=token), timeout=120)
        assert granted.HasField("granted")
        waits = [
            lease(pb.LeaseRequest(key=key, token=number.to_bytes(16), wait_ms=60_000), timeout=60)
            for number in range(1, 601)
        ]
        await channel.unary_unary(path + "DescribeCatalog")(b"", timeout=120)  # calls are taken in order
        request = pb.FillRequest(set=pb.SetRequest(key=key, value=b"v"), token=token, grant=granted.granted.grant)
        done = await fill(request, timeout=120)
        assert done.outcome == pb.FILL_OUTCOME_STORED
        assert {answer.hit.value for answer in await asyncio.gather(*waits)} == {b"v"}


async def test_a_storm_of_cancelled_calls_disturbs_nobody(node: Node) -> None:
    """Behind a store that answers late, so that calls are cancelled while their replies are under way."""
    dice = random.Random(2)
    async with FaultProxy(node.port) as proxy:
        server = await asyncio.to_thread(CoherdServer, "--redis", proxy.url, "--log-format", "json", *PATIENT)
        with server:
            await asyncio.to_thread(fill, server)
            proxy.reply_delay_s = 0.01
            cancelled = 0
            over = asyncio.Event()

            async def neighbour(caller: Async) -> int:
                """Is never cancelled, and always gets its own value."""
                calls = 0
                while not over.is_set():
                    key = dice.choice(KEYS)
                    assert (await caller.get(key)).hit.value == key.encode()
                    calls += 1
                return calls

            async def victim(caller: Async) -> None:
                nonlocal cancelled
                key = dice.choice(KEYS)
                call = caller.set(key) if dice.random() < 0.1 else caller.get(key)
                await asyncio.sleep(dice.random() * 0.03)
                if call.cancel():
                    cancelled += 1
                    return
                code = await call.code()
                if code is grpc.StatusCode.OK:
                    answer = await call
                    assert not isinstance(answer, pb.GetResponse) or answer.hit.value == key.encode()
                else:  # the server may not have seen the cancellations yet, and find its limit of streams reached
                    assert code is grpc.StatusCode.UNAVAILABLE
                    assert "RST_STREAM" in str(await call.details())

            async with calling(server) as stormy, calling(server) as calm:
                neighbours = [asyncio.create_task(neighbour(calm)) for _ in range(5)]
                while cancelled < CANCELLED:
                    await asyncio.gather(*(victim(stormy) for _ in range(60)))
                over.set()
                assert min(await asyncio.gather(*neighbours)) > 0
                proxy.reply_delay_s = 0.0
                for start in range(0, len(KEYS), 20):  # far below the limit of streams, see above
                    some = KEYS[start : start + 20]
                    answers = await asyncio.gather(*(caller.get(key) for caller in (stormy, calm) for key in some))
                    assert [answer.hit.value.decode() for answer in answers] == some * 2
            assert proxy.connections < 20, "a cancelled call must not cost its connection"
            assert '"level": "error"' not in server.errors()
            assert "Traceback" not in server.errors()
            assert await asyncio.to_thread(server.stop) == 0
