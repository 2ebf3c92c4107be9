"""Loading over several clients, servers and processes on one store: one load, woken waiters, holders that die."""

from __future__ import annotations

import asyncio
import random
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from coherd import CacheClient, Key, LoadPolicy
from coherd.domains import analytics, content, psychology
from coherd.domains.tags import User
from rig.server import CoherdServer

HOLDER = """
import asyncio, sys
from coherd import CacheClient
from coherd.domains import psychology

async def main(target, user, lease_ms, load_s):
    async def load(key):
        print("loading", flush=True)
        await asyncio.sleep(load_s)
        return "the holder's"

    async with CacheClient.connect(target, timeout_ms=60_000) as cache:
        print(await cache.get_or_load(psychology.Profile(user=user), load, lease_ms=lease_ms), flush=True)

asyncio.run(main(sys.argv[1], sys.argv[2], int(sys.argv[3]), float(sys.argv[4])))
"""


LEASE_S = 120
"""A lease that nobody waits for the end of."""


class Holder:
    """A process that loads a profile; constructed once it does."""

    def __init__(self, target: str, user: str, *, lease_ms: int, load_s: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", HOLDER, target, user, str(lease_ms), str(load_s)],
            stdout=subprocess.PIPE,
            text=True,
            cwd=Path(__file__).parents[3],
        )
        assert self.line() == "loading"

    def line(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def __enter__(self) -> Holder:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


class Counted:
    """A loader that counts its calls."""

    def __init__(self, value: Any, delay_s: float = 0.0) -> None:
        self.value = value
        self.delay_s = delay_s
        self.calls = 0
        self.started = asyncio.Event()
        self.gate: asyncio.Event | None = None
        """If there is one, it waits for it."""

    async def __call__(self, key: Any) -> Any:
        self.calls += 1
        self.started.set()
        await asyncio.sleep(self.delay_s)
        if self.gate is not None:
            await self.gate.wait()
        return self.value


@pytest.fixture(scope="module")
def two_servers() -> Iterator[tuple[CoherdServer, CoherdServer]]:
    """Two server processes on one store."""
    with ExitStack() as stack:
        first = stack.enter_context(CoherdServer())
        yield first, stack.enter_context(CoherdServer("--redis", first.store_url))


@pytest.fixture
async def caches(two_servers: tuple[CoherdServer, CoherdServer]) -> AsyncIterator[tuple[CacheClient, CacheClient]]:
    """A client of each, as two processes would have."""
    async with AsyncExitStack() as stack:
        first, second = two_servers
        one = await stack.enter_async_context(CacheClient.connect(first.target, timeout_ms=60_000))
        yield one, await stack.enter_async_context(CacheClient.connect(second.target, timeout_ms=60_000))


def own(name: str) -> str:
    """An identifier nobody else uses."""
    return f"{name}{time.monotonic_ns()}"


async def test_200_callers_of_two_clients_and_two_servers_cause_one_load(
    caches: tuple[CacheClient, CacheClient],
) -> None:
    key, loader = content.Topics(user=own("u")), Counted({"n": 1}, 0.3)
    answers = await asyncio.gather(*(caches[n % 2].get_or_load(key, loader) for n in range(200)))
    assert answers == [{"n": 1}] * 200
    assert loader.calls == 1


async def test_waiters_of_another_process_are_woken_by_the_fill(caches: tuple[CacheClient, CacheClient]) -> None:
    one, other = caches
    late_s: list[float] = []
    for _ in range(15):
        key, filled_s = content.Topics(user=own("u")), 0.0
        gate, started = asyncio.Event(), asyncio.Event()

        async def load(_: Key[Any], gate: asyncio.Event = gate, started: asyncio.Event = started) -> str:
            started.set()
            await gate.wait()
            return "filled"

        async def wait(key: content.Topics = key) -> float:
            assert await other.get_or_load(key, Counted("another load")) == "filled"
            return time.monotonic()

        holder = asyncio.create_task(one.get_or_load(key, load))
        await started.wait()
        waiter = asyncio.create_task(wait())
        await asyncio.sleep(0.1)
        gate.set()
        await holder
        filled_s = time.monotonic()
        late_s.append(await waiter - filled_s)
    assert sorted(late_s)[3] < 0.1  # a look without being woken comes after 0.2 s


async def test_an_invalidation_during_a_load(caches: tuple[CacheClient, CacheClient]) -> None:
    one, other = caches
    key, row, calls = psychology.Profile(user=own("u")), "old", 0
    started = asyncio.Event()

    async def load(_: Key[Any]) -> str:
        nonlocal calls
        calls += 1
        seen = row
        started.set()
        await asyncio.sleep(0.5)
        return seen

    before = [asyncio.create_task(one.get_or_load(key, load)) for _ in range(3)]
    await started.wait()
    rejected = (await one.metrics("psychology"))["psychology"].rejected_fills
    row = "new"
    await other.invalidate(User(key.user))
    callers = [asyncio.create_task(cache.get_or_load(key, load)) for cache in caches * 5]
    assert await asyncio.gather(*before) == ["old"] * 3
    assert await asyncio.gather(*callers) == ["new"] * 10
    assert calls == 2
    assert await other.get(key) == "new"
    assert (await one.metrics("psychology"))["psychology"].rejected_fills <= rejected + 1


async def test_no_caller_gets_what_was_loaded_before_an_invalidation_it_came_after(
    caches: tuple[CacheClient, CacheClient],
) -> None:
    """P1 over many rounds: loads, joins and invalidations by both clients at once."""
    key, version, reads = psychology.Profile(user=own("u")), 0, 0
    end_s = time.monotonic() + 60

    def enough() -> bool:
        return (reads > 500 and version_acknowledged > 100) or time.monotonic() > end_s

    async def load(_: Key[Any]) -> int:
        seen = version
        await asyncio.sleep(0.04)
        return seen

    async def read(cache: CacheClient) -> None:
        nonlocal reads
        while not enough():
            floor = version_acknowledged
            assert await cache.get_or_load(key, load, lease_ms=1_000) >= floor
            reads += 1
            await asyncio.sleep(random.random() * 0.06)

    async def change(cache: CacheClient) -> None:
        nonlocal version, version_acknowledged
        while not enough():
            version += 1
            mine = version
            await cache.invalidate(User(key.user))
            version_acknowledged = max(version_acknowledged, mine)
            await asyncio.sleep(0.02)

    version_acknowledged = 0
    await asyncio.gather(*(read(cache) for cache in caches * 6), *(change(cache) for cache in caches))
    assert reads > 50
    assert version_acknowledged > 10


async def test_a_killed_holder_is_replaced_when_its_lease_ends(
    two_servers: tuple[CoherdServer, CoherdServer], caches: tuple[CacheClient, CacheClient]
) -> None:
    key, loader = psychology.Profile(user=own("u")), Counted("the next one's")
    with Holder(two_servers[0].target, key.user, lease_ms=2_000, load_s=600) as holder:
        waiting = asyncio.create_task(caches[1].get_or_load(key, loader))
        await asyncio.sleep(2.5)
        assert loader.calls == 0  # it renews
        holder.process.kill()
        killed_s = time.monotonic()
        assert await waiting == "the next one's"
        assert 0.3 < time.monotonic() - killed_s < 40


async def test_a_holder_that_was_suspended_stores_nothing_when_it_returns(
    two_servers: tuple[CoherdServer, CoherdServer], caches: tuple[CacheClient, CacheClient]
) -> None:
    key = psychology.Profile(user=own("u"))
    with Holder(two_servers[0].target, key.user, lease_ms=400, load_s=2.5) as holder:
        holder.process.send_signal(signal.SIGSTOP)
        assert await caches[1].get_or_load(key, Counted("the next one's")) == "the next one's"
        await asyncio.sleep(0.6)
        holder.process.send_signal(signal.SIGCONT)
        assert await asyncio.to_thread(holder.line) == "the holder's"
        assert await caches[0].get(key) == "the next one's"


async def test_an_orderly_end_hands_over_at_once(caches: tuple[CacheClient, CacheClient], server: CoherdServer) -> None:
    key, loader = content.Topics(user=own("u")), Counted("never", 600)
    async with (
        CacheClient.connect(server.target, timeout_ms=60_000) as leaving,
        CacheClient.connect(server.target, timeout_ms=60_000) as staying,
    ):
        first = asyncio.create_task(leaving.get_or_load(key, loader, lease_ms=LEASE_S * 1_000))
        await loader.started.wait()
        second = asyncio.create_task(staying.get_or_load(key, Counted("next")))
        await asyncio.sleep(0.1)
        closed_s = time.monotonic()
        await leaving.close()
        assert await second == "next"
        assert time.monotonic() - closed_s < LEASE_S / 2, "it did not wait for the lease to end"
        assert isinstance((await asyncio.gather(first, return_exceptions=True))[0], Exception)


async def test_stale_values_while_one_of_all_processes_refreshes(caches: tuple[CacheClient, CacheClient]) -> None:
    key, loader = content.Topics(user=own("u")), Counted("new")
    loader.gate = asyncio.Event()
    await caches[0].set(key, "old", ttl=timedelta(milliseconds=50))
    await asyncio.sleep(0.1)
    answers = await asyncio.gather(*(cache.get_or_load(key, loader) for cache in caches * 10))
    assert answers == ["old"] * 20
    loader.gate.set()
    assert await caches[1].get_or_load(key, loader, stale="wait") == "new"
    assert loader.calls == 1


async def test_a_stale_value_that_was_invalidated_is_not_served(caches: tuple[CacheClient, CacheClient]) -> None:
    key = psychology.Profile(user=own("u"))
    await caches[0].set(key, "old", ttl=timedelta(milliseconds=50))
    await asyncio.sleep(0.1)
    await caches[1].invalidate(User(key.user))
    assert await caches[0].get_or_load(key, Counted("new")) == "new"


async def test_after_a_failed_refresh_all_processes_pause(caches: tuple[CacheClient, CacheClient]) -> None:
    key, calls = content.Topics(user=own("u")), 0

    async def fail(_: Key[Any]) -> str:
        nonlocal calls
        calls += 1
        raise KeyError

    await caches[0].set(key, "old", ttl=timedelta(milliseconds=50))
    await asyncio.sleep(0.1)
    for _ in range(5):
        assert await caches[0].get_or_load(key, fail, error_pause_ms=60_000) == "old"
        assert await caches[1].get_or_load(key, fail, error_pause_ms=60_000) == "old"
        await asyncio.sleep(0.05)
    assert calls == 1


async def test_many_keys_over_two_processes_load_each_key_once(caches: tuple[CacheClient, CacheClient]) -> None:
    user = own("u")
    keys = [analytics.WritingStats(user=user, days=n) for n in range(1, 61)]
    loaded: list[Any] = []

    async def load(some: list[analytics.WritingStats]) -> dict[Any, int]:
        loaded.extend(some)
        await asyncio.sleep(0.2)
        return {key: key.days for key in some}

    one, other = await asyncio.gather(
        caches[0].get_or_load_many(keys[:40], load), caches[1].get_or_load_many(keys[20:], load)
    )
    assert one == {key: key.days for key in keys[:40]}
    assert other == {key: key.days for key in keys[20:]}
    assert sorted(loaded) == sorted(keys)


async def test_early_refreshes_are_the_servers_decision(tmp_path: Path) -> None:
    settings = tmp_path / "coherd.toml"
    settings.write_text('[ttl."content"]\nearly_refresh = 10.0\n')
    policy = LoadPolicy(stale="wait")
    with CoherdServer("--config", str(settings)) as server:
        async with CacheClient.connect(server.target, loading=policy, near_cache=False, timeout_ms=60_000) as cache:
            key, loader = content.Topics(user=own("u")), Counted("value", 0.3)
            await cache.get_or_load(key, loader, ttl=timedelta(seconds=20))
            loader.gate = asyncio.Event()
            async with asyncio.timeout(60):
                while loader.calls == 1:  # the fresh value, at once: the load never ends
                    assert await cache.get_or_load(key, loader, ttl=timedelta(seconds=20)) == "value"


async def test_a_stopped_server_opens_and_its_return_is_noticed() -> None:
    key = content.Topics(user=own("u"))
    with CoherdServer() as server:
        async with CacheClient.connect(server.target, timeout_ms=1_000) as cache:
            assert await cache.get_or_load(key, Counted("stored"), timeout_ms=60_000) == "stored"
            server.process.send_signal(signal.SIGSTOP)
            try:
                async with asyncio.timeout(60):
                    assert await cache.get_or_load(key, Counted("direct")) == "direct"
            finally:
                server.process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(60):
                while await cache.get_or_load(key, Counted("again"), timeout_ms=10_000) != "stored":  # noqa: ASYNC110
                    await asyncio.sleep(0.05)
