"""Plain loaders: in which thread they run, what they see, and what becomes of them when callers leave."""

from __future__ import annotations

import contextvars
import signal
import threading
import traceback
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest

from coherd import LoadCancelled, LoadTimeout
from coherd.domains import analytics, content
from coherd.sync import CacheClient
from coherd.testing import FakeCache, FakeClock
from rig.waiting import wait_until

KEY = content.Topics(user="u1")
DAILY = analytics.Daily(user="u1", date="20250806")
"""Has a stale time."""
NUMBER: contextvars.ContextVar[int] = contextvars.ContextVar("number", default=0)


@pytest.fixture
def fake() -> FakeCache:
    return FakeCache(clock=FakeClock())


@pytest.fixture
def cache(fake: FakeCache) -> Iterator[CacheClient]:
    with CacheClient(fake.transport, timeout_ms=10_000) as client:
        yield client
    left = {thread.name for thread in threading.enumerate()}
    assert "coherd" not in left


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(16) as one:
        yield one


def make_stale(cache: CacheClient, fake: FakeCache) -> None:
    cache.set(DAILY, "old", ttl=timedelta(seconds=1))
    fake.clock.advance(timedelta(seconds=2))


class Gate:
    """A loader that waits until it is opened."""

    def __init__(self, value: object = "new") -> None:
        self.value = value
        self.started = threading.Event()
        self.open = threading.Event()
        self.threads: list[str] = []

    def __call__(self, _: object) -> Any:
        self.threads.append(threading.current_thread().name)
        self.started.set()
        assert self.open.wait(60)
        return self.value


def test_a_loader_runs_in_its_callers_thread_and_context(cache: CacheClient) -> None:
    seen: list[tuple[threading.Thread, int]] = []

    def load(_: object) -> int:
        seen.append((threading.current_thread(), NUMBER.get()))
        NUMBER.set(8)
        return 1

    NUMBER.set(7)
    assert cache.get_or_load(KEY, load) == 1
    assert seen == [(threading.current_thread(), 7)]
    assert NUMBER.get() == 8  # as of any function that is called


def test_many_are_loaded_in_the_callers_thread(cache: CacheClient) -> None:
    threads: list[threading.Thread] = []

    def load(keys: list[content.Topics]) -> dict[content.Topics, str]:
        threads.append(threading.current_thread())
        return {key: key.user for key in keys}

    keys = [content.Topics(user=user) for user in "abc"]
    assert cache.get_or_load_many(keys, load) == dict(zip(keys, "abc", strict=True))
    assert threads == [threading.current_thread()]


def test_one_caller_loads_and_the_others_wait(cache: CacheClient, pool: ThreadPoolExecutor) -> None:
    gate = Gate()
    callers = [pool.submit(cache.get_or_load, KEY, gate) for _ in range(16)]
    assert gate.started.wait(60)
    gate.open.set()
    assert [caller.result(60) for caller in callers] == ["new"] * 16
    assert len(gate.threads) == 1


def test_a_stale_value_is_served_while_a_thread_of_its_own_loads(cache: CacheClient, fake: FakeCache) -> None:
    make_stale(cache, fake)
    gate = Gate()
    NUMBER.set(7)
    assert cache.get_or_load(DAILY, gate) == "old"
    assert gate.started.wait(60)
    gate.open.set()
    assert gate.threads == ["coherd-load"]
    wait_until("it is stored", lambda: cache.get(DAILY) == "new")
    wait_until("its thread is gone", lambda: "coherd-load" not in {thread.name for thread in threading.enumerate()})


def test_who_waits_for_the_load_brings_the_loader(
    cache: CacheClient, fake: FakeCache, pool: ThreadPoolExecutor
) -> None:
    make_stale(cache, fake)
    gate = Gate()
    waits = pool.submit(cache.get_or_load, DAILY, gate, stale="wait")
    assert gate.started.wait(60)
    assert cache.get_or_load(DAILY, lambda _: "not asked for") == "old"
    gate.open.set()
    assert waits.result(60) == "new"
    assert gate.threads != ["coherd-load"]


def test_a_soft_time_limit_holds(cache: CacheClient, fake: FakeCache) -> None:
    make_stale(cache, fake)
    gate = Gate()
    assert cache.get_or_load(DAILY, gate, stale="wait", soft_timeout_ms=50) == "old"
    assert gate.threads == ["coherd-load"]
    gate.open.set()
    wait_until("it is stored", lambda: cache.get(DAILY) == "new")


def test_a_late_loader_is_given_up_and_others_load(cache: CacheClient, pool: ThreadPoolExecutor) -> None:
    gate = Gate("late")
    late = pool.submit(cache.get_or_load, KEY, gate, load_timeout_ms=50)
    assert gate.started.wait(60)
    try:
        assert cache.get_or_load(KEY, lambda _: "there") == "there"
    except LoadTimeout:  # it had joined the load
        assert cache.get_or_load(KEY, lambda _: "there") == "there"
    gate.open.set()
    with pytest.raises(LoadTimeout):
        late.result(60)
    assert cache.get(KEY) == "there"


def test_an_error_is_the_loaders_own(cache: CacheClient) -> None:
    def read_row(_: object) -> None:
        raise KeyError("no row")

    with pytest.raises(KeyError, match="no row") as caught:
        cache.get_or_load(KEY, read_row)
    frames = traceback.extract_tb(caught.value.__traceback__)
    assert (frames[0].name, frames[-1].name) == ("test_an_error_is_the_loaders_own", "read_row")
    assert cache.get_or_load(KEY, lambda _: "there") == "there"


def test_stop_iteration_is_an_error_like_others(cache: CacheClient) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        cache.get_or_load(KEY, lambda _: next(iter(())))


def test_loaders_may_load(cache: CacheClient, pool: ThreadPoolExecutor) -> None:
    """More of them at once, and deeper, than any pool of loops would have threads."""

    def load(depth: int, name: str) -> int:
        key = content.Topics(user=f"{name}-{depth}")
        return cache.get_or_load(key, lambda _: 0 if not depth else 1 + load(depth - 1, name))

    assert [each.result(60) for each in [pool.submit(load, 12, str(n)) for n in range(16)]] == [12] * 16


@pytest.mark.parametrize("exit_", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_ends_its_caller_only(
    cache: CacheClient, exit_: type[BaseException], pool: ThreadPoolExecutor
) -> None:
    gate = Gate()

    def end(_: object) -> None:
        gate(None)
        raise exit_

    first = pool.submit(cache.get_or_load, KEY, end)
    assert gate.started.wait(60)
    second = pool.submit(cache.get_or_load, KEY, lambda _: "there")
    gate.open.set()
    with pytest.raises(exit_):
        first.result(60)
    try:
        assert second.result(60) == "there"
    except LoadCancelled:  # it had joined the load
        assert cache.get_or_load(KEY, lambda _: "there") == "there"


class Interrupted(Exception):
    """Raised by a signal handler, as a task's time limit is."""


def test_an_interrupted_loader_fails_in_its_caller(cache: CacheClient) -> None:
    def interrupt(*_: object) -> None:
        raise Interrupted

    def load(_: object) -> None:
        signal.raise_signal(signal.SIGUSR1)

    previous = signal.signal(signal.SIGUSR1, interrupt)
    try:
        with pytest.raises(Interrupted):
            cache.get_or_load(KEY, load)
    finally:
        signal.signal(signal.SIGUSR1, previous)
    assert cache.get_or_load(KEY, lambda _: "there") == "there"


async def coroutine_loader(_: object) -> int:
    return 1


class CallableLoader:
    """A coroutine function in disguise."""

    async def __call__(self, _: object) -> int:
        return 1


@pytest.mark.parametrize("loader", [coroutine_loader, CallableLoader(), lambda key: coroutine_loader(key)])
def test_coroutine_loaders_are_refused(cache: CacheClient, loader: Callable[[Any], Any]) -> None:
    with pytest.raises(TypeError, match="plain functions"):
        cache.get_or_load(KEY, loader)
    with pytest.raises(TypeError, match="plain functions"):
        cache.get_or_load_many([KEY], loader)
    assert cache.get_or_load(KEY, lambda _: "there") == "there"


@pytest.mark.parametrize("loader", [coroutine_loader, CallableLoader()])
def test_coroutine_loaders_are_refused_also_where_nothing_is_loaded(
    cache: CacheClient, loader: Callable[[Any], Any]
) -> None:
    cache.set(KEY, "there")
    with pytest.raises(TypeError, match="plain functions"):
        cache.get_or_load(KEY, loader)


def test_coroutine_functions_cannot_be_decorated(cache: CacheClient) -> None:
    with pytest.raises(TypeError, match="plain functions"):
        cache.cached(lambda user: content.Topics(user=user))(coroutine_loader)
