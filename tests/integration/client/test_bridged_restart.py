"""A server that is away for a while: who cannot go on without it waits to the limit, who can is told soon."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

import coherd.sync
from coherd import CacheClient, CacheError, OpenKey
from coherd._rpc import retries
from coherd.contract.reasons import Retry
from rig.ports import release_port, reserve_port
from rig.process import Node
from rig.server import PATIENT, CoherdServer
from rig.waiting import HANGS_S, until

LONG_MS = int(2 * HANGS_S * 1_000)
VERBS: dict[str, Callable[[Any, OpenKey], Any]] = {
    "get": lambda cache, key: cache.get(key),
    "get_entry": lambda cache, key: cache.get_entry(key),
    "get_many": lambda cache, key: cache.get_many([key]),
    "set": lambda cache, key: cache.set(key, 1),
    "set_many": lambda cache, key: cache.set_many({key: 1}),
    "touch": lambda cache, key: cache.touch(key),
    "delete": lambda cache, key: cache.delete(key),
    "invalidate": lambda cache, key: cache.invalidate(key),
    "metrics": lambda cache, key: cache.metrics("celery"),
    "describe_catalog": lambda cache, key: cache.describe_catalog("celery"),
    "get_or_load": lambda cache, key: cache.get_or_load(key, lambda _: 1, on_unavailable="raise"),
    "get_or_load_many": lambda cache, key: cache.get_or_load_many([key], lambda _: {key: 1}, on_unavailable="raise"),
}


def key_of(name: str) -> OpenKey:
    return OpenKey("celery", "bridged", {"id": name})


@pytest.fixture
def target() -> Iterator[str]:
    port = reserve_port()
    yield f"127.0.0.1:{port}"
    release_port(port)


@pytest.fixture
def failures(monkeypatch: pytest.MonkeyPatch) -> list[CacheError]:
    """Those of single attempts, in order."""
    seen: list[CacheError] = []
    count = retries.reached

    def reached(error: CacheError) -> bool:
        seen.append(error)
        return count(error)

    monkeypatch.setattr(retries, "reached", reached)
    return seen


async def test_every_verb_of_every_client_bridges_a_restart(
    target: str, node: Node, failures: list[CacheError]
) -> None:
    options = ("--listen", target, "--redis", node.url, *PATIENT)
    async with AsyncExitStack() as clients:
        session = await clients.enter_async_context(CacheClient.connect(target, timeout_ms=LONG_MS))
        unary = await clients.enter_async_context(CacheClient.connect(target, sessions=False, timeout_ms=LONG_MS))
        sync = clients.enter_context(coherd.sync.CacheClient.connect(target, timeout_ms=LONG_MS))
        with CoherdServer(*options):
            await session.set(key_of("first"), 1)
            await unary.get(key_of("first"))
            await asyncio.to_thread(sync.get, key_of("first"))
        calls: dict[str, Coroutine[Any, Any, object]] = {}
        for name, verb in VERBS.items():
            calls[f"{name}, session"] = verb(session, key_of(f"{name}1"))
            calls[f"{name}, unary"] = verb(unary, key_of(f"{name}2"))
        calls["get, blocking"] = asyncio.to_thread(sync.get, key_of("get3"))
        calls["set, blocking"] = asyncio.to_thread(sync.set, key_of("set3"), 1)
        tasks = {name: asyncio.create_task(call) for name, call in calls.items()}
        await until(
            "more attempts than a call that is sent has", lambda: len(failures) > retries.MAX_ATTEMPTS * len(tasks)
        )
        assert not [name for name, task in tasks.items() if task.done()]
        with CoherdServer(*options):
            async with asyncio.timeout(HANGS_S):
                answers = dict(zip(tasks, await asyncio.gather(*tasks.values()), strict=True))
        assert [answers[f"get_or_load, {kind}"] for kind in ("session", "unary")] == [1, 1]
        assert all(answers[f"set, {kind}"] for kind in ("session", "unary", "blocking"))


@pytest.mark.parametrize("sessions", [True, False])
async def test_who_can_go_on_is_told_soon(target: str, failures: list[CacheError], sessions: bool) -> None:
    """Nobody listens, and the limit is long."""
    async with CacheClient.connect(target, sessions=sessions, timeout_ms=LONG_MS, on_unavailable="miss") as cache:
        async with asyncio.timeout(HANGS_S):
            assert await cache.get(key_of("a")) is None
            assert not await cache.set(key_of("a"), 1)
            assert await cache.get_many([key_of("a")]) == {}
            assert await cache.get_or_load(key_of("a"), lambda _: 5) == 5
        strict = asyncio.create_task(cache.invalidate(key_of("a")))
        told = len(failures)
        await until("it is tried on", lambda: len(failures) > told + retries.MAX_ATTEMPTS)
        assert not strict.done()
        strict.cancel()
        assert {failure.retry for failure in failures} == {Retry.SAFE}
