"""What the loop asks of a thread that waits."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

from coherd.sync.call import Call, Job


def where() -> str:
    return threading.current_thread().name


async def started(coroutine: Any) -> Call[Any]:
    """A call whose thread is whoever calls `wait`."""
    call: Call[Any] = Call(coroutine)
    call.loop = asyncio.get_running_loop()
    call.start(lambda _: None)
    await asyncio.sleep(0)
    return call


async def test_a_thread_takes_one_job_at_a_time_and_the_next_when_it_is_through() -> None:
    end, go_on = asyncio.Event(), threading.Event()
    call = await started(end.wait())

    def slowly() -> str:
        assert go_on.wait(60)
        return where()

    first, second, third = Job(slowly), Job(where), Job(where)
    assert call.offer(first)
    assert not call.offer(second)
    second.run_in_own_thread()
    answers: list[Any] = []
    caller = threading.Thread(target=lambda: answers.append(call.wait()), name="caller")
    caller.start()
    assert await second.done == "coherd-load"  # while the first one runs
    go_on.set()
    assert await first.done == "caller"
    assert call.offer(third)
    assert await third.done == "caller"
    end.set()
    await asyncio.to_thread(caller.join, 10)
    assert answers == [True]
    assert not call.offer(Job(where))


async def test_a_job_nobody_has_begun_gets_a_thread_when_its_caller_leaves() -> None:
    call = await started(asyncio.sleep(60))
    job = Job(where)
    assert call.offer(job)
    call.leave()  # interrupted before it took the job
    assert await asyncio.wait_for(job.done, 60) == "coherd-load"
    assert not call.offer(Job(where))


async def test_a_job_that_was_given_up_is_not_begun() -> None:
    end, ran = asyncio.Event(), list[str]()
    call = await started(end.wait())
    job = Job(lambda: ran.append("ran"))
    assert call.offer(job)
    job.done.cancel()
    end.set()
    assert await asyncio.to_thread(call.wait) is True
    assert ran == []
