"""Near caches of real clients before two real servers on one store: P2 through everything in between."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from typing import Any

import pytest

from coherd import CacheClient, CacheError, Key
from coherd.domains import analytics, psychology
from coherd.domains.tags import User
from rig.server import CoherdServer
from rig.valkey import standalone

LEASE_S = 1.0
OVER_S = 1.1 * LEASE_S
STRICT = psychology.Profile(user="u1")
PUSHED = analytics.WritingStats(user="u1", days=30)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with standalone() as node:
        yield node.url


@contextlib.contextmanager
def two(url: str) -> Iterator[list[CoherdServer]]:
    """Two servers over one store."""
    arguments = ("--redis", url, "--near-cache-lease", f"{LEASE_S:.0f}s")
    with CoherdServer(*arguments) as first, CoherdServer(*arguments) as second:
        yield [first, second]


@pytest.fixture(scope="module")
def lasting(url: str) -> Iterator[list[CoherdServer]]:
    """Two that nobody may end."""
    with two(url) as servers:
        yield servers


@pytest.fixture
def servers(url: str) -> Iterator[list[CoherdServer]]:
    """Two of the test's own; the second one may be killed or stopped."""
    with two(url) as servers:
        yield servers


@pytest.fixture
async def clients(request: pytest.FixtureRequest) -> AsyncIterator[list[CacheClient]]:
    """One before each server: of the test's own, if it has such."""
    own = "servers" in request.fixturenames
    servers: list[CoherdServer] = request.getfixturevalue("servers" if own else "lasting")
    async with AsyncExitStack() as stack:
        yield [
            await stack.enter_async_context(CacheClient.connect(server.target, timeout_ms=60_000)) for server in servers
        ]


async def held(client: CacheClient, key: Key[Any]) -> Any:
    """The value, once the client answers from its own process: the event loop gets no turn meanwhile."""
    end_s = time.monotonic() + 60
    while time.monotonic() < end_s:
        turns: list[None] = []
        handle = asyncio.get_running_loop().call_soon(turns.append, None)
        value = await client.get(key)
        handle.cancel()
        if not turns:
            return value
        await asyncio.sleep(0.01)
    raise AssertionError("the near cache does not keep it")


async def test_a_strict_change_is_seen_everywhere_at_once(clients: list[CacheClient]) -> None:
    writer, reader = clients
    await writer.set(STRICT, {"version": 0})
    for version in range(1, 30):
        assert await held(reader, STRICT) == {"version": version - 1}
        assert await held(writer, STRICT) == {"version": version - 1}
        if version % 3:
            await writer.set(STRICT, {"version": version})
        else:
            await writer.invalidate(User("u1"))
            assert await reader.get(STRICT) is None
            assert await writer.get(STRICT) is None
            await writer.set(STRICT, {"version": version})
        assert await reader.get(STRICT) == {"version": version}
        assert await writer.get(STRICT) == {"version": version}


async def test_a_pushed_change_is_seen_soon_and_at_once_by_its_maker(clients: list[CacheClient]) -> None:
    writer, reader = clients
    await writer.set(PUSHED, {"version": 0})
    for version in range(1, 20):
        assert await held(reader, PUSHED) == {"version": version - 1}
        await writer.set(PUSHED, {"version": version})
        acknowledged_s = time.monotonic()
        assert await writer.get(PUSHED) == {"version": version}
        asked_s = time.monotonic()
        while await reader.get(PUSHED) != {"version": version}:
            assert asked_s - acknowledged_s < OVER_S
            await asyncio.sleep(0)
            asked_s = time.monotonic()


async def test_waiting_for_near_caches(clients: list[CacheClient]) -> None:
    writer, reader = clients
    for _ in range(10):
        await writer.set(PUSHED, {})
        await held(reader, PUSHED)
        await writer.invalidate(User("u1"), wait_for_near_caches=True)
        assert await reader.get(PUSHED) is None


@pytest.mark.parametrize("fault", [signal.SIGKILL, signal.SIGSTOP])
async def test_a_server_that_dies_or_stands_still_delays_by_a_lease_and_serves_nothing_old(
    servers: list[CoherdServer], clients: list[CacheClient], fault: signal.Signals
) -> None:
    writer, reader = clients
    await writer.set(STRICT, {"version": 1})
    assert await held(reader, STRICT) == {"version": 1}
    servers[1].process.send_signal(fault)
    try:
        began_s = time.monotonic()
        await writer.set(STRICT, {"version": 2}, timeout_ms=60_000)
        assert time.monotonic() - began_s < 2 * OVER_S + 30
        with contextlib.suppress(CacheError):  # its server is gone
            assert await reader.get(STRICT, timeout_ms=500) == {"version": 2}
    finally:
        servers[1].process.send_signal(signal.SIGCONT)
    began_s = time.monotonic()
    await writer.set(STRICT, {"version": 3}, timeout_ms=60_000)
    if fault is signal.SIGSTOP:
        assert await reader.get(STRICT, timeout_ms=60_000) == {"version": 3}
    else:
        assert time.monotonic() - began_s < OVER_S + 30
