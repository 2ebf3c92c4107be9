"""Time limits of what a session was asked for: each has its own, and nothing is left of what is answered."""

from __future__ import annotations

import asyncio

import pytest

from coherd._rpc.columns import Callers, Gets
from coherd._rpc.unanswered import Unanswered
from coherd.errors import DeadlineExceeded, Unavailable


def begun(unanswered: Unanswered, lives_ms: int) -> tuple[Gets, asyncio.Future[object]]:
    """A get that waits for so long."""
    gets, future = Gets(lives_ms, Callers(), accept_stale=False), asyncio.get_running_loop().create_future()
    assert isinstance(gets.callers, Callers)
    gets.callers.futures.append(future)
    gets.callers.unanswered += 1
    gets.keys.append("key")
    unanswered.add(gets, lives_ms)
    return gets, future


async def test_each_ends_at_its_own_time() -> None:
    unanswered = Unanswered()
    _, long = begun(unanswered, 60_000)
    _, short = begun(unanswered, 20)
    with pytest.raises(DeadlineExceeded):
        await asyncio.wait_for(short, 60)
    assert not long.done()
    assert unanswered.items == 1


async def test_what_is_answered_has_no_timer() -> None:
    unanswered = Unanswered()
    gets, future = begun(unanswered, 60_000)
    [timer] = unanswered._open.values()
    gets.callers.put(0, [b"value"])
    unanswered.settled(gets)
    assert timer.cancelled()
    assert await future == b"value"
    assert not unanswered


async def test_of_a_lost_stream_no_timer_is_left() -> None:
    unanswered = Unanswered()
    futures = [begun(unanswered, 60_000)[1] for _ in range(3)]
    timers = list(unanswered._open.values())
    unanswered.lose(Unavailable("lost"))
    assert all(timer.cancelled() for timer in timers)
    for future in futures:
        with pytest.raises(Unavailable):
            await future
