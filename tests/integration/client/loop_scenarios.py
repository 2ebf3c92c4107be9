"""``python loop_scenarios.py TARGET SCENARIO``: one client over many event loops; says what is left of them."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import sys
import threading
import uuid
from collections.abc import Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from coherd import CacheClient
from coherd.domains import analytics

LOOPS = 50
THREADS = 8
TIMEOUT_MS = 60_000


def run_as_django(coroutine: Coroutine[Any, Any, None]) -> None:
    """As `asgiref.sync.async_to_sync` runs an asynchronous view in a thread of a WSGI server."""

    def work() -> None:
        loop = asyncio.new_event_loop()
        try:
            loop.run_until_complete(coroutine)
        finally:
            tasks = asyncio.all_tasks(loop)
            for task in tasks:
                task.cancel()
            if tasks:
                loop.run_until_complete(asyncio.gather(*tasks, return_exceptions=True))
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.close()

    with ThreadPoolExecutor(max_workers=1) as executor:
        executor.submit(work).result()


async def work(client: CacheClient, number: int) -> None:
    """What a request does; some are left in the middle of it."""
    key = analytics.Daily(user=uuid.uuid4().hex, date="20250806")
    await client.set(key, {"number": number})
    if await client.get(key) != {"number": number}:
        raise AssertionError("a wrong value")
    if number % 3 == 0:
        others = [analytics.Daily(user=f"{each}", date="20250806") for each in range(20)]
        left = [asyncio.ensure_future(client.get_or_load(other, load)) for other in others]
        await asyncio.sleep(0)
        assert not any(task.done() for task in left)
    elif number % 3 == 1:
        await asyncio.gather(*(client.get(analytics.Daily(user=f"{each}", date="20250806")) for each in range(20)))


async def load(_: object) -> dict[str, int]:
    """A load that is still under way when its loop ends."""
    await asyncio.sleep(60.0)
    return {"words": 1}


def in_a_row(run: Callable[[Coroutine[Any, Any, None]], None], client: CacheClient) -> None:
    """One loop after the other."""
    for number in range(LOOPS):
        run(work(client, number))


def in_threads(run: Callable[[Coroutine[Any, Any, None]], None], client: CacheClient) -> None:
    """A loop each in several threads, again and again."""
    with ThreadPoolExecutor(THREADS) as executor:
        for done in [executor.submit(run, work(client, number)) for number in range(LOOPS)]:
            done.result()


def left() -> dict[str, int]:
    """What the process has open."""
    gc.collect()
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "threads": len(os.listdir("/proc/self/task")),
        "python_threads": threading.active_count(),
    }


def main(target: str, scenario: str) -> None:
    """Run one and print what is left before, after the loops, and after the client is closed."""
    order, runner, transport = scenario.split("-")
    run = asyncio.run if runner == "asyncio" else run_as_django
    client = CacheClient.connect(target, sessions=transport == "session", timeout_ms=TIMEOUT_MS)
    first = left()
    (in_a_row if order == "row" else in_threads)(run, client)
    held = [client._flights.by_loop, client._flights._ends]
    inner = client._transport
    unary = inner._connections if transport == "unary" else inner._unary._connections  # type: ignore[attr-defined]
    held += [unary.by_loop, unary._ends]
    if transport == "session":
        held += [inner._links.by_loop, inner._links._ends]  # type: ignore[attr-defined]
    after = left()
    asyncio.run(client.close())
    print(json.dumps({"first": first, "after": after, "closed": left(), "held": [len(each) for each in held]}))


if __name__ == "__main__":
    main(*sys.argv[1:])
