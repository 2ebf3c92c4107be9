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
from collections.abc import Callable
from pathlib import Path

from fake_server import PATIENT_MS, FakeServer

from coherd import CacheClient, OpenKey, Unavailable, sync

KEY = OpenKey("content", "drafts", {"user": "u1"})
"""Holds 7."""
OTHER = OpenKey("content", "drafts", {"user": "u2"})
"""Holds nothing at first."""
HANGS_S = 60
"""What takes longer hangs."""


async def serve() -> None:
    """Prints where it listens, and serves until its input ends."""
    async with FakeServer() as fake:
        async with CacheClient.connect(fake.target, timeout_ms=PATIENT_MS) as cache:
            await cache.set(KEY, 7)
        print(fake.target, flush=True)
        await asyncio.to_thread(sys.stdin.read)


def in_child(act: Callable[[], bool]) -> bool:
    """Whether the act is true in a forked child; false if it fails or hangs."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(HANGS_S)
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
        thread.join(HANGS_S)
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
        return asyncio.run_coroutine_threadsafe(cache.get(KEY), loop).result(HANGS_S)

    return (read(), in_child(lambda: reads(cache)), read()) == (7, True, 7)


def many_loops(cache: CacheClient) -> bool:
    """Channels of loops that ended are let go."""
    answers = [reads(cache) for _ in range(5)]
    gc.collect()
    transport = cache._transport
    kept = len(transport._links.by_loop), len(transport._unary._connections.by_loop)  # type: ignore[attr-defined]
    return answers == [True] * 5 and kept == (0, 0)


def threads(cache: CacheClient) -> bool:
    """Loops in threads share a client."""
    answers: list[bool] = []
    running = [threading.Thread(target=lambda: answers.append(reads(cache))) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(HANGS_S)
    return answers == [True] * 4


def blocking(cache: CacheClient) -> sync.CacheClient:
    """A blocking client of the same server."""
    return sync.CacheClient.connect(cache._transport._unary._target, timeout_ms=PATIENT_MS)  # type: ignore[attr-defined]


def blocking_client(cache: CacheClient) -> bool:
    """Used before the fork, in children, their threads and their children, and after."""
    client = blocking(cache)

    def in_threads() -> bool:
        answers: list[object] = []
        running = [threading.Thread(target=lambda: answers.append(client.get(KEY))) for _ in range(4)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join(HANGS_S)
        return answers == [7] * 4

    def in_grandchild() -> bool:
        return client.get(KEY) == 7 and in_child(in_threads) and client.get(KEY) == 7

    answers = [client.get(KEY)]
    for _ in range(3):
        answers += [in_child(in_threads), in_child(in_grandchild), client.get(KEY)]
    loads = in_child(lambda: client.get_or_load(OTHER, lambda _: os.getpid()) == os.getpid())
    client.close()
    alone = threading.active_count() == 1
    return answers == [7] + [True, True, 7] * 3 and loads and alone


def blocking_client_unused(cache: CacheClient) -> bool:
    """Made before the fork, and first used in children, which end by themselves."""
    client = blocking(cache)

    def use() -> bool:
        answer = client.get(KEY)
        client.close()
        return answer == 7 and threading.active_count() == 1

    return in_child(use) and in_child(use) and client.get(KEY) == 7


def blocking_client_in_a_loader(cache: CacheClient) -> bool:
    """Another thread runs a loader at the fork: that is no call, its connection rests, and the child works."""
    client = blocking(cache)
    started, go_on = threading.Event(), threading.Event()
    answers: list[object] = []

    def load(_: object) -> int:
        started.set()
        go_on.wait(HANGS_S)
        return 8

    thread = threading.Thread(target=lambda: answers.append(client.get_or_load(OTHER, load)))
    thread.start()
    started.wait(HANGS_S)
    child = in_child(lambda: client.get(KEY) == 7)
    go_on.set()
    thread.join(HANGS_S)
    return child and answers == [8] and client.get(OTHER) == 8


def blocking_client_is_busy(cache: CacheClient) -> bool:
    """Other threads call all the time: forks wait for a gap, children work or say why not, the parent's calls go on."""
    client = blocking(cache)
    ended = threading.Event()
    wrong: list[object] = []

    def read() -> None:
        while not ended.is_set():
            if client.get(KEY) != 7:
                wrong.append("parent")

    def works() -> bool:
        try:
            answer = client.get(KEY)
        except Unavailable:  # the gap was too short; it must not hang or crash
            answer = 7
        gc.collect()
        return answer == 7

    running = [threading.Thread(target=read) for _ in range(3)]
    for thread in running:
        thread.start()
    children = [in_child(works) for _ in range(6)]
    ended.set()
    for thread in running:
        thread.join(HANGS_S)
    return children == [True] * 6 and not wrong and client.get(KEY) == 7


def loader_forks(cache: CacheClient) -> bool:
    """In a loader: the parent gets its value, and the child an error instead of silence."""
    client = blocking(cache)
    pids: list[int] = []

    def load(_: object) -> int:
        pids.append(os.fork())
        if pids == [0]:
            signal.alarm(HANGS_S)
        return 8

    try:
        value = client.get_or_load(OTHER, load)
    except Unavailable as error:
        os._exit(0 if pids == [0] and "forked" in str(error) and client.get(KEY) == 7 else 1)
    return value == 8 and os.waitpid(pids[0], 0)[1] == 0


SCENARIOS = {
    act.__name__: act
    for act in (
        unused_client,
        connected_client,
        running_loop,
        loop_in_a_thread,
        open_call,
        many_loops,
        threads,
        blocking_client,
        blocking_client_unused,
        blocking_client_in_a_loader,
        blocking_client_is_busy,
        loader_forks,
    )
}


def main(name: str) -> int:
    """Runs a scenario against a server in a process of its own."""
    if name == "serve":
        asyncio.run(serve())
        return 0
    command = [sys.executable, str(Path(__file__)), "serve"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as server:
        if server.stdout is None:
            return 3
        try:
            return (
                0
                if SCENARIOS[name](CacheClient.connect(server.stdout.readline().strip(), timeout_ms=PATIENT_MS))
                else 1
            )
        finally:
            server.kill()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
