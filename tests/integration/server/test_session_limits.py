"""What a session may not do, and what it costs: hello, malformed messages, windows, clients that do not read."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import grpc.aio
import pytest

from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb
from rig.calls import Caller, Problem, reason_in, text_key
from rig.frames import Asked
from rig.raw_session import RawSession, refused
from rig.server import CoherdServer
from rig.stand import Stand
from rig.waiting import until

PATHS = {"PYTHONPATH": os.pathsep.join(sys.path)}


@pytest.fixture(scope="module")
def small() -> Iterator[CoherdServer]:
    """A server that takes three sessions and fifty operations of each."""
    with CoherdServer(module=("rig.small_limits",), environ=PATHS) as server:
        yield server


def hello(**fields: object) -> session_pb.SessionRequest:
    """A hello that is good but for these fields."""
    good: dict[str, object] = {"protocol": 2, "client_id": os.urandom(16)}
    return session_pb.SessionRequest(hello=session_pb.Hello(**(good | fields)))


def memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@pytest.mark.parametrize(
    ("message", "reason", "field"),
    [
        (b"\xff\xff", "REQUEST_MALFORMED", ()),
        (b"", "REQUEST_INVALID", ("hello",)),
        (session_pb.SessionRequest(heartbeat=session_pb.Heartbeat()), "REQUEST_INVALID", ("hello",)),
        (hello(protocol=0), "REQUEST_INVALID", ("hello.protocol",)),
        (hello(protocol=1), "REQUEST_INVALID", ("hello.protocol",)),
        (hello(protocol=3), "REQUEST_INVALID", ("hello.protocol",)),
        (hello(client_id=b"short"), "REQUEST_INVALID", ("hello.client_id",)),
        (hello(client_id=b""), "REQUEST_INVALID", ("hello.client_id",)),
    ],
)
async def test_a_session_begins_with_hello(
    single: Stand, message: session_pb.SessionRequest | bytes, reason: str, field: tuple[str, ...]
) -> None:
    problem = await refused(single.server.target, hello=message)
    assert (problem.reason, problem.fields, problem.code) == (reason, field, "INVALID_ARGUMENT")


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        (hello(), "REQUEST_INVALID"),
        (b"\xff\xff", "REQUEST_MALFORMED"),
        (b"", "REQUEST_INVALID"),
        (session_pb.SessionRequest(frame=session_pb.RequestFrame()), "REQUEST_INVALID"),
        (
            session_pb.SessionRequest(frame=session_pb.RequestFrame(operations=[session_pb.Operation()] * 8_193)),
            "REQUEST_INVALID",
        ),
        (session_pb.SessionRequest(cancel=session_pb.CancelFrame(ids=range(10_001))), "REQUEST_INVALID"),
    ],
)
async def test_what_is_no_message_ends_the_session(
    single: Stand, message: session_pb.SessionRequest | bytes, reason: str, secret: str
) -> None:
    async with RawSession(single.server.target) as session, RawSession(single.server.target) as neighbour:
        await session.ask(session.set(f"celery:own:id:{secret}"))
        await session.say(message)
        problem = await session.problem()
        assert (problem.reason, problem.code) == (reason, "INVALID_ARGUMENT")
        assert secret.encode() not in problem.everything
        assert (await neighbour.ask(neighbour.get("celery:own:id:1")))[0].HasField("get")


async def refused_or_not(target: str) -> Problem | None:
    """The problem of one more session; None if it was welcomed."""
    try:
        return await refused(target)
    except AssertionError:
        return None


async def test_too_many_sessions(small: CoherdServer) -> None:
    """Those that have not said hello count as well."""
    async with AsyncExitStack() as stack:
        for _ in range(2):
            await stack.enter_async_context(RawSession(small.target))
        silent = RawSession(small.target)
        await silent.call.wait_for_connection()
        stack.push_async_exit(silent)
        async with asyncio.timeout(60):
            while (problem := await refused_or_not(small.target)) is None:  # noqa: ASYNC110 - until it is counted
                await asyncio.sleep(0.05)
        assert (problem.reason, problem.code) == ("OVERLOADED", "RESOURCE_EXHAUSTED")
        assert problem.retry_ms
    for _ in range(1_200):  # those that ended leave their places
        try:
            async with RawSession(small.target) as session:
                assert (await session.ask(session.get("celery:own:id:1")))[0].HasField("get")
                break
        except grpc.aio.AioRpcError:
            await asyncio.sleep(0.05)
    else:
        raise AssertionError("no place became free")


async def test_waiting_leases_do_not_keep_out_what_they_wait_for(small: CoherdServer, name: str) -> None:
    """A whole window of them, and then the fill that ends them."""
    key, token = f"celery:own:id:{name}", os.urandom(16)
    async with RawSession(small.target) as session:
        window = session.welcome.window
        assert window == 50
        held = pb.LeaseRequest(key=text_key(key), token=token, lease_ms=60_000)
        grant = (await session.ask(session.operation(lease=held)))[0].lease.granted.grant
        waits = [
            session.operation(lease=pb.LeaseRequest(key=text_key(key), token=os.urandom(16), wait_ms=60_000))
            for _ in range(window)
        ]
        await session.send(*waits)
        one_more = session.operation(lease=pb.LeaseRequest(key=text_key(key), token=os.urandom(16), wait_ms=60_000))
        assert reason_in((await session.ask(one_more))[0]) == "OVERLOADED"
        fill = pb.FillRequest(set=pb.SetRequest(key=text_key(key), value=b"loaded"), token=token, grant=grant)
        await session.ask(session.operation(fill=fill))
        results = await session.answers(*waits)
        assert {result.lease.hit.value for result in results} == {b"loaded"}
        again = session.operation(lease=pb.LeaseRequest(key=text_key(f"{key}2"), token=os.urandom(16), wait_ms=1))
        assert (await session.ask(again))[0].HasField("lease"), "their places are free"


async def test_a_client_that_does_not_read_costs_no_memory(name: str) -> None:
    """It asks for a gigabyte of answers, which are not made before it takes those it has."""
    key = f"celery:own:id:{name}"
    with CoherdServer("--log-format", "json") as server:
        narrow = (("grpc.http2.bdp_probe", 0), ("grpc.http2.lookahead_bytes", 65_536))
        async with RawSession(server.target, options=narrow) as session, RawSession(server.target) as neighbour:
            await session.ask(session.set(key, b"x" * 100_000))
            await session.ask(*(session.get(key) for _ in range(256)))
            before = memory_bytes(server.process.pid)
            frames = [[session.get(key) for _ in range(500)] for _ in range(20)]
            sent: list[list[Asked]] = []

            async def send() -> None:
                for frame in frames:
                    sent.append(frame)
                    await session.send(*frame)

            sending = asyncio.create_task(send())
            for _ in range(10):  # it serves others all the while
                await asyncio.sleep(0.2)
                assert (await neighbour.ask(neighbour.get("celery:own:id:1")))[0].HasField("get")
            grown = memory_bytes(server.process.pid) - before
            assert grown < 100 << 20, f"{grown >> 20} MiB"
            await session.answers(*frames[0])
            await asyncio.wait_for(sending, 120)
            for frame in frames:
                results = await session.answers(*frame)
                assert {len(result.get.hit.value) for result in results} == {100_000}
        assert '"level": "error"' not in server.errors()


async def test_values_and_answers_longer_than_a_message(name: str) -> None:
    """An error of the operation, never the end of the stream."""
    with CoherdServer("--max-message-bytes", "64kb", "--max-value-bytes", "63kb", "--log-format", "json") as server:
        async with RawSession(server.target) as session:
            assert session.welcome.window_bytes == 32 << 10
            keys = [f"celery:own:id:{name}{number}" for number in range(20)]
            for key in keys:
                await session.ask(session.set(key, b"x" * 10_000))
            results = await session.ask(*(session.get(key) for key in keys))
            assert {len(result.get.hit.value) for result in results} == {10_000}, "in as many messages as they need"
            await session.ask(session.set(keys[0], b"x" * 60_000))
            with Caller(server.target) as caller:
                assert len(await asyncio.to_thread(caller.value, keys[0]) or b"") == 60_000
            [one] = await session.ask(session.get(keys[0]))
            assert len(one.get.hit.value) == 60_000
            await session.ask(session.set(keys[0], b"x" * 64_480))
            [one, two] = await session.ask(session.get(keys[0]), session.get(keys[1]))
            assert reason_in(one) == "ANSWER_TOO_LARGE"
            assert len(two.get.hit.value) == 10_000


async def test_a_message_over_the_limit_ends_its_stream_alone(single: Stand) -> None:
    async with RawSession(single.server.target) as session, RawSession(single.server.target) as neighbour:
        too_long = session_pb.SessionRequest(heartbeat=session_pb.Heartbeat(near_cache_hits={"x" * (17 << 20): 1}))
        await session.say(too_long)
        assert (await session.problem()).code == "RESOURCE_EXHAUSTED"
        assert (await neighbour.ask(neighbour.get("celery:own:id:1")))[0].HasField("get")


async def test_killed_clients_leave_nothing(own_server: CoherdServer, name: str) -> None:
    """Cut in the middle of frames, waits and unread answers, again and again."""
    key = f"celery:own:id:{name}"
    async with RawSession(own_server.target) as session:
        await session.ask(session.set(key, b"x" * 10_000))

    async def abandon(number: int) -> None:
        session = RawSession(own_server.target, near_cache=bool(number % 2))
        async with session:
            wait = pb.LeaseRequest(key=text_key(f"{key}{number}"), token=os.urandom(16), lease_ms=100)
            held = pb.LeaseRequest(key=text_key(f"{key}{number}"), token=os.urandom(16), wait_ms=60_000)
            await session.send(
                *(session.get(key) for _ in range(100)),
                session.operation(lease=wait),
                session.operation(lease=held),
                *(session.set(f"{key}{number}{one}") for one in range(20)),
            )
            if number % 3:
                await session.read()

    for number in range(0, 60, 10):
        await asyncio.gather(*(abandon(one) for one in range(number, number + 10)))
    async with RawSession(own_server.target) as session:
        assert (await session.ask(session.get(key)))[0].HasField("get")
    log = own_server.errors()
    assert '"level": "error"' not in log
    assert "Traceback" not in log


async def test_idle_sessions_cost_three_tasks_each() -> None:
    """Two of gRPC, one of ours; memory of some kilobytes; and none wakes up."""
    with CoherdServer(module=("rig.counted_tasks",), environ=PATHS) as server:
        tasks_before = await counted(server)
        before = memory_bytes(server.process.pid)
        async with AsyncExitStack() as stack:
            sessions = [RawSession(server.target, near_cache=True) for _ in range(200)]
            for at in range(0, 200, 50):
                await asyncio.gather(*(stack.enter_async_context(session) for session in sessions[at : at + 50]))
            assert (await counted(server)) - tasks_before <= 3 * 200 + 5
            assert memory_bytes(server.process.pid) - before < 200 * (400 << 10)
            used = cpu_s(server.process.pid)
            await asyncio.sleep(1.5)
            assert cpu_s(server.process.pid) - used < 0.6
        async with asyncio.timeout(60):
            while await counted(server) > tasks_before + 5:
                pass


def cpu_s(pid: int) -> float:
    """Processor time a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def counted(server: CoherdServer) -> int:
    """Tasks of its event loop, as `rig.counted_tasks` writes them on SIGUSR1."""

    def said() -> list[str]:
        return [line for line in server.errors().splitlines(keepends=True) if line.startswith("tasks ")]

    before = len(said())
    server.process.send_signal(signal.SIGUSR1)
    await until("it says how many", lambda: len(said()) > before and said()[-1].endswith("\n"))
    return int(said()[-1].split()[1])
