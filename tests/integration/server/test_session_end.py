"""Sessions of a server that stops, of several workers, and in health and reflection: nothing acknowledged is lost."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator, Iterator

import grpc
import pytest

from coherd import CacheClient, CacheError, OpenKey, OutcomeUnknown
from coherd.v1 import cache_service_pb2 as pb
from coherd.v1 import session_pb2 as session_pb
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server import app
from coherd_server.core.near.member import Member
from coherd_server.setting_files import catalog_of
from coherd_server.settings import Settings
from rig.calls import Caller, problem_in, reason_in, text_key
from rig.fixtures import RigPool
from rig.frames import Asked, frame_of
from rig.near import LeaseClock
from rig.raw_session import RawSession, refused
from rig.server import CoherdServer
from rig.stand import CallerMaker, Stand
from rig.valkey import standalone
from rig.waiting import until


async def test_a_server_that_stops_tells_its_sessions_and_answers_them(name: str) -> None:
    key = f"celery:own:id:{name}"
    with (
        standalone() as node,
        CoherdServer("--redis", node.url, "--redis-timeout", "60s", "--drain-grace", "60s") as server,
    ):
        async with RawSession(server.target) as session, RawSession(server.target) as idle:
            await session.ask(session.set(key, b"v"))
            node.pause()
            pending = [session.get(key), session.set(f"{key}2")]
            await session.send(*pending)
            server.process.send_signal(signal.SIGTERM)
            drain = await idle.next("drain")
            assert (drain.reason, drain.grace_ms) == (ErrorReason.ERROR_REASON_DRAINING, 60_000)
            await session.next("drain")
            assert (await refused(server.target)).reason in ("DRAINING", "")
            assert await idle.end() == []
            node.resume()
            get, write = await session.answers(*pending)
            assert get.get.hit.value == b"v"
            assert write.set.outcome == pb.SET_OUTCOME_STORED
            assert await session.end() == []
            assert await asyncio.to_thread(server.process.wait, 60) == 0
        with CoherdServer("--redis", node.url) as again, Caller(again.target) as caller:
            assert await asyncio.to_thread(caller.value, f"{key}2") == b"v"


async def test_a_client_that_does_not_move_is_ended(name: str) -> None:
    """After the time it was given; what was not answered may have been done."""
    with CoherdServer("--drain-grace", "700ms", "--log-format", "json") as server:
        async with RawSession(server.target) as session:
            wait = pb.LeaseRequest(key=text_key(f"celery:own:id:{name}"), token=os.urandom(16), lease_ms=60_000)
            await session.ask(session.operation(lease=wait))
            server.process.send_signal(signal.SIGTERM)
            await session.next("drain")
            problem = await session.problem()
            assert (problem.code, problem.reason) == ("UNAVAILABLE", "DRAINING")
            assert await asyncio.to_thread(server.process.wait, 60) == 0
        assert '"level": "error"' not in server.errors()


async def test_nothing_acknowledged_is_lost_over_a_restart(name: str) -> None:
    """Sets go on while the server is stopped and another takes its port: each is stored, or its caller is told."""
    with standalone() as node, CoherdServer("--redis", node.url, "--drain-grace", "2s") as first:
        port = first.target.rsplit(":", 1)[1]
        async with CacheClient.connect(first.target, near_cache=False, timeout_ms=6_000) as cache:
            outcomes: dict[int, BaseException | None] = {}
            stopping = asyncio.Event()

            async def write(worker: int) -> None:
                number = worker
                while not (stopping.is_set() and number > worker + 4_000):
                    try:
                        await cache.set(OpenKey("celery", "own", {"id": f"{name}{number}"}), number)
                        outcomes[number] = None
                    except CacheError as error:
                        outcomes[number] = error
                    number += 16
                    if stopping.is_set() and outcomes[number - 16] is None:
                        break

            writers = [asyncio.create_task(write(worker)) for worker in range(16)]
            await until("many are stored", lambda: len(outcomes) > 500)
            first.process.send_signal(signal.SIGTERM)
            assert await asyncio.to_thread(first.process.wait, 60) == 0
            second = CoherdServer("--redis", node.url, "--listen", f"127.0.0.1:{port}")
            with second:
                stopping.set()
                await asyncio.wait_for(asyncio.gather(*writers), 200)
                stored = [number for number, error in outcomes.items() if error is None]
                assert max(stored) > 500
                keys = [OpenKey("celery", "own", {"id": f"{name}{number}"}) for number in stored]
                found = await cache.get_many(keys)
                assert [found.get(key) for key in keys] == stored
                for error in outcomes.values():
                    assert error is None or not isinstance(error, OutcomeUnknown) or "not known" in str(error)


@pytest.fixture(scope="module")
def pair() -> Iterator[CoherdServer]:
    """Two workers whose sessions move after a second."""
    with CoherdServer("--workers", "2", "--session-age", "1s", "--log-format", "json") as server:
        yield server


async def test_sessions_of_workers_move_and_lose_nothing(pair: CoherdServer, name: str) -> None:
    async with CacheClient.connect(pair.target, near_cache=False, timeout_ms=60_000) as cache:
        key = OpenKey("celery", "own", {"id": name})
        loop = asyncio.get_running_loop()
        streams: set[object] = set()
        end_s = loop.time() + 120.0
        number = 0
        while len(streams) < 3:
            assert loop.time() < end_s, "its sessions do not move"
            await asyncio.gather(*(cache.set(key, number) for _ in range(5)))
            assert await cache.get(key) == number
            number += 1
            streams.add(cache._transport._links.current().stream)  # type: ignore[attr-defined]
    while not await is_served_while_it_is_asked_to_move(pair, f"celery:own:id:{name}"):
        assert loop.time() < end_s, "nothing is served any more once a session is asked to move"
    assert '"level": "error"' not in pair.errors()


async def is_served_while_it_is_asked_to_move(server: CoherdServer, key: str) -> bool:
    """False: the machine was so slow that the grace was over before the server had the operation."""
    async with RawSession(server.target) as session:
        drain = await session.next("drain")
        assert drain.grace_ms == 250
        get = session.get(key)
        try:
            [answer] = await session.ask(get)
        except grpc.aio.AioRpcError as error:
            if problem_in(error).reason != "DRAINING":
                raise
            return False
        assert answer.get.HasField("hit")
        assert (await session.problem()).reason == "DRAINING"
    return True


async def test_one_process_lets_sessions_grow_old() -> None:
    with CoherdServer("--session-age", "100ms") as server:
        async with RawSession(server.target) as session:
            await asyncio.sleep(0.5)
            await session.ask(session.get("celery:own:id:1"))
            assert [one.WhichOneof("message") for one in session.messages[1:]] == ["frame"]


async def test_pushes_and_answers_keep_their_order(single: Stand, name: str) -> None:
    """What was read before a change is answered before its push, or is not to be kept [one-order-down]."""
    key = f"content:topics:user:{name}"
    async with RawSession(single.server.target, near_cache=True) as session:
        assert {near_cache.domain for near_cache in session.welcome.near_caches} >= {
            "content",
            "analytics",
            "psychology",
        }
        asking = session_pb.SessionRequest(heartbeat=session_pb.Heartbeat(), asked_at_ms=1_000)
        await session.say(asking)
        extension = await session.next("extension")
        assert extension.counted_from_ms == 1_000
        assert 0 < extension.lease_ms <= session.welcome.near_cache_lease_ms
        held = False  # what a client would hold: the last cacheable answer, unless a push came behind it
        for number in range(60):
            await session.say(asking)
            write = session.set(key, str(number).encode())
            await session.send(write, *(session.get(key) for _ in range(5)))
            read = session.get(key)
            await session.answers(write)
            await session.ask(read)
        last = b""
        for message in session.messages:
            kind = message.WhichOneof("message")
            if kind == "push" and (message.push.flush or key in message.push.keys):
                held = False
            for result in message.frame.results:
                if result.get.hit.near_cacheable:
                    held, last = True, result.get.hit.value
        pushes = [message.push.sequence for message in session.messages if message.HasField("push")]
        assert pushes == list(range(1, len(pushes) + 1))
        assert len(pushes) > 5
        if held:
            assert last == b"59"


@pytest.fixture
async def clocked(
    rig_pool: RigPool, name: str, lease_clock: LeaseClock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[tuple[str, Member]]:
    """A server in this process whose leases go by `lease_clock`: its target, and its part in the log."""
    monkeypatch.setattr(app, "boottime_s", lease_clock)
    settings = Settings(listen="127.0.0.1:0", key_prefix=f"{name}:", redis_timeout=20_000)
    server = app.Server(settings, catalog_of(settings), rig_pool.get("standalone").url, share_port=False)
    port = await server.start()
    yield f"127.0.0.1:{port}", server._member
    await server.stop()


@pytest.mark.parametrize("end", ["goodbye", "hello again", "cut", "another client"])
async def test_for_whose_near_cache_a_strict_change_waits(
    clocked: tuple[str, Member], lease_clock: LeaseClock, connect: CallerMaker, name: str, end: str
) -> None:
    """Not for one that said goodbye, or whose client says hello again and so has emptied it; else for its lease."""
    target, member = clocked
    caller, key = connect(target), f"psychology:profile:user:{name}"
    hello = session_pb.SessionRequest(hello=session_pb.Hello(protocol=2, client_id=os.urandom(16), near_cache=True))
    async with RawSession(target, hello=hello) as session:
        await session.ask(session.set(key))
        lease_clock.stop()
        await until("in step", lambda: member._hub.in_step_as_of_s == lease_clock())
        await session.say(session_pb.SessionRequest(heartbeat=session_pb.Heartbeat(), asked_at_ms=1_000))
        await session.next("extension")
        [answer] = await session.ask(session.get(key))
        assert answer.get.hit.near_cacheable
        if end == "goodbye":
            await session.say(session_pb.SessionRequest(goodbye=session_pb.Goodbye()))
            await session.end()
        # else: its connection ends with it, without a word
    async with contextlib.AsyncExitStack() as stack:
        if end == "another client":
            await stack.enter_async_context(RawSession(target, near_cache=True))
        elif end == "hello again":
            await stack.enter_async_context(RawSession(target, hello=hello))
        deleting = asyncio.create_task(asyncio.to_thread(caller.delete, key))
        if end in ("cut", "another client"):
            await until("it waits", lambda: member._waits or deleting.done())
            assert not deleting.done(), "it may serve until its lease is over"
            lease_clock.advance(2 * member._terms.over_s)
        assert await deleting


async def test_health_and_reflection_know_the_session(single: Stand) -> None:
    assert await asyncio.to_thread(single.caller.health, "coherd.v1.SessionService") == "SERVING"
    from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

    async with grpc.aio.insecure_channel(single.server.target) as channel:
        stub = reflection_pb2_grpc.ServerReflectionStub(channel)
        requests = [
            reflection_pb2.ServerReflectionRequest(list_services=""),
            reflection_pb2.ServerReflectionRequest(file_containing_symbol="coherd.v1.SessionService"),
        ]
        listed, described = [answer async for answer in stub.ServerReflectionInfo(iter(requests))]
        assert "coherd.v1.SessionService" in {
            service_response.name for service_response in listed.list_services_response.service
        }
        assert any(b"Goodbye" in file for file in described.file_descriptor_response.file_descriptor_proto)


async def test_an_operation_nobody_knows_is_an_error_of_its_own(single: Stand, name: str) -> None:
    """From a newer client."""
    async with RawSession(single.server.target) as session:
        get = session.get(f"celery:own:id:{name}")
        frame = frame_of([get])
        newer = session_pb.Operation.FromString(session_pb.Operation(id=10**6).SerializeToString() + b"\xfa\x3f\x00")
        frame.operations.append(newer)
        await session.say(session_pb.SessionRequest(frame=frame))
        [result, get] = await session.answers(Asked(10**6, None, None), get)
        assert reason_in(result) == "REQUEST_INVALID"
        assert get.HasField("get")
