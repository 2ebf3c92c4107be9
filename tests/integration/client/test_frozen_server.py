"""A server that stands still (SIGSTOP) beside another: its clients move, and what it owed them ends by the rules."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Iterator

import pytest

import coherd.sync
from coherd import CacheClient, OpenKey, OutcomeUnknown
from coherd._rpc.session_transport import NearCacheBounds, SessionTransport
from coherd._rpc.unary import UnaryTransport
from coherd.domains import analytics
from rig.server import PATIENT, CoherdServer
from rig.waiting import HANGS_S, until, wait_until

LONG_MS = int(HANGS_S * 1_000)
"""Far longer than a server is waited for in vain."""
NEAR_KEY = analytics.Daily(user="frozen", date="20250806")


@pytest.fixture(scope="module")
def other() -> Iterator[CoherdServer]:
    """It goes on."""
    with CoherdServer(*PATIENT) as server:
        yield server


@pytest.fixture(scope="module")
def freezing(other: CoherdServer) -> Iterator[CoherdServer]:
    with CoherdServer("--redis", other.store_url, *PATIENT) as server:
        yield server


@pytest.fixture
def first(freezing: CoherdServer) -> Iterator[CoherdServer]:
    """Clients of `target` come here first. It goes on after the test."""
    yield freezing
    os.kill(freezing.process.pid, signal.SIGCONT)


@pytest.fixture
def target(first: CoherdServer, other: CoherdServer) -> str:
    return f"ipv4:{first.target},{other.target}"


@pytest.fixture
async def transport(target: str) -> AsyncIterator[SessionTransport]:
    return SessionTransport(target, near_cache=NearCacheBounds())


def key_of(test: str) -> OpenKey:
    """Of a test's own: what a server was asked for before it stood still may be done when it goes on."""
    return OpenKey("celery", "frozen", {"id": test})


def freeze(server: CoherdServer) -> None:
    os.kill(server.process.pid, signal.SIGSTOP)


async def test_a_session_moves_and_ends_what_it_owed(first: CoherdServer, transport: SessionTransport) -> None:
    key = key_of("session")
    async with CacheClient(transport, timeout_ms=LONG_MS) as cache:
        await cache.set(key, 1)
        stream = transport._links.current().stream
        assert stream is not None
        freeze(first)
        get, write = asyncio.create_task(cache.get(key)), asyncio.create_task(cache.set(key, 2))
        invalidation = asyncio.create_task(cache.delete(key))
        with pytest.raises(OutcomeUnknown):
            await write
        assert stream.is_silent
        assert await get in (1, None)
        await invalidation
        assert await cache.get(key) is None
        assert transport._links.current().stream not in (None, stream)


async def test_what_was_kept_near_is_dropped_with_the_session(first: CoherdServer, transport: SessionTransport) -> None:
    async with CacheClient(transport, timeout_ms=LONG_MS) as cache:
        await cache.set(NEAR_KEY, {"entries": 1})
        while transport.lookup_near(NEAR_KEY) is None:
            await cache.get(NEAR_KEY)
        near = transport._links.current().near
        stream = transport._links.current().stream
        assert near is not None
        assert stream is not None
        freeze(first)
        await until("it serves nothing more", lambda: transport.lookup_near(NEAR_KEY) is None)
        assert await cache.get(NEAR_KEY) == {"entries": 1}
        assert stream.is_silent


async def test_unary_calls_move_too(first: CoherdServer, target: str) -> None:
    transport, key = UnaryTransport(target), key_of("unary")
    async with CacheClient(transport, timeout_ms=LONG_MS) as cache:
        await cache.set(key, 1)
        [connection] = transport._connections.by_loop.values()
        freeze(first)
        get, write = asyncio.create_task(cache.get(key)), asyncio.create_task(cache.set(key, 2))
        with pytest.raises(OutcomeUnknown):
            await write
        assert connection.is_silent
        assert await get == 1
        assert transport._connections.current() is not connection


def test_calls_with_short_limits_find_the_other_server(first: CoherdServer, target: str) -> None:
    """Each ends before the silence does."""
    key = key_of("blocking")
    with coherd.sync.CacheClient.connect(target, timeout_ms=LONG_MS, near_cache=False) as cache:
        cache.set(key, 1)
        freeze(first)

        def answered() -> bool:
            try:
                return bool(cache.get(key, timeout_ms=500) == 1)
            except coherd.CacheError:
                return False

        wait_until("the other one answers", answered)
