"""What a session keeps near and what drops it, against a server played by the test over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from fake_server import PATIENT_MS
from session_server import NEAR, NEAR_KEY, WAIT_S, PlayedSession, SessionServer, answered, failed, hit, link_of, opened

from coherd import CacheClient
from coherd._clock import boottime_s
from coherd._rpc.session_link import SessionLink
from coherd.errors import CacheError
from coherd.v1 import session_pb2 as pb
from rig.waiting import until


@pytest.fixture
async def server() -> AsyncIterator[SessionServer]:
    async with SessionServer(NEAR) as one:
        yield one


@pytest.fixture
async def cache(server: SessionServer) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(server.target, timeout_ms=PATIENT_MS) as client:
        yield client


async def extended(session: PlayedSession, cache: CacheClient) -> None:
    """The lease of the near cache runs, and the client knows it."""
    await until("asked", lambda: any(one.asked_at_ms for one in session.messages))
    asked = next(one.asked_at_ms for one in session.messages if one.asked_at_ms)
    await session.say(extension=pb.LeaseExtension(counted_from_ms=asked, lease_ms=60_000))
    await until("it has it", lambda: _marks(link_of(cache)))


def _marks(link: SessionLink) -> bool:
    assert link.near is not None
    if (read := link.near.begin_read(str(NEAR_KEY), boottime_s())) is None:
        return False
    link.near.release(read)
    return True


async def asked_for(session: PlayedSession, cache: CacheClient) -> None:
    """It is not near: the server is asked, and its answer kept."""
    get = asyncio.create_task(cache.get(NEAR_KEY))
    [operation] = await session.operations(1)
    await session.answer(hit(operation, near_cacheable=True))
    assert await get == 7


async def test_answers_are_kept_while_the_lease_runs_and_pushes_drop_them(
    server: SessionServer, cache: CacheClient
) -> None:
    session = await opened(server, cache)
    await extended(session, cache)
    await asked_for(session, cache)
    assert await cache.get(NEAR_KEY) == 7  # nobody answers: it is near
    await session.say(push=pb.PushFrame(sequence=1, keys=[str(NEAR_KEY)]))
    assert (await session.next("push_ack")).sequence == 1
    await asked_for(session, cache)
    await session.say(push=pb.PushFrame(sequence=3, keys=["content:topics:user:other"]))  # where is 2?
    assert (await session.next("push_ack")).sequence == 3
    await asked_for(session, cache)
    await session.say(push=pb.PushFrame(sequence=4, flush=True))
    assert (await session.next("push_ack")).sequence == 4
    await asked_for(session, cache)
    assert await cache.get(NEAR_KEY) == 7
    await cache.close()
    async with asyncio.timeout(WAIT_S):
        await session.half_closed.wait()
    kinds = [one.WhichOneof("message") for one in session.messages]
    assert kinds[-1] == "goodbye"
    hits = sum(one.heartbeat.near_cache_hits["content"] for one in session.messages if one.HasField("heartbeat"))
    assert hits == 2


async def test_a_change_without_an_answer_drops_what_was_kept(server: SessionServer, cache: CacheClient) -> None:
    """It may have been done: given up, out of time, failed."""
    session = await opened(server, cache)
    await extended(session, cache)

    async def cancelled() -> None:
        write = asyncio.create_task(cache.set(NEAR_KEY, 8))
        await session.operations(1)
        write.cancel()
        await asyncio.wait([write])

    async def out_of_time() -> None:
        write = asyncio.create_task(cache.set(NEAR_KEY, 8, timeout_ms=500))
        await session.operations(1)
        with pytest.raises(CacheError):
            await write

    async def refused() -> None:
        write = asyncio.create_task(cache.set(NEAR_KEY, 8))
        [operation] = await session.operations(1)
        await session.answer(failed(operation))
        with pytest.raises(CacheError):
            await write

    await asked_for(session, cache)
    for end in (cancelled, out_of_time, refused):
        assert await cache.get(NEAR_KEY) == 7  # nobody answers: it is near
        await end()
        await asked_for(session, cache)


@pytest.mark.parametrize("fields", [{"near_cacheable": False}, {"near_cacheable": True, "stale": True}])
async def test_what_the_server_does_not_call_near_cacheable_or_calls_stale_is_not_kept(
    server: SessionServer, cache: CacheClient, fields: dict[str, bool]
) -> None:
    session = await opened(server, cache)
    await extended(session, cache)
    for value in (1, 2):
        get = asyncio.create_task(cache.get(NEAR_KEY))
        [operation] = await session.operations(1)
        await session.answer(hit(operation, value, **fields))
        assert await get == value


async def test_a_stream_that_is_lost_says_no_goodbye(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    session.end(grpc.StatusCode.UNAVAILABLE)
    await until("it is noticed", lambda: link_of(cache).stream is None)
    assert "goodbye" not in {one.WhichOneof("message") for one in session.messages}


async def test_idle_clients_become_silent(server: SessionServer, cache: CacheClient) -> None:
    server.welcome = pb.Welcome(protocol=2, near_cache_lease_ms=60, near_caches=NEAR.near_caches)
    session = await opened(server, cache)
    used = link_of(cache).stream.near._used  # type: ignore[union-attr]
    await until("it waits for a use of it", lambda: bool(used._waiters))  # type: ignore[attr-defined]
    await asyncio.sleep(0.3)  # what it said has come
    said = len(session.messages)
    assert 5 < said < 20
    await asyncio.sleep(0.3)
    assert len(session.messages) == said
    await answered(session, cache)
    await until("it asks again", lambda: any(one.asked_at_ms for one in session.messages[said:]))


async def test_a_lease_of_no_time_is_not_asked_for(server: SessionServer, cache: CacheClient) -> None:
    server.welcome = pb.Welcome(protocol=2, near_caches=NEAR.near_caches)
    session = await opened(server, cache)
    await asyncio.sleep(0.1)
    assert len(session.messages) == 1
