"""Batches over a session: a record or a few, answered in any parts, against a server played over real gRPC."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest
from fake_server import PATIENT_MS
from session_server import KEY, SessionServer, failed, hit, opened, stored

from coherd import BatchError, CacheClient, OpenKey, OutcomeUnknown
from coherd.errors import DeadlineExceeded, ServerDefect
from coherd.v1 import session_pb2 as pb
from rig.frames import asked_in

KEYS = [OpenKey("celery", "own", {"id": f"k{number}"}) for number in range(120)]


@pytest.fixture
async def server() -> AsyncIterator[SessionServer]:
    async with SessionServer() as one:
        yield one


@pytest.fixture
async def cache(server: SessionServer) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(server.target, near_cache=False, timeout_ms=PATIENT_MS) as client:
        yield client


async def test_a_batch_is_a_few_records_and_is_answered_in_any_parts(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    many = asyncio.create_task(cache.get_many(KEYS))
    frame = await session.next("frame")
    assert [len(gets.keys) for gets in frame.gets] == [50, 50, 20]
    asked = asked_in(frame)
    assert [one.get.key.text for one in asked] == [str(key) for key in KEYS]
    await session.answer(*(hit(one, number) for number, one in reversed(list(enumerate(asked[60:], 60)))))
    await session.answer(failed(asked[3]), hit(asked[0], 666), hit(asked[60], 666))  # the last is answered already
    first = asked[0].id
    for at, outcomes in ((2, [3, 0, *[3] * 46]), (50, [3] * 10)):
        absent = pb.GetAnswers(first_id=first + at, outcomes=outcomes)  # type: ignore[arg-type]
        absent.values.extend([b""] * len(outcomes))
        absent.remaining_ttl_ms.extend([0] * len(outcomes))
        absent.age_ms.extend([0] * len(outcomes))
        await session.say(frame=pb.ResponseFrame(gets=[absent]))
    await session.answer(hit(asked[1], 1))
    with pytest.raises(BatchError) as caught:
        await many
    assert list(caught.value.errors) == [KEYS[3]]
    assert caught.value.results == {KEYS[0]: 666, KEYS[1]: 1, **{KEYS[at]: at for at in range(60, 120)}}


async def test_the_sets_of_a_batch_are_one_record(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    many = asyncio.create_task(cache.set_many(dict.fromkeys(KEYS, 1)))
    frame = await session.next("frame")
    assert [len(sets.keys) for sets in frame.sets] == [120]
    asked = asked_in(frame)
    await session.answer(*map(stored, asked[1:]), failed(asked[0]))
    with pytest.raises(BatchError) as caught:
        await many
    assert list(caught.value.errors) == [KEYS[0]]
    assert all(caught.value.results.values())
    assert len(caught.value.results) == 119


async def test_a_batch_that_is_given_up_is_cancelled_as_a_whole(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    many = asyncio.create_task(cache.set_many(dict.fromkeys(KEYS, 1)))
    asked = asked_in(await session.next("frame"))
    many.cancel()
    assert list((await session.next("cancel")).ids) == [one.id for one in asked]
    await session.answer(*map(stored, asked))
    again = asyncio.create_task(cache.get(KEY))
    [one] = await session.operations(1)
    await session.answer(hit(one))
    assert await again == 7


async def test_a_batch_has_one_time_limit(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    many = asyncio.create_task(cache.set_many(dict.fromkeys(KEYS, 1), timeout_ms=500))
    asked = asked_in(await session.next("frame"))
    await session.answer(*map(stored, asked[:100]))
    with pytest.raises(DeadlineExceeded):
        await many
    assert list((await session.next("cancel")).ids) == [one.id for one in asked[100:]]


async def test_a_lost_session_leaves_a_batch_of_sets_unknown_and_one_of_gets_is_asked_again(
    server: SessionServer, cache: CacheClient
) -> None:
    session = await opened(server, cache)
    sets = asyncio.create_task(cache.set_many(dict.fromkeys(KEYS[:3], 1)))
    gets = asyncio.create_task(cache.get_many(KEYS[:3]))
    assert len(await session.operations(6)) == 6
    session.end(grpc.StatusCode.UNAVAILABLE)
    second = await server.opened()
    again = await second.operations(3)
    assert {one.WhichOneof("request") for one in again} == {"get"}
    await second.answer(*map(hit, again))
    assert await gets == dict.fromkeys(KEYS[:3], 7)
    with pytest.raises(OutcomeUnknown):
        await sets


async def test_an_answer_of_another_kind_fails_what_it_is_about(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    many = asyncio.create_task(cache.get_many(KEYS[:3]))
    asked = await session.operations(3)
    await session.answer(stored(asked[1]), hit(asked[0]), hit(asked[2]))
    with pytest.raises(BatchError) as caught:
        await many
    assert {key: type(error) for key, error in caught.value.errors.items()} == {KEYS[1]: ServerDefect}
