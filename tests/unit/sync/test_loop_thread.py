"""The loop behind blocking calls."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import signal
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from coherd.errors import ClientClosed
from coherd.sync.loop_thread import LoopThread

NUMBER: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


@pytest.fixture
def loop() -> Iterator[LoopThread]:
    one = LoopThread()
    yield one
    one.stop()
    assert "coherd" not in {thread.name for thread in threading.enumerate()}


class Interrupted(Exception):
    """Raised by a signal handler."""


def interrupt(*_: object) -> None:
    raise Interrupted


async def forever(started: threading.Event, cancelled: threading.Event) -> None:
    started.set()
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        cancelled.set()
        raise


def test_a_call_runs_in_the_loops_thread_with_the_callers_context(loop: LoopThread) -> None:
    async def where() -> tuple[str, int]:
        return threading.current_thread().name, NUMBER.get()

    NUMBER.set(7)
    assert loop.run(where()) == ("coherd", 7)


def test_calls_that_share_a_wake_up_keep_their_contexts(loop: LoopThread) -> None:
    go_on, entered = threading.Event(), threading.Event()
    answers: dict[int, int] = {}

    async def block() -> None:
        entered.set()
        assert go_on.wait(60)

    async def number() -> int:
        return NUMBER.get()

    def ask(mine: int) -> None:
        NUMBER.set(mine)
        answers[mine] = loop.run(number())

    threads = [threading.Thread(target=loop.run, args=(block(),))]
    threads[0].start()
    assert entered.wait(60)
    threads += [threading.Thread(target=ask, args=(mine,)) for mine in (1, 2, 3)]
    for thread in threads[1:]:
        thread.start()
    pause = threading.Event()
    while len(loop._handed_over) < 3:  # what is looked at tells nobody
        pause.wait(0.005)
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert answers == {1: 1, 2: 2, 3: 3}


def test_many_threads_get_their_own_answers(loop: LoopThread) -> None:
    answers: dict[int, list[int]] = {}

    async def echo(number: int) -> int:
        await asyncio.sleep(0)
        return number

    def ask(mine: int) -> None:
        answers[mine] = [loop.run(echo(mine * 1_000 + n)) for n in range(200)]

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert answers == {mine: [mine * 1_000 + n for n in range(200)] for mine in range(8)}


def test_an_error_has_the_callers_and_the_coroutines_frames_and_nothing_is_kept(loop: LoopThread) -> None:
    class Value:
        pass

    seen: list[weakref.ref[Value]] = []

    async def fail() -> None:
        value = Value()
        seen.append(weakref.ref(value))
        raise KeyError("no row")

    with pytest.raises(KeyError) as caught:
        loop.run(fail())
    names = [entry.name for entry in caught.traceback]
    assert names[0] == "test_an_error_has_the_callers_and_the_coroutines_frames_and_nothing_is_kept"
    assert names[-1] == "fail"
    gc.disable()
    try:
        del caught
        loop.run(asyncio.sleep(0))  # the loop lets go of the call before
        assert seen[0]() is None  # without the collector: no cycle holds the frames
    finally:
        gc.enable()


def test_it_does_not_wait_for_itself(loop: LoopThread) -> None:
    async def inner() -> None:
        loop.run(asyncio.sleep(0))

    with pytest.raises(RuntimeError, match="the thread that would have to answer"):
        loop.run(inner())


def test_a_loop_in_the_calling_thread_does_not_matter(loop: LoopThread) -> None:
    async def outer() -> int:
        async def inner() -> int:
            return 7

        return loop.run(inner())

    assert asyncio.run(outer()) == 7


def test_an_interrupted_caller_leaves_at_once_and_cancels_its_call(loop: LoopThread) -> None:
    started, cancelled = threading.Event(), threading.Event()
    previous = signal.signal(signal.SIGUSR1, interrupt)

    def kick() -> None:
        started.wait(60)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    kicker = threading.Thread(target=kick)
    kicker.start()
    try:
        with pytest.raises(Interrupted):
            loop.run(forever(started, cancelled))
    finally:
        signal.signal(signal.SIGUSR1, previous)
        kicker.join(60)
    assert cancelled.wait(60)


def test_who_is_interrupted_while_handing_over_leaves_too(loop: LoopThread, monkeypatch: pytest.MonkeyPatch) -> None:
    started, cancelled = threading.Event(), threading.Event()
    hand_over = LoopThread._hand_over

    def interrupted(self: LoopThread, call: Any) -> None:
        hand_over(self, call)
        assert started.wait(60)
        raise Interrupted

    monkeypatch.setattr(LoopThread, "_hand_over", interrupted)
    with pytest.raises(Interrupted):
        loop.run(forever(started, cancelled))
    assert cancelled.wait(60)
    assert not loop._calls


def test_calls_in_flight_end_with_a_stop_and_the_next_starts_another(loop: LoopThread) -> None:
    started, cancelled = threading.Event(), threading.Event()
    errors: list[BaseException] = []

    def ask() -> None:
        try:
            loop.run(forever(started, cancelled))
        except ClientClosed as error:
            errors.append(error)

    caller = threading.Thread(target=ask)
    caller.start()
    assert started.wait(60)
    loop.stop()
    caller.join(60)
    assert (len(errors), cancelled.is_set()) == (1, True)
    assert loop.run(asyncio.sleep(0, 7)) == 7


def test_it_ends_with_its_last_user(loop: LoopThread) -> None:
    class User:
        pass

    one, other = User(), User()
    loop.attach(one)
    loop.attach(other)
    assert loop.run(asyncio.sleep(0, 7)) == 7
    before = loop._thread
    loop.detach(one)
    loop.detach(one)
    loop.run(asyncio.sleep(0))
    assert loop._thread is before is not None
    loop.detach(other)
    assert not before.is_alive()
