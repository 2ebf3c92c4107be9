"""Plain loaders run in threads of the client's own: bounded, counted, and nobody else's."""

from __future__ import annotations

import asyncio
import contextvars
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from fake_server import FakeServer
from loaders import KEY

from coherd import CacheClient, LoadLimits, LoadTimeout, NoLoaderThread
from coherd.domains import content
from rig.waiting import until

pytestmark = pytest.mark.usefixtures("no_task_is_left")

KEYS = [content.Topics(user=f"t{number}") for number in range(6)]
FEW = LoadLimits(max_loader_threads=2)


class Hanging:
    """A plain loader that waits until it is let go."""

    def __init__(self) -> None:
        self.go = threading.Event()
        self.running = 0

    def __call__(self, key: content.Topics) -> str:
        self.running += 1
        assert self.go.wait(60)
        return key.user


@pytest.fixture
async def few(fake: FakeServer) -> AsyncIterator[CacheClient]:
    async with CacheClient.connect(fake.target, timeout_ms=60_000, load_limits=FEW) as client:
        yield client


async def test_loaders_that_hang_stop_none_of_the_applications_threads(cache: CacheClient) -> None:
    executor = ThreadPoolExecutor(1)
    asyncio.get_running_loop().set_default_executor(executor)
    hanging = Hanging()
    callers = [asyncio.create_task(cache.get_or_load(key, hanging)) for key in KEYS]
    await until("all run", lambda: hanging.running == 6)
    assert await asyncio.to_thread(lambda: 5) == 5
    assert await cache.get_or_load(KEY, lambda _: 6) == 6
    hanging.go.set()
    assert await asyncio.gather(*callers) == [key.user for key in KEYS]


async def test_waiting_for_a_thread_is_no_part_of_the_load(few: CacheClient, fake: FakeServer) -> None:
    hanging = Hanging()
    callers = [asyncio.create_task(few.get_or_load(key, hanging)) for key in KEYS[:2]]
    await until("both run", lambda: hanging.running == 2)
    late = asyncio.create_task(few.get_or_load(KEY, hanging))
    await until("it has its lease", lambda: KEY in fake.leased)
    hanging.go.set()
    assert await asyncio.gather(*callers, late) == ["t0", "t1", "u1"]


async def test_no_free_thread_is_an_error_that_says_so(few: CacheClient, fake: FakeServer) -> None:
    hanging = Hanging()
    for key in KEYS[:2]:
        with pytest.raises(LoadTimeout):
            await few.get_or_load(key, hanging, load_timeout_ms=50)
    assert few._flights.current().loads._threads.in_use == 2
    with pytest.raises(NoLoaderThread, match=r"within 50 ms: each of the 2 \(LoadLimits.max_loader_threads\)"):
        await few.get_or_load(KEY, hanging, load_timeout_ms=50)
    assert not fake.leased
    assert few.load_counts["content:topics"]["no_thread"] == 1
    hanging.go.set()
    assert await few.get_or_load(KEY, hanging) == "u1"


async def test_loaders_within_loaders_do_not_wait_for_themselves(few: CacheClient) -> None:
    loop = asyncio.get_running_loop()
    both = threading.Barrier(2)

    def outer(key: content.Topics) -> Any:
        both.wait(60)
        other = content.Topics(user=f"{key.user}-inner")
        try:
            return asyncio.run_coroutine_threadsafe(few.get_or_load(other, lambda _: "inner"), loop).result(60)
        except NoLoaderThread:
            return "alone"

    answers = await asyncio.gather(*(few.get_or_load(key, outer) for key in KEYS[:2]))
    assert sorted(answers) == ["alone", "inner"]


async def test_a_plain_loader_sees_the_context_of_its_caller(cache: CacheClient) -> None:
    variable = contextvars.ContextVar("variable", default=0)
    variable.set(7)
    assert await cache.get_or_load(KEY, lambda _: variable.get()) == 7


PROGRAM = """
import asyncio, threading
from coherd.domains import content
from coherd.testing import FakeCache

async def main():
    async with FakeCache() as cache:
        try:
            await cache.get_or_load(content.Topics(user="u"), lambda _: threading.Event().wait(), load_timeout_ms=50)
        except TimeoutError:
            print("late")

asyncio.run(main())
"""


def test_a_program_ends_while_a_plain_loader_hangs() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, timeout=60, check=True)
    assert ended.stdout == "late\n"
