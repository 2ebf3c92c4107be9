"""What `test_session_processes` runs in an interpreter of its own: one client with sessions over forks and loops.

``python session_scenarios.py NAME TARGET`` ends with exit code 0 if the scenario holds.
"""

from __future__ import annotations

import asyncio
import sys
import threading
import warnings

from fork_scenarios import KEY, in_child, reads

from coherd import CacheClient, Unavailable
from coherd.sync import CacheClient as BlockingClient


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
        thread.join(60)
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


def never_closed_blocking(cache: CacheClient) -> bool:
    """As `never_closed`, of the blocking client."""
    return BlockingClient(cache._transport).get(KEY) == 7


def warned_of(cache: CacheClient) -> bool:
    """A fork that gRPC may not survive is not silent."""

    async def fork() -> list[str]:
        await cache.get(KEY)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            in_child(lambda: True)
        return [str(one.message) for one in caught if one.category is RuntimeWarning]  # Python 3.12 has its own, too

    [said] = asyncio.run(fork())
    return "GRPC_ENABLE_FORK_SUPPORT=0" in said


def forked_beside_a_near_cache(cache: CacheClient) -> bool:
    """What a loop at rest keeps, under a lease that still runs, the child does not serve [fork-drops]."""
    resting = asyncio.new_event_loop()

    def serves() -> bool:
        """Whether the near cache answers: a hit takes no turn of the event loop."""

        async def first_step() -> bool:
            get = cache.get(KEY)
            try:
                get.send(None)
            except StopIteration as answer:
                return answer.value == 7
            except Unavailable:
                return False
            get.close()
            return False

        return resting.run_until_complete(first_step())

    async def fork() -> bool:
        return in_child(lambda: not serves())

    drops = True
    still = False
    while drops and not still:  # anew, if the lease was over too soon to tell
        while not serves():  # until it is kept, under a lease
            resting.run_until_complete(cache.get(KEY))
            resting.run_until_complete(asyncio.sleep(0.01))
        drops = asyncio.run(fork())  # beside a running loop nobody can let the session of this one go
        still = serves()
    resting.run_until_complete(cache.close())
    return drops


def stream_of(cache: CacheClient) -> object:
    """The session of the running loop."""
    return cache._transport._links.current().stream  # type: ignore[attr-defined]


async def current_stream(cache: CacheClient) -> object:
    return stream_of(cache)


SCENARIOS = {
    act.__name__: act
    for act in (
        forked_beside_a_session,
        resting_session,
        fork_in_a_loop_beside_a_resting_one,
        fork_while_a_session_is_being_opened,
        never_closed,
        never_closed_blocking,
        warned_of,
        forked_beside_a_near_cache,
    )
}

if __name__ == "__main__":
    sys.exit(0 if SCENARIOS[sys.argv[1]](CacheClient.connect(sys.argv[2], timeout_ms=60_000)) else 1)
