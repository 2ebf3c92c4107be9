"""A store and a server that are killed and come back: what their clients do meanwhile, and after.

The short form of `tests/load/lost_cache.py`, which times it.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from coherd import CacheClient, CacheError, ConnectionEvent, OpenKey, Unavailable
from coherd.domains import analytics
from load import herd
from rig.ports import release_port, reserve_port
from rig.process import Node
from rig.server import PATIENT, CoherdServer
from rig.valkey import standalone
from rig.waiting import HANGS_S, until

CALLERS = 10
LONG_MS = int(HANGS_S * 1_000)
NEAR_KEY = analytics.Daily(user="lost", date="20250806")


def key_of(name: object) -> OpenKey:
    return OpenKey("celery", "lost", {"id": str(name)})


@pytest.fixture
def store() -> Iterator[Node]:
    with standalone() as node:
        yield node


@pytest.fixture
def target() -> Iterator[str]:
    port = reserve_port()
    yield f"127.0.0.1:{port}"
    release_port(port)


class Caller:
    """A client that goes on without the service, and what it was told."""

    def __init__(self, target: str) -> None:
        self.events: list[Any] = []
        self.loads = 0
        self.cache = CacheClient.connect(target, timeout_ms=LONG_MS, on_unavailable="miss", on_event=self.events.append)

    @property
    def told(self) -> list[str]:
        """Of the connection."""
        return [event.kind for event in self.events if isinstance(event, ConnectionEvent)]

    async def load(self, _: Any) -> int:
        self.loads += 1
        return 1

    async def until_told(self, kind: str) -> None:
        """Loads until it is told."""
        async with asyncio.timeout(HANGS_S):
            while kind not in self.told:
                await self.cache.get_or_load(key_of(f"{kind}{self.loads}"), self.load)

    async def sends_nothing(self) -> None:
        """Its reads and loads are answered here."""
        before = self.cache.connection_counts["not_sent"]  # type: ignore[index]
        for number in range(20):
            assert await self.cache.get(key_of(number)) is None
            assert await self.cache.get_or_load(key_of(number), self.load) == 1
        assert self.cache.connection_counts["not_sent"] >= before + 40  # type: ignore[index]


async def test_a_store_that_is_lost_and_comes_back(store: Node, target: str) -> None:
    with CoherdServer("--redis", store.url, "--listen", target):
        caller = Caller(target)
        async with caller.cache as cache:
            await cache.set(key_of("kept"), 1)
            store.kill()
            await caller.until_told("store_lost")
            await caller.sends_nothing()
            with pytest.raises(CacheError) as caught:
                await cache.invalidate(key_of("kept"))
            assert caught.value.reason_name in ("STORE_UNAVAILABLE", "OUTCOME_UNKNOWN"), "it was tried"
            store.restart()
            await caller.until_told("back")
            assert caller.told == ["store_lost", "back"]
            loads = caller.loads
            for _ in range(5):
                await cache.get_or_load(key_of("again"), caller.load)
            assert caller.loads == loads + 1, "it is cached again"


async def test_a_server_that_is_lost_and_comes_back(store: Node, target: str) -> None:
    options = ("--redis", store.url, "--listen", target, *PATIENT)
    caller = Caller(target)
    async with caller.cache as cache:
        with CoherdServer(*options) as server:
            await cache.set(NEAR_KEY, {"entries": 1})
            while cache._transport.lookup_near(NEAR_KEY) is None:
                await cache.get(NEAR_KEY)
            server.kill()
            await caller.until_told("service_lost")
            await until("nothing near is served", lambda: cache._transport.lookup_near(NEAR_KEY) is None)
            assert await cache.get(NEAR_KEY) is None
            await caller.sends_nothing()
            with pytest.raises(Unavailable):
                await cache.invalidate(key_of("kept"), timeout_ms=200)
        with CoherdServer(*options):
            await caller.until_told("back")
            assert await cache.get(NEAR_KEY) == {"entries": 1}


async def test_a_herd_after_the_return_loads_each_key_once(store: Node, target: str) -> None:
    """Callers of two processes: this one and another."""
    with CoherdServer("--redis", store.url, "--listen", target):
        here = herd.Herd(target, CALLERS)
        elsewhere = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "load.herd",
            target,
            str(CALLERS),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            cwd="tests",
        )
        assert elsewhere.stdin is not None
        assert elsewhere.stdout is not None

        async def tell(line: str) -> int:
            assert elsewhere.stdin is not None
            assert elsewhere.stdout is not None
            elsewhere.stdin.write(f"{line}\n".encode())
            own = await (here.burst("after") if line.startswith("burst") else here.until(line == "outage"))
            other = herd.answer(await asyncio.wait_for(elsewhere.stdout.readline(), HANGS_S))
            return int(own.get("loads", 0) + other.get("loads", 0))

        await tell("back")
        store.kill()
        await tell("outage")
        store.restart()
        await tell("back")
        assert await tell("burst after") == herd.KEYS
        elsewhere.stdin.close()
        await elsewhere.wait()
        await here.close()
