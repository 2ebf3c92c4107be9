"""One client over event loops, threads and forks."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator

import pytest
from fake_server import FakeServer

from coherd import CacheClient, OpenKey, Unavailable

KEY = OpenKey("content", "drafts", {"user": "u1"})


@pytest.fixture
def target() -> Iterator[str]:
    """A server in a process of its own that holds 7 under `KEY`, since its parent shall not run gRPC."""
    ready, started = os.pipe()
    pid = os.fork()
    if pid == 0:
        asyncio.run(_serve(started))
        os._exit(0)
    yield os.read(ready, 100).decode()
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    os.close(ready)
    os.close(started)


async def _serve(started: int) -> None:
    async with FakeServer() as fake:
        async with CacheClient.connect(fake.target) as cache:
            await cache.set(KEY, 7)
        os.write(started, fake.target.encode())
        await asyncio.sleep(60)


def in_child(act: Callable[[], bool]) -> bool:
    """Whether the act is true in a forked child; false if it hangs."""
    sys.stdout.flush()
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


def reads(cache: CacheClient) -> bool:
    return asyncio.run(cache.get(KEY)) == 7


def test_a_client_made_before_the_fork_works_on_both_sides(target: str) -> None:
    cache = CacheClient.connect(target)
    assert in_child(lambda: reads(cache))
    assert reads(cache)
    assert in_child(lambda: reads(cache))
    assert reads(cache)


def test_a_connected_client_is_forked(target: str) -> None:
    cache = CacheClient.connect(target)
    loop = asyncio.new_event_loop()
    assert loop.run_until_complete(cache.get(KEY)) == 7
    assert in_child(lambda: reads(cache))
    assert loop.run_until_complete(cache.get(KEY)) == 7
    loop.run_until_complete(cache.close())
    loop.close()


def test_a_fork_inside_the_running_loop(target: str) -> None:
    cache = CacheClient.connect(target)

    def in_thread() -> bool:
        answers: list[bool] = []
        thread = threading.Thread(target=lambda: answers.append(reads(cache)))
        thread.start()
        thread.join(8)
        return answers == [True]

    async def fork_between_calls() -> None:
        assert await cache.get(KEY) == 7
        assert in_child(in_thread)
        assert await cache.get(KEY) == 7
        await cache.close()

    asyncio.run(fork_between_calls())


def test_a_fork_during_a_call_ends_in_an_error_not_in_silence(target: str) -> None:
    busy = CacheClient.connect(target)
    loop = asyncio.new_event_loop()

    async def open_call() -> asyncio.Task[object]:
        await busy.get(KEY)
        task = asyncio.create_task(busy.get(KEY))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    def says_so() -> bool:
        try:
            asyncio.run(busy.get(KEY, timeout_ms=300))
        except Unavailable as error:
            return "forked" in str(error)
        return False

    task = loop.run_until_complete(open_call())
    assert not task.done()
    assert in_child(says_so)
    assert loop.run_until_complete(task) == 7
    loop.run_until_complete(busy.close())
    loop.close()


def test_one_client_over_many_loops_keeps_one_channel(target: str) -> None:
    cache = CacheClient.connect(target)
    for _ in range(5):
        assert reads(cache)
    gc.collect()
    transport = cache._transport
    assert len(transport._channels._by_loop) == 1  # type: ignore[attr-defined]


def test_loops_in_threads_share_a_client(target: str) -> None:
    cache = CacheClient.connect(target)
    answers: list[bool] = []
    threads = [threading.Thread(target=lambda: answers.append(reads(cache))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert answers == [True] * 4
