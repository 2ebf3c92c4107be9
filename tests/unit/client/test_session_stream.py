"""Operations on a session stream, against a server played by the test over real gRPC."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from fake_server import PATIENT_MS
from session_server import JSON, WAIT_S, PlayedSession, SessionServer, failed, hit, stored

from coherd import (
    CacheClient,
    DeadlineExceeded,
    FailurePolicy,
    OpenKey,
    OutcomeUnknown,
    ServerDefect,
    SetResult,
    Unavailable,
)
from coherd._rpc.frames import SetOptions
from coherd._rpc.methods import BATCH_SET, GET, LEASE, SET, KeyRead, ValueSet, ValuesSet
from coherd._rpc.send_queue import FRAME_BYTES
from coherd._rpc.session_stream import SessionStream
from coherd._rpc.session_transport import SessionTransport
from coherd.errors import CacheError
from coherd.v1 import cache_service_pb2 as wire
from coherd.v1 import session_pb2 as pb
from coherd.v1.errors_pb2 import ErrorReason
from rig.frames import Answer, Asked, asked_in
from rig.waiting import until


def key(number: int) -> OpenKey:
    return OpenKey("celery", "own", {"id": str(number)})


@pytest.fixture
async def server() -> AsyncIterator[SessionServer]:
    async with SessionServer() as one:
        yield one


@pytest.fixture
async def cache(server: SessionServer) -> AsyncIterator[CacheClient]:
    # A probe of the breaker, which has tests of its own, would be one more operation.
    never = FailurePolicy(breaker_failures=1_000_000)
    async with CacheClient.connect(server.target, near_cache=False, timeout_ms=PATIENT_MS, failures=never) as client:
        yield client


async def opened(server: SessionServer, cache: CacheClient) -> PlayedSession:
    """The client's session, after its first get."""
    first = asyncio.create_task(cache.get(key(0)))
    session = await server.opened()
    [get] = await session.operations(1)
    await session.answer(hit(get))
    assert await first == 7
    return session


def stream_of(cache: CacheClient) -> SessionStream:
    """The open stream of this loop."""
    transport = cache._transport
    assert isinstance(transport, SessionTransport)
    stream = transport._links.current().stream
    assert stream is not None
    return stream


def get(stream: SessionStream, key: str, timeout_ms: int = 5_000) -> tuple[Any, asyncio.Future[Any]]:
    """What stands for a get, and its answer."""
    begun = stream.begin(GET, KeyRead(key), timeout_ms)
    assert begun is not None
    return begun


async def error_of(task: asyncio.Task[Any]) -> CacheError:
    """What a call fails with."""
    with pytest.raises(CacheError) as caught:
        await asyncio.wait_for(task, WAIT_S)
    return caught.value


async def test_operations_of_one_turn_share_a_frame(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    assert (len(session.hello.client_id), session.hello.protocol, session.hello.near_cache) == (16, 2, False)
    tasks = [asyncio.create_task(cache.get(key(number))) for number in range(50)]
    frame = asked_in(await session.next("frame"))
    assert [one.get.key.text for one in frame] == [str(key(number)) for number in range(50)]
    assert len({one.id for one in frame}) == 50
    await session.answer(*(hit(one, number) for number, one in enumerate(frame)))
    assert await asyncio.gather(*tasks) == list(range(50))


async def test_answers_come_in_any_order_and_strangers_are_ignored(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    tasks = [asyncio.create_task(cache.get(key(number))) for number in range(6)]
    frame = await session.operations(6)
    stranger = Answer(10**12, "get", wire.GetResponse(hit=wire.Hit(value=JSON.encode(666))))
    await session.answer(stranger, hit(frame[5], 5), hit(frame[2], 2))
    await session.answer(hit(frame[0], 0), stranger, failed(frame[1]))
    await session.answer(hit(frame[5], 666))  # again: it is answered already
    await session.answer(hit(frame[4], 4), hit(frame[3], 3))
    assert [await tasks[number] for number in (0, 2, 3, 4, 5)] == [0, 2, 3, 4, 5]
    assert (await error_of(tasks[1])).reason == ErrorReason.ERROR_REASON_INTERNAL


async def test_an_answer_of_another_kind_reaches_nobody(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    get, neighbour = asyncio.create_task(cache.get(key(1))), asyncio.create_task(cache.get(key(2)))
    first, second = await session.operations(2)
    await session.answer(stored(first), hit(second))
    assert isinstance(await error_of(get), ServerDefect)
    assert await neighbour == 7


async def test_frames_are_bounded_in_operations(server: SessionServer, cache: CacheClient) -> None:
    session, stream = await opened(server, cache), stream_of(cache)
    answers = [get(stream, key(number), PATIENT_MS)[1] for number in range(4_500)]
    frames = [asked_in(await session.next("frame")) for _ in range(3)]
    assert [len(frame) for frame in frames] == [2_000, 2_000, 500]
    for frame in frames:
        await session.answer(*map(hit, frame))
    assert await asyncio.gather(*answers) == [JSON.encode(7)] * 4_500


async def test_frames_keep_to_the_window_of_the_server(server: SessionServer, cache: CacheClient) -> None:
    server.welcome = pb.Welcome(protocol=2, window=10, window_bytes=1_000)
    session = await opened(server, cache)
    tasks = [asyncio.create_task(cache.get(key(number))) for number in range(25)]
    frames: list[pb.RequestFrame] = []
    while sum(len(asked_in(frame)) for frame in frames) < 25:
        frames.append(await session.next("frame"))
    assert max(len(asked_in(frame)) for frame in frames) <= 10
    assert max(frame.ByteSize() for frame in frames) <= 1_500
    await session.answer(*(hit(one) for frame in frames for one in asked_in(frame)))
    await asyncio.gather(*tasks)


async def test_frames_are_bounded_in_bytes(server: SessionServer, cache: CacheClient) -> None:
    server.welcome = pb.Welcome(protocol=2, window_bytes=8 << 20)
    session = await opened(server, cache)
    tasks = [asyncio.create_task(cache.set(key(number), "x" * 300_000)) for number in range(12)]
    sizes, answered = [], 0
    while answered < 12:
        frame = await session.next("frame")
        sizes.append(frame.ByteSize())
        answered += len(asked_in(frame))
        await session.answer(*map(stored, asked_in(frame)))
    assert all(await asyncio.gather(*tasks))
    assert len(sizes) >= 3
    assert max(sizes) <= FRAME_BYTES + 310_000


async def test_a_large_operation_goes_by_itself(server: SessionServer, cache: CacheClient) -> None:
    server.welcome = pb.Welcome(protocol=2, window_bytes=10_000)
    session = await opened(server, cache)
    assert await cache.set(key(1), "x" * 20_000)
    assert server.calls == {"Set": 1}
    small = asyncio.create_task(cache.set(key(2), "x" * 5_000))
    [operation] = await session.operations(1)
    await session.answer(stored(operation))
    assert await small
    assert server.calls == {"Set": 1}


async def test_a_cancelled_caller_disturbs_nobody(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    tasks = [asyncio.create_task(cache.get(key(number))) for number in range(3)]
    frame = await session.operations(3)
    tasks[1].cancel()
    assert list((await session.next("cancel")).ids) == [frame[1].id]
    await session.answer(hit(frame[1], 666), hit(frame[0], 0), hit(frame[2], 2))
    assert (await tasks[0], await tasks[2], tasks[1].cancelled()) == (0, 2, True)
    assert stream_of(cache).in_flight == 0
    again = asyncio.create_task(cache.get(key(1)))
    [operation] = await session.operations(1)
    assert operation.id not in {one.id for one in frame}
    await session.answer(hit(operation, 1))
    assert await again == 1


async def test_what_is_given_up_before_it_is_sent_is_never_sent(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    stream = stream_of(cache)
    given_up, kept = get(stream, "celery:own:id:1"), get(stream, "celery:own:id:2")
    stream.give_up(*given_up)
    [operation] = await session.operations(1)
    assert operation.get.key.text == "celery:own:id:2"
    await session.answer(hit(operation))
    await kept[1]
    alone = get(stream, "celery:own:id:3")
    stream.give_up(*alone)  # a frame of nothing else
    last = get(stream, "celery:own:id:4")
    [operation] = await session.operations(1)
    assert operation.get.key.text == "celery:own:id:4"
    await session.answer(hit(operation))
    await last[1]
    assert all(one.WhichOneof("message") == "frame" for one in session.messages)


async def test_each_operation_has_its_own_time(server: SessionServer, cache: CacheClient) -> None:
    """Without doubling it: an attempt that took all of the time is the last."""
    session = await opened(server, cache)
    began_s = time.monotonic()
    late = asyncio.create_task(cache.get(key(1), timeout_ms=1_000))
    late_set = asyncio.create_task(cache.set(key(2), 1, timeout_ms=1_000))
    patient = asyncio.create_task(cache.get(key(3), timeout_ms=PATIENT_MS))
    frame = await session.operations(3)
    assert [one.timeout_ms for one in frame] == [1_000, 1_000, PATIENT_MS]
    assert isinstance(await error_of(late), DeadlineExceeded)
    assert isinstance(await error_of(late_set), DeadlineExceeded)
    assert time.monotonic() - began_s > 0.9
    assert {*(await session.next("cancel")).ids} <= {frame[0].id, frame[1].id}
    await session.answer(hit(frame[0], 666), stored(frame[1]), hit(frame[2]))
    assert await patient == 7
    assert (len(session.asked), server.dials, server.calls) == (1 + 3, 1, {})


@pytest.mark.parametrize("code", [grpc.StatusCode.OK, grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED])
async def test_of_what_was_sent_only_what_is_idempotent_is_repeated(
    server: SessionServer, cache: CacheClient, code: grpc.StatusCode
) -> None:
    session = await opened(server, cache)
    get = asyncio.create_task(cache.get(key(1)))
    write = asyncio.create_task(cache.set(key(2), 1))
    delete = asyncio.create_task(cache.delete(key(3)))
    await session.operations(3)
    session.end(code)
    second = await server.opened()
    assert second.hello.client_id == session.hello.client_id
    again = {one.WhichOneof("request"): one for one in await second.operations(2)}
    assert set(again) == {"get", "delete"}
    await second.answer(hit(again["get"]), Answer(again["delete"].id, "delete", wire.DeleteResponse(existed=True)))
    assert (await get, await delete) == (7, True)
    assert isinstance(await error_of(write), OutcomeUnknown)
    assert server.calls == {}


async def test_no_word_of_the_server_makes_a_sent_set_safe_to_repeat(server: SessionServer, cache: CacheClient) -> None:
    """DRAINING is safe to repeat for a call that is refused; for a stream that ends with it, nothing is known."""
    session = await opened(server, cache)
    write = asyncio.create_task(cache.set(key(1), 1))
    await session.operations(1)
    session.end(grpc.StatusCode.UNAVAILABLE, draining())
    error = await error_of(write)
    assert isinstance(error, OutcomeUnknown)
    assert server.calls == {}


def draining() -> Any:
    """Trailing metadata of a server that stops."""
    from google.protobuf.any_pb2 import Any as Packed
    from google.rpc import error_details_pb2, status_pb2

    packed = Packed()
    packed.Pack(error_details_pb2.ErrorInfo(reason="DRAINING", domain="coherd"))
    status = status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="played", details=[packed])
    return (("grpc-status-details-bin", status.SerializeToString()),)


async def test_what_was_not_sent_is_repeated_whatever_it_is(server: SessionServer, cache: CacheClient) -> None:
    """A server that does not read holds up what follows; when it goes, each set is sent again or said to be unknown."""
    server.welcome = pb.Welcome(protocol=2, window_bytes=8 << 20)
    session = await opened(server, cache)
    session.reads.clear()
    writes = [asyncio.create_task(cache.set(key(number), "x" * 600_000)) for number in range(40)]
    stream = stream_of(cache)
    await until("some were sent", lambda: any(asked.is_sent for asked in stream._unanswered._open))
    await asyncio.sleep(0.3)
    came_before = {one.set.key.text for one in session.asked}
    session.end(grpc.StatusCode.UNAVAILABLE)
    second = await server.opened()

    async def serve() -> None:
        while True:
            await second.answer(*map(stored, await second.operations(1)))

    serving = asyncio.create_task(serve())
    outcomes = await asyncio.gather(*writes, return_exceptions=True)
    serving.cancel()
    again = {one.set.key.text for one in second.asked}
    known = {str(key(number)) for number, outcome in enumerate(outcomes) if not isinstance(outcome, BaseException)}
    assert {type(outcome) for outcome in outcomes} == {SetResult, OutcomeUnknown}
    assert again == known
    assert not again & came_before
    assert 0 < len(known) < 40


async def test_a_server_that_does_not_read_is_not_waited_for_longer_than_asked(
    server: SessionServer, cache: CacheClient
) -> None:
    """Callers wait for room; nothing of what they gave up arrives later."""
    server.welcome = pb.Welcome(protocol=2, window_bytes=8 << 20)
    session = await opened(server, cache)
    session.reads.clear()
    limits_ms = [*[6_000] * 30, *[1_000] * 10]  # the last ones wait for room, and give up while the others stay
    text = "x" * 600_000
    writes = [asyncio.create_task(cache.set(key(at), text, timeout_ms=limit)) for at, limit in enumerate(limits_ms)]
    errors = [await error_of(task) for task in writes]
    waited = [error for error in errors if isinstance(error, Unavailable)]
    queued = [error for error in errors if isinstance(error, DeadlineExceeded)]
    assert len(waited) + len(queued) == 40
    assert len(waited) >= 10
    assert not any(isinstance(error, OutcomeUnknown) for error in waited)
    stream = stream_of(cache)
    session.reads.set()
    last = asyncio.create_task(cache.get(key(99)))
    arrived: list[Asked] = []
    while not any(one.WhichOneof("request") == "get" for one in arrived):
        arrived += asked_in(await session.next("frame"))
    await session.answer(hit(arrived[-1]))
    assert await last == 7
    assert stream_of(cache) is stream
    sent = [error for error in queued if str(error) == "no answer within the time limit"]
    assert len([one for one in arrived if one.WhichOneof("request") == "set"]) == len(sent) < 30


async def test_malformed_messages_end_the_stream_and_nothing_else(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    get = asyncio.create_task(cache.get(key(1)))
    await session.operations(1)
    await session.say_bytes(b"\xff\xff\xff")
    second = await server.opened()
    [operation] = await second.operations(1)
    await second.answer(hit(operation))
    assert await get == 7
    async with asyncio.timeout(WAIT_S):
        await session.gone.wait()


async def test_messages_of_a_newer_server_are_passed_over(server: SessionServer, cache: CacheClient) -> None:
    session = await opened(server, cache)
    get = asyncio.create_task(cache.get(key(1)))
    [operation] = await session.operations(1)
    await session.say()
    await session.say(welcome=pb.Welcome(protocol=2))
    await session.say_bytes(b"\xf8\x3f\x01")  # a field that is not known
    await session.say(push=pb.PushFrame(sequence=1, keys=["celery:own:id:1"]))
    await session.say(extension=pb.LeaseExtension(counted_from_ms=1, lease_ms=1))
    await session.answer(hit(operation))
    assert await get == 7
    assert server.dials == 1


@pytest.mark.parametrize("first", [True, False], ids=["alone in its frame", "behind another"])
async def test_what_fails_while_it_is_put_into_a_frame_harms_itself_alone(
    server: SessionServer, cache: CacheClient, first: bool
) -> None:
    session = await opened(server, cache)
    stream = stream_of(cache)
    before = [] if first else [asyncio.create_task(cache.set(key(1), 1, version=1))]
    await asyncio.sleep(0)
    bad = [
        stream.begin(GET, KeyRead("celery:own:id:\ud800"), 60_000),
        stream.begin(GET, KeyRead("celery:own:id:2"), 2**63),
        stream.begin(SET, ValueSet(key(2), b"", version=-1), PATIENT_MS),
        stream.begin(BATCH_SET, ValuesSet([key(2)], [b""], SetOptions(extra_tags={"user": 7})), PATIENT_MS),  # type: ignore[dict-item]
    ]
    with pytest.raises((TypeError, ValueError)):
        stream.begin(LEASE, wire.LeaseRequest(), 2**63)
    neighbours = [*before, *(asyncio.create_task(cache.set(key(number), number, version=1)) for number in range(3, 23))]
    for operation in await session.operations(len(neighbours)):
        assert operation.WhichOneof("request") == "set"
        await session.answer(stored(operation))
    assert all(await asyncio.gather(*neighbours))
    for begun in bad[:3]:
        assert begun is not None
        with pytest.raises((TypeError, ValueError)):
            await begun[1]
    assert bad[3] is not None
    assert [type(error) for error in await bad[3][1]] == [TypeError]
    assert stream_of(cache) is stream
    assert stream.in_flight == 0
