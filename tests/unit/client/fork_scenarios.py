"""What `test_client_processes` runs in an interpreter of its own: one client over forks, loops and threads.

``python fork_scenarios.py NAME`` ends with exit code 0 if the scenario holds.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path

from fake_server import FakeServer

from coherd import CacheClient, OpenKey, Unavailable
from coherd.transport import forks

KEY = OpenKey("content", "drafts", {"user": "u1"})
"""Holds 7."""


async def serve() -> None:
    """Prints where it listens, and serves until its input ends."""
    async with FakeServer() as fake:
        async with CacheClient.connect(fake.target) as cache:
            await cache.set(KEY, 7)
        print(fake.target, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def in_child(act: Callable[[], bool]) -> bool:
    """Whether the act is true in a forked child; false if it fails or hangs."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(10)
        try:
            os._exit(0 if act() else 1)
        finally:
            os._exit(2)
    return os.waitpid(pid, 0)[1] == 0


def reads(cache: CacheClient) -> bool:
    """Whether the client reads, in a loop of its own."""
    return asyncio.run(cache.get(KEY)) == 7


def unused_client(cache: CacheClient) -> bool:
    """A client made before the fork works on both sides of it, again and again."""
    return in_child(lambda: reads(cache)) and reads(cache) and in_child(lambda: reads(cache)) and reads(cache)


def connected_client(cache: CacheClient) -> bool:
    """The loop rests while its process forks."""
    loop = asyncio.new_event_loop()
    before = loop.run_until_complete(cache.get(KEY))
    child = in_child(lambda: reads(cache))
    after = loop.run_until_complete(cache.get(KEY))
    loop.run_until_complete(cache.close())
    return (before, child, after) == (7, True, 7)


def running_loop(cache: CacheClient) -> bool:
    """The loop forks between its calls."""

    def in_thread() -> bool:
        answers: list[bool] = []
        thread = threading.Thread(target=lambda: answers.append(reads(cache)))
        thread.start()
        thread.join(8)
        return answers == [True]

    async def between_calls() -> bool:
        before = await cache.get(KEY)
        child = in_child(in_thread)
        after = await cache.get(KEY)
        await cache.close()
        return (before, child, after) == (7, True, 7)

    return asyncio.run(between_calls())


def open_call(cache: CacheClient) -> bool:
    """A fork during a call ends in an error of the child, not in silence, and the parent's call is answered."""
    loop = asyncio.new_event_loop()

    async def start() -> asyncio.Task[object]:
        await cache.get(KEY)
        task = asyncio.create_task(cache.get(KEY))
        await asyncio.sleep(0)
        return task

    def says_so() -> bool:
        try:
            asyncio.run(cache.get(KEY))
        except Unavailable as error:
            return "forked" in str(error)
        return False

    task = loop.run_until_complete(start())
    answers = task.done(), in_child(says_so), loop.run_until_complete(task)
    loop.run_until_complete(cache.close())
    return answers == (False, True, 7)


def loop_in_a_thread(cache: CacheClient) -> bool:
    """A connected client rests in the running loop of another thread."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()

    def read() -> object:
        return asyncio.run_coroutine_threadsafe(cache.get(KEY), loop).result(5)

    return (read(), in_child(lambda: reads(cache)), read()) == (7, True, 7)


def many_loops(cache: CacheClient) -> bool:
    """Channels of loops that ended are let go."""
    answers = [reads(cache) for _ in range(5)]
    gc.collect()
    transport = cache._transport
    kept = len(transport._links.by_loop), len(transport._unary._channels._by_loop)  # type: ignore[attr-defined]
    return answers == [True] * 5 and kept == (1, 1)


def threads(cache: CacheClient) -> bool:
    """Loops in threads share a client."""
    answers: list[bool] = []
    running = [threading.Thread(target=lambda: answers.append(reads(cache))) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(10)
    return answers == [True] * 4


def forked_beside_a_session(cache: CacheClient) -> bool:
    """A fork inside a running loop with an idle session: the parent goes on with it, the child says it cannot."""

    def says_so() -> bool:
        said: list[bool] = []

        def read() -> None:
            try:
                asyncio.run(cache.get(KEY))
            except Unavailable as error:
                said.append("forked" in str(error))

        thread = threading.Thread(target=read)
        thread.start()
        thread.join(8)
        return said == [True]

    async def between_calls() -> bool:
        before = await cache.get(KEY)
        stream = stream_of(cache)
        children = [in_child(says_so) for _ in range(3)]
        answers = await asyncio.gather(*(cache.get(KEY) for _ in range(100)))
        same = stream is not None and stream_of(cache) is stream
        await cache.close()
        return (before, children, same, answers) == (7, [True] * 3, True, [7] * 100)

    return asyncio.run(between_calls())


def resting_session(cache: CacheClient) -> bool:
    """A loop at rest lets its session go before a fork, and opens another afterwards."""
    loop = asyncio.new_event_loop()
    for _ in range(3):
        if loop.run_until_complete(cache.get(KEY)) != 7 or loop.run_until_complete(current_stream(cache)) is None:
            return False
        if not in_child(lambda: reads(cache) and reads(cache)):
            return False
        loop.run_until_complete(lose_session(cache))  # what is left of it is no hindrance to the next fork
    loop.run_until_complete(cache.close())
    return True


async def lose_session(cache: CacheClient) -> None:
    """As if the connection had broken."""
    if await cache.get(KEY) == 7:
        stream = stream_of(cache)
        get = asyncio.create_task(cache.get(KEY))
        await asyncio.sleep(0)
        stream._call.cancel()  # type: ignore[attr-defined]
        await get


def fork_in_a_loop_beside_a_resting_one(cache: CacheClient) -> bool:
    """The forking thread runs a loop, so a resting one cannot be run to let its session go: the child says so."""
    resting = asyncio.new_event_loop()
    if resting.run_until_complete(cache.get(KEY)) != 7:
        return False

    def says_so() -> bool:
        try:
            cache._transport._links._make()  # type: ignore[attr-defined]
            forks.check_usable()
        except Unavailable as error:
            return "forked" in str(error)
        return False

    async def forking() -> bool:
        return in_child(says_so)

    child = asyncio.run(forking())
    after = resting.run_until_complete(cache.get(KEY))
    resting.run_until_complete(cache.close())
    return (child, after) == (True, 7)


def fork_while_a_session_is_being_opened(cache: CacheClient) -> bool:
    """It has a connection already."""
    loop = asyncio.new_event_loop()

    async def begin() -> asyncio.Task[object]:
        task = asyncio.create_task(cache.get(KEY))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return task

    def says_so() -> bool:
        try:
            asyncio.run(cache.get(KEY))
        except Unavailable as error:
            return "forked" in str(error)
        return False

    task = loop.run_until_complete(begin())
    child, after = in_child(says_so), loop.run_until_complete(task)
    loop.run_until_complete(cache.close())
    return (child, after) == (True, 7)


def never_closed(cache: CacheClient) -> bool:
    """A program that ends without closing its client says nothing, which is seen from outside."""

    async def use() -> bool:
        return await cache.get(KEY) == 7 and stream_of(cache) is not None

    return asyncio.run(use()) and asyncio.run(use())


def warned_of(cache: CacheClient) -> bool:
    """A fork that gRPC may not survive is not silent."""

    async def fork() -> list[str]:
        await cache.get(KEY)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            in_child(lambda: True)
        return [str(one.message) for one in caught]

    [said] = asyncio.run(fork())
    return "GRPC_ENABLE_FORK_SUPPORT=0" in said


def stream_of(cache: CacheClient) -> object:
    """The session of the running loop."""
    return cache._transport._links.current().stream  # type: ignore[attr-defined]


async def current_stream(cache: CacheClient) -> object:
    return stream_of(cache)


SESSION_SCENARIOS = {
    act.__name__: act
    for act in (
        forked_beside_a_session,
        resting_session,
        fork_in_a_loop_beside_a_resting_one,
        fork_while_a_session_is_being_opened,
        never_closed,
        warned_of,
    )
}
"""Before a real server."""
SCENARIOS = {
    act.__name__: act
    for act in (unused_client, connected_client, running_loop, loop_in_a_thread, open_call, many_loops, threads)
}


def main(name: str) -> int:
    """Runs a scenario against a server in a process of its own."""
    if name == "serve":
        asyncio.run(serve())
        return 0
    if name in SESSION_SCENARIOS:
        return 0 if SESSION_SCENARIOS[name](CacheClient.connect(sys.argv[2])) else 1
    command = [sys.executable, str(Path(__file__)), "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None:
            return 3
        try:
            return 0 if SCENARIOS[name](CacheClient.connect(server.stdout.readline().strip())) else 1
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
