"""When a silent server is asked for a sign of life, and when it is taken for lost: by looks, not by the clock."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Callable
from typing import Any, cast

import pytest
from fake_server import PATIENT_MS, FakeServer, Fault
from session_server import KEY, SessionServer, hit, link_of, opened

from coherd import CacheClient, OutcomeUnknown
from coherd._rpc.failure_policy import FailurePolicy
from coherd._rpc.session_transport import SessionTransport
from coherd._rpc.sign_of_life import LOOKS, PING_AFTER, SignOfLife, checked_silence
from coherd._rpc.unary import UnaryTransport
from coherd.v1 import session_pb2 as pb
from rig.waiting import until

FAILURES = FailurePolicy(silence_ms=700)
"""Of the tests that wait for it."""


class Timers:
    """Stands for an event loop: timers end when the test says."""

    def __init__(self) -> None:
        self.waiting: list[tuple[float, Callable[[], None]]] = []

    def call_later(self, delay_s: float, act: Callable[..., None], *args: Any, context: object) -> Any:
        timer = (delay_s, lambda: act(*args))
        self.waiting.append(timer)

        class Handle:
            def cancel(_) -> None:
                self.waiting.remove(timer)

        return Handle()

    def end(self, times: int = 1) -> None:
        """The next timer ends; so many times."""
        for _ in range(times):
            self.waiting.pop(0)[1]()


class Played:
    """A sign of life with all around it."""

    def __init__(self, silence_ms: int = 7_000) -> None:
        self.owed = True
        self.can_ask = True
        self.pings = 0
        self.losses = 0
        self.timers = Timers()
        loop = cast(asyncio.AbstractEventLoop, self.timers)
        self.life = SignOfLife(loop, silence_ms, self)

    def send(self) -> None:
        """As what is watched does it."""
        self.life.sent = True
        if not self.life.is_watching:
            self.life.watch()

    def is_owed(self) -> bool:
        return self.owed

    def ask_for_sign(self) -> bool:
        self.pings += self.can_ask
        return self.can_ask

    def fall_silent(self) -> None:
        self.losses += 1


def test_a_silent_server_is_asked_once_and_then_lost() -> None:
    one = Played()
    one.send()
    one.send()
    [(delay_s, _)] = one.timers.waiting
    assert delay_s * LOOKS == 7.0
    one.timers.end(PING_AFTER - 1)
    assert one.pings == 0
    one.timers.end(LOOKS - PING_AFTER)
    assert (one.pings, one.losses) == (1, 0)
    one.timers.end()
    assert (one.pings, one.losses, one.timers.waiting) == (1, 1, [])
    one.send()
    assert not one.timers.waiting, "it is over"


def test_whatever_is_heard_begins_the_silence_anew() -> None:
    one = Played()
    one.send()
    for _ in range(5):
        one.timers.end(LOOKS - 1)
        one.life.heard = True
        one.timers.end()
    assert (one.pings, one.losses) == (5, 0)
    one.timers.end(LOOKS)
    assert one.losses == 1


def test_who_is_owed_nothing_looks_no_more_after_a_while() -> None:
    one = Played()
    one.send()
    one.owed, one.life.heard = False, True
    one.timers.end(LOOKS)
    one.send()  # just before it ends
    one.timers.end(LOOKS - 1)
    assert (one.pings, one.losses) == (1, 0), "what was not sent was not waited for"
    one.life.heard = True
    one.timers.end(1 + LOOKS)
    assert not one.timers.waiting
    one.send()
    assert len(one.timers.waiting) == 1
    one.timers.end(LOOKS - 1)
    assert one.losses == 0
    one.timers.end()
    assert one.losses == 1


def test_what_was_given_up_in_vain_is_owed_all_the_same() -> None:
    """Else callers whose limits are shorter than the silence would burn them one after the other."""
    one = Played()
    one.send()
    one.owed = False
    one.timers.end(LOOKS)
    assert one.losses == 1


def test_a_ping_that_cannot_be_sent_is_tried_at_the_next_look() -> None:
    one = Played()
    one.can_ask = False
    one.send()
    one.timers.end(PING_AFTER + 1)
    assert one.pings == 0
    one.can_ask = True
    one.timers.end(2)
    assert one.pings == 1


def test_what_is_watched_is_not_kept_alive() -> None:
    one = Played()
    timers, watched = one.timers, weakref.ref(one)
    one.send()
    del one
    assert watched() is None
    timers.end()
    assert not timers.waiting


def test_a_watch_that_is_closed_takes_nobody_for_lost() -> None:
    one = Played()
    one.send()
    one.life.close()
    one.send()
    assert not one.timers.waiting


@pytest.mark.parametrize("silence_ms", [0, 499, 2**31, 1_000.0, True])
def test_a_silence_out_of_range_is_refused(silence_ms: Any) -> None:
    with pytest.raises(ValueError, match="silence_ms"):
        checked_silence(silence_ms)


# Over real gRPC: the server is there and says nothing.


@pytest.fixture
async def server() -> AsyncIterator[SessionServer]:
    async with SessionServer(pb.Welcome(protocol=2, answers_pings=True)) as one:
        yield one


@pytest.fixture
async def cache(server: SessionServer) -> AsyncIterator[CacheClient]:
    transport = SessionTransport(server.target, near_cache=None, failures=FAILURES)
    async with CacheClient(transport, timeout_ms=PATIENT_MS) as client:
        yield client


async def test_a_silent_session_is_left_and_ends_as_the_rules_say(server: SessionServer, cache: CacheClient) -> None:
    first = await opened(server, cache)
    get, write = asyncio.create_task(cache.get(KEY)), asyncio.create_task(cache.set(KEY, 1))
    await first.operations(2)
    await first.next("ping")
    second = await server.opened()
    [operation] = await second.operations(1)
    assert operation.WhichOneof("request") == "get", "only that is repeated"
    await second.answer(hit(operation, 5))
    assert await get == 5
    with pytest.raises(OutcomeUnknown, match="sign of life"):
        await write
    await until("the first is gone", first.gone.is_set)
    await until("nothing of it is left", lambda: len(link_of(cache)._streams) == 1)


async def test_a_session_that_answers_pings_is_kept_however_long_an_operation_takes(
    server: SessionServer, cache: CacheClient
) -> None:
    session = await opened(server, cache)
    get = asyncio.create_task(cache.get(KEY))
    [operation] = await session.operations(1)
    for _ in range(4):
        await session.next("ping")
        await session.say(pong=pb.Pong())
    await session.answer(hit(operation, 3))
    assert await get == 3
    assert (server.dials, session.gone.is_set()) == (1, False)


async def test_a_server_that_promises_no_answer_is_not_asked(cache: CacheClient, server: SessionServer) -> None:
    """One of before."""
    server.welcome = pb.Welcome(protocol=2)
    session = await opened(server, cache)
    stream = link_of(cache).stream
    assert stream is not None
    get = asyncio.create_task(cache.get(KEY))
    [operation] = await session.operations(1)
    assert not stream._life.is_watching
    await session.answer(hit(operation))
    await get


async def test_an_idle_session_is_not_watched(server: SessionServer, cache: CacheClient) -> None:
    await opened(server, cache)
    stream = link_of(cache).stream
    assert stream is not None
    life = stream._life
    await until("it watches no more", lambda: not life.is_watching)


async def test_a_unary_call_of_long_goes_on_while_the_server_answers_something() -> None:
    async with FakeServer() as fake:
        transport = UnaryTransport(fake.target, failures=FAILURES)
        async with CacheClient(transport, timeout_ms=PATIENT_MS) as cache:
            gate = asyncio.Event()
            fake.fail("Set", Fault(gate=gate))
            write = asyncio.create_task(cache.set(KEY, 1))
            await until("it is there", lambda: fake.calls["Set"])
            [connection] = transport._connections.by_loop.values()
            looked: list[bool] = []
            look = connection._life._look
            connection._life._look = lambda *args: (looked.append(True), look(*args))[1]  # type: ignore[method-assign]
            await until("more than one silence has gone by", lambda: len(looked) > 3 * LOOKS)
            gate.set()
            assert await write
            assert not connection.is_silent
