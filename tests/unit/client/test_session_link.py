"""How a client opens, moves, loses and ends its sessions, against a server played by the test over real gRPC."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator

import grpc
import pytest
from fake_server import PATIENT_MS
from session_server import KEY, NEAR, WAIT_S, SessionServer, answered, hit, link_of, opened, stored

from coherd import CacheClient, ClientClosed, OutcomeUnknown
from coherd._rpc import session_link as link_module
from coherd.v1 import session_pb2 as pb
from rig.proxy import FaultProxy
from rig.waiting import until


@pytest.fixture
async def server() -> AsyncIterator[SessionServer]:
    async with SessionServer() as one:
        yield one


@pytest.fixture
async def cache(server: SessionServer) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(server.target, timeout_ms=PATIENT_MS) as client:
        yield client


# Where there are no sessions.


async def test_a_service_without_sessions_is_used_by_unary_calls_and_asked_again_later(
    server: SessionServer, cache: CacheClient
) -> None:
    server.refuses = grpc.StatusCode.UNIMPLEMENTED
    link, loop = link_of(cache), asyncio.get_running_loop()
    began_s = loop.time()
    await cache.set(KEY, 1)
    pause_s = link_module.NOT_SERVED_PAUSE_S
    assert began_s + 0.5 * pause_s <= link._not_before_s <= loop.time() + 1.5 * pause_s
    assert [await cache.get(KEY) for _ in range(5)] == [1] * 5
    assert (server.dials, server.calls["Get"]) == (1, 5)
    server.refuses = None
    link._not_before_s = loop.time()
    assert await cache.get(KEY) == 1  # not held up by the attempt
    session = await server.opened()
    await until("it is in use", lambda: link_of(cache).stream is not None)
    await answered(session, cache)
    assert server.dials == 2


async def test_a_proxy_that_buffers_holds_calls_up_once(
    server: SessionServer, cache: CacheClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The welcome does not come."""
    monkeypatch.setattr(link_module, "DIAL_TIMEOUT_S", 0.5)
    server.silent = True
    await cache.set(KEY, 1)
    assert server.calls["Set"] == 1
    silent = await server.opened()
    async with asyncio.timeout(WAIT_S):
        await silent.gone.wait()
    monkeypatch.setattr(link_module, "DIAL_TIMEOUT_S", 600.0)
    for _ in range(3):  # attempts go on in the background, further and further apart
        await until("its pause is over", lambda: asyncio.get_running_loop().time() > link_of(cache)._not_before_s)
        assert await cache.get(KEY) == 1
        silent = await server.opened()
        assert link_of(cache)._dialing is not None, "it was not waited for"
        silent.end()
        await until("in vain", lambda: link_of(cache)._dialing is None)


async def test_the_back_off_grows_and_is_spread(server: SessionServer, cache: CacheClient) -> None:
    server.refuses = grpc.StatusCode.UNAVAILABLE
    link, loop = link_of(cache), asyncio.get_running_loop()
    for number in range(8):
        link._not_before_s = 0.0
        began_s = loop.time()
        await link.ready(1.0)
        await until("it failed", lambda: link._dialing is None)
        longest_s = min(0.1 * 2**number, 5.0) * 1.5
        assert began_s + longest_s / 3 < link._not_before_s <= loop.time() + longest_s
        link._not_before_s = loop.time() + 60.0
        assert await link.ready(1.0) is None
        assert link._dialing is None, "not before the pause is over"
    assert server.dials == 8


async def test_a_hello_that_is_refused_for_good_is_said_by_the_unary_call(server: SessionServer) -> None:
    server.refuses = grpc.StatusCode.UNAUTHENTICATED
    async with CacheClient.connect(server.target, timeout_ms=PATIENT_MS) as cache:
        await cache.set(KEY, 1)
        assert server.calls["Set"] == 1


# Moving.


async def test_a_drained_session_is_replaced_and_finishes(server: SessionServer, cache: CacheClient) -> None:
    server.welcome = NEAR
    first = await opened(server, cache)
    write = asyncio.create_task(cache.set(KEY, 1))
    [pending] = await first.operations(1)
    await first.say(drain=pb.Drain(grace_ms=5_000))
    await first.next("goodbye")  # its near cache is empty at once
    get = asyncio.create_task(cache.get(KEY))
    second = await server.opened()
    assert second.peer != first.peer, "on a connection of its own"
    assert second.hello.client_id == first.hello.client_id
    [operation] = await second.operations(1)
    await second.answer(hit(operation))
    assert await get == 7
    assert not first.half_closed.is_set()
    await first.answer(stored(pending))
    assert await write
    async with asyncio.timeout(WAIT_S):
        await first.half_closed.wait()
    await until("nothing of it is left", lambda: len(link_of(cache)._streams) == 1)
    assert server.calls == {}


async def test_a_drained_session_whose_callers_give_up_ends(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    gets = [asyncio.create_task(cache.get(KEY)), asyncio.create_task(cache.get(KEY, timeout_ms=1_500))]
    await session.operations(2)
    await session.say(drain=pb.Drain(grace_ms=5_000))
    await until("it moves", lambda: link_of(cache).stream is None)
    gets[0].cancel()
    async with asyncio.timeout(WAIT_S):
        await session.half_closed.wait()
    await asyncio.gather(*gets, return_exceptions=True)


# The end.


async def test_close_ends_what_is_in_flight_and_leaves_nothing(server: SessionServer) -> None:
    cache = CacheClient.connect(server.target, timeout_ms=PATIENT_MS)
    server.welcome = NEAR
    session = await opened(server, cache)
    before = asyncio.all_tasks()
    get, write = asyncio.create_task(cache.get(KEY)), asyncio.create_task(cache.set(KEY, 1))
    await session.operations(2)
    began_s = time.monotonic()
    await cache.close()
    outcomes = await asyncio.gather(get, write, return_exceptions=True)
    assert [type(one) for one in outcomes] == [ClientClosed, OutcomeUnknown]
    assert time.monotonic() - began_s < 30
    with pytest.raises(ClientClosed):
        await cache.get(KEY)
    async with asyncio.timeout(WAIT_S):
        await session.gone.wait()
    await until("no task is left", lambda: not ours(asyncio.all_tasks()))
    assert ours(before)
    await cache.close()


def ours(tasks: set[asyncio.Task[object]]) -> list[str]:
    """Tasks of sessions."""
    names = [str(getattr(task.get_coro(), "__qualname__", "")) for task in tasks]
    return [name for name in names if name.startswith(("SessionStream", "SessionLink"))]


async def test_close_ends_sessions_that_are_moving(server: SessionServer) -> None:
    cache = CacheClient.connect(server.target, timeout_ms=PATIENT_MS)
    session = await opened(server, cache)
    write = asyncio.create_task(cache.set(KEY, 1))
    await session.operations(1)
    await session.say(drain=pb.Drain(grace_ms=60_000))
    await until("it moves", lambda: link_of(cache).stream is None)
    await cache.close()
    async with asyncio.timeout(WAIT_S):
        with pytest.raises(OutcomeUnknown):
            await write
        await session.gone.wait()
    await until("no task is left", lambda: not ours(asyncio.all_tasks()))


async def test_close_while_a_session_is_being_opened(server: SessionServer) -> None:
    server.silent = True
    cache = CacheClient.connect(server.target, timeout_ms=PATIENT_MS)
    get = asyncio.create_task(cache.get(KEY))
    session = await server.opened()
    await cache.close()
    with pytest.raises(ClientClosed):
        await get
    async with asyncio.timeout(WAIT_S):
        await session.gone.wait()
    await until("no task is left", lambda: not ours(asyncio.all_tasks()))


async def test_close_ends_the_sessions_of_other_loops(server: SessionServer) -> None:
    cache = CacheClient.connect(server.target, timeout_ms=PATIENT_MS)
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    elsewhere = asyncio.wrap_future(asyncio.run_coroutine_threadsafe(cache.get(KEY), loop))
    session = await server.opened()
    [operation] = await session.operations(1)
    await session.answer(hit(operation))
    assert await elsewhere == 7
    here = await opened(server, cache)
    assert here.peer != session.peer
    await cache.close()
    async with asyncio.timeout(WAIT_S):
        await session.half_closed.wait()
        await here.half_closed.wait()
    await until("the other loop has no task left", lambda: not ours(asyncio.all_tasks(loop)))
    loop.call_soon_threadsafe(loop.stop)
    await asyncio.to_thread(thread.join, WAIT_S)
    loop.close()


async def test_tasks_that_are_cancelled_from_outside_do_not_strand_the_client(
    server: SessionServer, cache: CacheClient
) -> None:
    session = await opened(server, cache)
    get = asyncio.create_task(cache.get(KEY))
    await session.operations(1)
    for task in asyncio.all_tasks():
        if ours({task}):
            task.cancel()
    second = await server.opened()
    [operation] = await second.operations(1)
    await second.answer(hit(operation))
    assert await get == 7


async def test_a_cut_connection_is_replaced(server: SessionServer) -> None:
    port = int(server.target.rsplit(":", 1)[1])
    async with (
        FaultProxy(port) as proxy,
        CacheClient.connect(f"127.0.0.1:{proxy.port}", timeout_ms=PATIENT_MS) as cache,
    ):
        session = await opened(server, cache)
        get = asyncio.create_task(cache.get(KEY))
        await session.operations(1)
        proxy.cut()
        second = await server.opened()
        [operation] = await second.operations(1)
        await second.answer(hit(operation))
        assert await get == 7
