"""Records of gets and sets without a stream: callers who are cancelled and not yet given up, since their task has not
run; and answers that nobody knows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from coherd._clock import boottime_s
from coherd._near import NearCache
from coherd._rpc import frames
from coherd._rpc.frames import MISS_REASONS, AnswerFrame, GetAnswers, SetAnswers, SetOptions
from coherd._rpc.send_queue import SendQueue
from coherd._rpc.session_near import SessionNear
from coherd._rpc.unanswered import Unanswered
from coherd.contract.reasons import Retry
from coherd.errors import ServerDefect, Unavailable
from coherd.results import SetResult
from coherd.v1 import annotations_pb2, session_pb2

LIMIT_MS = 60_000
KEYS = [f"psychology:profile:user:u{at}" for at in range(3)]


class Session:
    """The parts of a session that know of what is asked, without a stream."""

    def __init__(self) -> None:
        self.unanswered = Unanswered()
        self.queue = SendQueue(1 << 20, 1_000, self.unanswered)
        self.cache = NearCache(max_entries=100, max_bytes=1 << 20)
        domain = session_pb2.NearCacheDomain(domain="psychology", mode=annotations_pb2.NEAR_CACHE_PUSH, tags=["user"])
        welcome = session_pb2.Welcome(near_cache_lease_ms=LIMIT_MS, near_caches=[domain])
        self.near = self.unanswered.near = SessionNear(self.cache, welcome, self.queue)
        self.cache.extend(boottime_s() + LIMIT_MS / 1_000, boottime_s())

    def get(self, key: str) -> tuple[Any, asyncio.Future[Any]]:
        gets, future = self.queue.get(key, False, False, LIMIT_MS)
        assert gets.reads is not None
        gets.reads.append(self.near.begin_read(key))
        return gets, future

    def send(self) -> bytes | None:
        return self.queue._next(lambda: 0)


@pytest.fixture
async def session() -> Session:
    return Session()


async def test_nothing_is_left_of_a_caller_who_was_cancelled_and_not_given_up_when_its_record_was_sent(
    session: Session,
) -> None:
    (gets, first), (_, second), (_, third) = map(session.get, KEYS)
    first.cancel()
    session.unanswered.give_up(gets, first)
    second.cancel()
    assert session.send()
    session.unanswered.give_up(gets, second)

    assert gets.keys == KEYS[2:]
    assert session.unanswered.items == 1
    session.unanswered.take(AnswerFrame([GetAnswers(gets.first_id, [min(MISS_REASONS)], [b""], [0], [0])], [], []))
    assert third.done()
    assert not session.unanswered
    assert session.cache.statistics.pending_reads == 0


async def test_nothing_is_left_of_a_batch_that_was_cancelled_and_not_given_up_when_it_was_to_be_sent(
    session: Session,
) -> None:
    gets, future = session.queue.get_many(KEYS, False, LIMIT_MS)
    gets.reads = session.near.begin_reads(KEYS)
    sets, other = session.queue.set_many(KEYS, [b""] * len(KEYS), SetOptions(), LIMIT_MS)
    future.cancel()
    other.cancel()
    assert not session.send()
    session.unanswered.give_up(gets, future)
    session.unanswered.give_up(sets, other)

    assert not session.unanswered
    assert session.cache.statistics.pending_reads == 0


async def test_nothing_is_left_of_a_batch_that_was_cancelled_and_not_given_up_when_its_session_was_lost(
    session: Session,
) -> None:
    gets, future = session.queue.get_many(KEYS, False, LIMIT_MS)
    gets.reads = session.near.begin_reads(KEYS)
    assert session.send()
    future.cancel()
    session.unanswered.lose(Unavailable("lost", retry=Retry.IDEMPOTENT))
    session.unanswered.give_up(gets, future)

    assert not session.unanswered
    assert session.cache.statistics.pending_reads == 0


@pytest.mark.parametrize("strange", [-1, 99])
async def test_an_outcome_that_is_not_known_is_no_value_and_is_not_waited_for(session: Session, strange: int) -> None:
    (gets, first), (_, second) = map(session.get, KEYS[:2])
    sets, results = session.queue.set_many(KEYS[:2], [b"", b""], SetOptions(), LIMIT_MS)
    assert session.send()
    answers = GetAnswers(gets.first_id, [strange, frames.HIT], [b"", b"v"], [0, 9], [0, 0])
    session.unanswered.take(AnswerFrame([answers], [SetAnswers(sets.first_id, [strange, 1], [0, 9])], []))

    assert isinstance(first.exception(), ServerDefect)
    assert second.result() == b"v"
    assert [type(result) for result in results.result()] == [ServerDefect, SetResult]
    assert not session.unanswered
