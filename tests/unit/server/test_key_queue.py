"""Fair turns: who waits longest is next, whoever comes by; nobody who gave up holds others back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from coherd_server.core.key_queue import KeyQueue


async def settle() -> None:
    """Let every task run until it waits."""
    for _ in range(10):
        await asyncio.sleep(0)


class Callers:
    """Tasks that wait for keys; what each was let in for, in order."""

    def __init__(self) -> None:
        self.key_queue = KeyQueue()
        self.let_in: list[tuple[str, list[str]]] = []
        self.tasks: list[asyncio.Task[None]] = []

    async def wait(self, name: str, *keys: str) -> asyncio.Task[None]:
        """Start a caller that waits for these keys."""

        async def run() -> None:
            self.let_in.append((name, sorted(await self.key_queue.wait_for(keys))))

        self.tasks.append(asyncio.create_task(run()))
        await settle()
        return self.tasks[-1]


@pytest.fixture
async def callers() -> AsyncIterator[Callers]:
    made = Callers()
    yield made
    for task in made.tasks:
        task.cancel()
    await asyncio.gather(*made.tasks, return_exceptions=True)


async def test_a_newcomer_does_not_pass_those_that_wait(callers: Callers) -> None:
    key_queue = callers.key_queue
    assert key_queue.enter("k")
    await callers.wait("first", "k")
    await callers.wait("second", "k")
    key_queue.leave(["k"])
    assert not key_queue.enter("k"), "it is handed to the first that waits, which has not run yet"
    await settle()
    assert callers.let_in == [("first", ["k"])]
    key_queue.leave(["k"])
    assert not key_queue.enter("k")
    await settle()
    assert callers.let_in == [("first", ["k"]), ("second", ["k"])]
    key_queue.leave(["k"])
    assert key_queue.enter("k"), "nobody waits any more"


async def test_a_caller_of_several_keys_gets_what_is_left_first(callers: Callers) -> None:
    key_queue = callers.key_queue
    assert key_queue.enter("a")
    assert key_queue.enter("b")
    await callers.wait("both", "a", "b")
    await callers.wait("second", "b")
    key_queue.leave(["a"])
    await settle()
    assert callers.let_in == [("both", ["a"])]
    key_queue.leave(["b"])
    await settle()
    assert callers.let_in[1:] == [("second", ["b"])], "who got another key no longer stands in this line"


async def test_two_keys_left_at_once_are_both_handed_over(callers: Callers) -> None:
    key_queue = callers.key_queue
    assert key_queue.enter("a")
    assert key_queue.enter("b")
    await callers.wait("both", "a", "b", "a")
    key_queue.leave(["a", "b"])
    await settle()
    assert callers.let_in == [("both", ["a", "b"])]
    assert not key_queue.enter("a")
    assert not key_queue.enter("b")


@pytest.mark.parametrize("when", ["waiting", "already let in"])
async def test_a_caller_that_gives_up_lets_the_next_one_in(callers: Callers, when: str) -> None:
    key_queue = callers.key_queue
    assert key_queue.enter("k")
    gone = await callers.wait("gone", "k")
    await callers.wait("next", "k")
    if when == "waiting":
        gone.cancel()
        await settle()
        key_queue.leave(["k"])
    else:
        key_queue.leave(["k"])
        gone.cancel()
    await settle()
    assert callers.let_in == [("next", ["k"])]
    key_queue.leave(["k"])
    assert key_queue.enter("k")


async def test_a_caller_that_gives_up_alone_leaves_it_open(callers: Callers) -> None:
    key_queue = callers.key_queue
    assert key_queue.enter("k")
    gone = await callers.wait("gone", "k")
    key_queue.leave(["k"])
    gone.cancel()
    await settle()
    assert key_queue.enter("k")


def test_all_at_once_or_none() -> None:
    queue = KeyQueue()
    assert queue.enter("b")
    assert not queue.enter_all(["a", "b"])
    assert not queue.enter_all(["a", "a"]), "they would have to take turns"
    assert queue.enter_all(["a", "c"])
    assert not queue.enter("a")
    queue.leave(["a", "b", "c"])
    assert queue.enter_all(["a", "b", "c"])
