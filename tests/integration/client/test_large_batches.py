"""Batches of many calls with a long limit: no limit that the service has for one exchange with Redis ends them."""

from __future__ import annotations

import asyncio

import pytest

from coherd import CacheClient, OpenKey
from coherd._rpc import retries
from coherd.errors import CacheError
from coherd.v1.errors_pb2 import ErrorReason
from rig.process import Node
from rig.server import CoherdServer
from rig.waiting import HANGS_S, until

LONG_MS = int(2 * HANGS_S * 1_000)


@pytest.mark.parametrize("sessions", [True, False])
async def test_twenty_thousand_keys_and_a_long_limit(server: CoherdServer, name: str, sessions: bool) -> None:
    keys = [OpenKey("celery", "own", {"id": f"{name}-{sessions}-{number}"}) for number in range(20_000)]
    async with CacheClient.connect(server.target, timeout_ms=LONG_MS, sessions=sessions, near_cache=False) as cache:
        assert all((await cache.set_many(dict.fromkeys(keys, 1))).values())
        assert await cache.get_many(keys) == dict.fromkeys(keys, 1)


@pytest.mark.parametrize("sessions", [True, False])
async def test_a_store_that_stands_still_for_longer_than_its_limit_is_bridged(
    node: Node, name: str, sessions: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[CacheError] = []
    count = retries.reached

    def reached(error: CacheError) -> bool:
        failed.append(error)
        return count(error)

    monkeypatch.setattr(retries, "reached", reached)
    keys = [OpenKey("celery", "own", {"id": f"{name}-{number}"}) for number in range(100)]
    with CoherdServer("--redis", node.url, "--redis-timeout", "400ms") as server:
        async with CacheClient.connect(server.target, timeout_ms=LONG_MS, sessions=sessions, near_cache=False) as cache:
            async with asyncio.timeout(HANGS_S):
                while not await _stored(cache, keys):
                    pass
            failed.clear()
            node.pause()
            try:
                many = asyncio.create_task(cache.get_many(keys))
                await until("the store's time is up", lambda: failed)
            finally:
                node.resume()
            assert await many == dict.fromkeys(keys, 1)
    assert {error.reason for error in failed} == {ErrorReason.ERROR_REASON_STORE_UNAVAILABLE}


async def _stored(cache: CacheClient, keys: list[OpenKey]) -> bool:
    """Whether a store that may be late at times has them."""
    try:
        return all((await cache.set_many(dict.fromkeys(keys, 1))).values())
    except CacheError:
        return False
