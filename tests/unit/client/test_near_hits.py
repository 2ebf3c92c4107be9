"""Near hits of the asynchronous client over a session that the test plays: what they give, and when the loop runs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fake_server import PATIENT_MS
from session_server import NEAR, NEAR_KEY, PlayedSession, SessionServer, hit, link_of

from coherd import CacheClient, OpenKey
from coherd._clock import boottime_s
from coherd._near.turns import LONGEST_S
from coherd._rpc import session_transport
from coherd.v1 import session_pb2 as pb
from rig.waiting import until

OTHER_KEY = OpenKey("content", "topics", {"user": "u2"})
PUSHED_KEY = OpenKey("content", "topics", {"user": "u3"})
HANGS_S = 60.0


class Clock:
    """Stands still, or goes on by a step with each look."""

    def __init__(self) -> None:
        self.now_s = boottime_s()
        self.step_s = 0.0

    def __call__(self) -> float:
        self.now_s += self.step_s
        return self.now_s


@pytest.fixture
async def server() -> AsyncIterator[SessionServer]:
    async with SessionServer(NEAR) as server:
        yield server


@pytest.fixture
async def cache(server: SessionServer) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(server.target, timeout_ms=PATIENT_MS) as client:
        yield client


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """That of look-ups."""
    clock = Clock()
    monkeypatch.setattr(session_transport, "boottime_s", clock)
    return clock


async def holding(server: SessionServer, cache: CacheClient, *keys: OpenKey, value: Any) -> PlayedSession:
    """The session, when the near cache holds a value under these keys."""
    first = asyncio.create_task(cache.get(NEAR_KEY, default="a miss"))
    session = await server.opened()
    [operation] = await session.operations(1)
    asked_ms = max(message.asked_at_ms for message in session.messages)
    await session.say(extension=pb.LeaseExtension(counted_from_ms=asked_ms, lease_ms=60_000))
    await session.answer(hit(operation, value, near_cacheable=True))
    await first
    near = link_of(cache).near
    assert near is not None
    await until("there is a lease", lambda: near.begin_read(NEAR_KEY, boottime_s()) is not None)
    for key in keys:
        get = asyncio.create_task(cache.get(key))
        [operation] = await session.operations(1)
        await session.answer(hit(operation, value, near_cacheable=True))
        await get
    return session


async def test_a_hit_is_a_copy_and_shared_where_the_call_says_so(server: SessionServer, cache: CacheClient) -> None:
    await holding(server, cache, NEAR_KEY, value={"a": [1]})
    mine = await cache.get(NEAR_KEY)
    mine["a"].append(2)
    assert await cache.get(NEAR_KEY) == {"a": [1]}
    shared = await cache.get(NEAR_KEY, shared=True)
    assert shared == {"a": [1]}
    assert await cache.get(NEAR_KEY, shared=True) is shared
    assert (await cache.get_many([NEAR_KEY], shared=True))[NEAR_KEY] is shared
    assert await cache.get_or_load(NEAR_KEY, lambda _: "loaded", shared=True) is shared
    assert (await cache.get_or_load_many([NEAR_KEY], lambda _: {}, shared=True))[NEAR_KEY] is shared
    assert cache.peek(NEAR_KEY, shared=True) is shared
    for copied in (
        await cache.get(NEAR_KEY),
        (await cache.get_many([NEAR_KEY]))[NEAR_KEY],
        await cache.get_or_load(NEAR_KEY, lambda _: "loaded"),
        (await cache.get_or_load_many([NEAR_KEY], lambda _: {}))[NEAR_KEY],
        cache.peek(NEAR_KEY),
    ):
        assert copied == shared
        assert copied is not shared


async def test_what_is_cached_by_a_function_may_be_shared(server: SessionServer, cache: CacheClient) -> None:
    await holding(server, cache, NEAR_KEY, value=["a"])

    @cache.cached(lambda: NEAR_KEY, shared=True)
    async def topics() -> list[str]:
        return ["loaded"]

    assert await topics() is await topics()


async def test_peek_answers_what_is_held_and_counts_it_and_nothing_else(
    server: SessionServer, cache: CacheClient
) -> None:
    absent = object()
    assert cache.peek(NEAR_KEY, default=absent) is absent, "before anything was asked for"
    session = await holding(server, cache, NEAR_KEY, value=7)
    near = link_of(cache).near
    assert near is not None
    near.take_hits()
    assert cache.peek(NEAR_KEY, default=absent) == 7
    assert cache.peek(OTHER_KEY) is None
    assert near.take_hits() == {"content": 1}
    await session.say(push=pb.PushFrame(sequence=1, keys=[NEAR_KEY]))
    await until("the push is taken", lambda: cache.peek(NEAR_KEY, default=absent) is absent)
    assert await asyncio.to_thread(cache.peek, NEAR_KEY, default=absent) is absent
    with pytest.raises(TypeError, match="a key is needed"):
        cache.peek("content:topics:user:u1")  # type: ignore[arg-type]


async def test_hits_alone_let_the_loop_run_within_the_bound(
    server: SessionServer, cache: CacheClient, clock: Clock
) -> None:
    await holding(server, cache, NEAR_KEY, value=7)
    for _ in range(3):
        turned: list[float] = []
        asyncio.get_running_loop().call_soon(lambda turned=turned: turned.append(clock.now_s))
        clock.step_s, began_s = LONGEST_S / 100, clock.now_s
        while not turned:
            assert await cache.get(NEAR_KEY) == 7
            assert clock.now_s < began_s + 2 * LONGEST_S, "the loop does not run"
        # Three looks beside it: at the hit that asked, at the one that was due, and when the turn was given.
        assert turned[0] - began_s <= LONGEST_S + 3 * clock.step_s
        clock.step_s = 0.0
        await asyncio.sleep(0)


@pytest.mark.parametrize("verb", ["get", "get_many", "get_or_load", "get_or_load_many"])
async def test_a_loop_that_only_hits_hears_what_is_pushed(server: SessionServer, cache: CacheClient, verb: str) -> None:
    """Found on real servers: hits without a wait served the old value until the lease was over."""
    session = await holding(server, cache, NEAR_KEY, OTHER_KEY, PUSHED_KEY, value=7)
    reads = {
        "get": lambda: cache.get(NEAR_KEY),
        "get_many": lambda: cache.get_many([NEAR_KEY, OTHER_KEY]),
        "get_or_load": lambda: cache.get_or_load(NEAR_KEY, lambda _: 8),
        "get_or_load_many": lambda: cache.get_or_load_many([NEAR_KEY, OTHER_KEY], lambda _: {}),
    }
    near = link_of(cache).near
    assert near is not None
    await session.say(push=pb.PushFrame(sequence=1, keys=[PUSHED_KEY]))
    end_s = boottime_s() + HANGS_S
    while near.lookup(PUSHED_KEY, boottime_s()) is not None:  # the reads are all that gives the loop a turn
        assert boottime_s() < end_s
        await reads[verb]()


async def test_a_miss_of_a_starved_loop_is_asked_for_after_its_turn(
    server: SessionServer, cache: CacheClient, clock: Clock
) -> None:
    session = await holding(server, cache, NEAR_KEY, value=7)
    clock.step_s = LONGEST_S
    for _ in range(3):
        assert await cache.get(NEAR_KEY) == 7
    clock.step_s = 0.0
    get = asyncio.create_task(cache.get(OTHER_KEY))
    [operation] = await session.operations(1)
    await session.answer(hit(operation, 9))
    assert await get == 9


async def test_peek_says_not_there_while_the_loop_had_no_turn_for_too_long(
    server: SessionServer, cache: CacheClient, clock: Clock
) -> None:
    await holding(server, cache, NEAR_KEY, value=7)
    clock.step_s = LONGEST_S / 10
    seen = [cache.peek(NEAR_KEY) for _ in range(20)]
    first = seen.index(None)
    assert first <= 11
    assert seen == [7] * first + [None] * (20 - first)
    await asyncio.sleep(0)
    assert cache.peek(NEAR_KEY) == 7
    await asyncio.sleep(0)
    clock.step_s = 0.0
    assert [cache.peek(NEAR_KEY) for _ in range(100)] == [7] * 100


async def test_a_long_batch_of_hits_lets_the_loop_run(
    server: SessionServer, cache: CacheClient, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    await holding(server, cache, NEAR_KEY, value=7)
    monkeypatch.setattr("coherd._calls.batches.NEAR_KEYS", 1)
    keys = [NEAR_KEY, OTHER_KEY]
    await holding_too(server, cache, OTHER_KEY)
    clock.step_s = LONGEST_S
    turned: list[bool] = []
    asyncio.get_running_loop().call_soon(turned.append, True)
    for _ in range(2):
        assert list(await cache.get_many(keys)) == keys
    assert turned


async def holding_too(server: SessionServer, cache: CacheClient, key: OpenKey) -> None:
    near = link_of(cache).near
    assert near is not None
    read = near.begin_read(key, boottime_s())
    assert read is not None
    payload = key.codec.encode(8)
    assert near.keep(read, payload=payload, negative=False, expires_s=boottime_s() + 60.0, extra_tags={})


async def test_a_get_of_what_cannot_be_a_key_says_so_while_the_near_cache_serves(
    server: SessionServer, cache: CacheClient
) -> None:
    await holding(server, cache, value=7)
    for wrong in ([NEAR_KEY], {}, 5, str(NEAR_KEY)):
        with pytest.raises(TypeError, match="a key is needed") as caught:
            await cache.get(wrong)  # type: ignore[call-overload]
        assert "u1" not in str(caught.value)
