"""Tasks that run for ever are ended, also where a library drops a cancellation."""

from __future__ import annotations

import asyncio

import pytest

from coherd_server.redis.end_task import end
from coherd_server.redis.topology import Watch


async def dropping(times: int) -> None:
    """Runs for ever, and drops the first cancellations."""
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            if times <= 0:
                raise
            times -= 1


@pytest.mark.parametrize("times", [0, 1, 2])
async def test_a_task_that_drops_a_cancellation_is_cancelled_again(times: int) -> None:
    task = asyncio.create_task(dropping(times))
    await asyncio.sleep(0)
    async with asyncio.timeout(60):
        await end(task)
    assert task.cancelled()


async def test_what_a_task_raises_is_dropped() -> None:
    async def raising() -> None:
        raise ValueError

    await end(asyncio.create_task(raising()))


async def test_a_watch_ends_though_the_look_under_way_drops_its_cancellation() -> None:
    class Looker:
        def __init__(self) -> None:
            self.looking = asyncio.Event()
            self.dropped = False

        async def look(self) -> None:
            self.looking.set()
            if not self.dropped:
                try:
                    await asyncio.sleep(60)
                except asyncio.CancelledError:
                    self.dropped = True

    looker, watch = Looker(), Watch(1)
    watch.start(looker)
    async with asyncio.timeout(60):
        await looker.looking.wait()
        await watch.close()
    assert looker.dropped
