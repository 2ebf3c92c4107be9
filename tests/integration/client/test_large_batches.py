"""Batches of many calls with a long limit: no limit that the service has for one exchange with Redis ends them."""

from __future__ import annotations

import pytest

from coherd import CacheClient, OpenKey
from rig.server import CoherdServer
from rig.waiting import HANGS_S

LONG_MS = int(2 * HANGS_S * 1_000)


@pytest.mark.parametrize("sessions", [True, False])
async def test_twenty_thousand_keys_and_a_long_limit(server: CoherdServer, name: str, sessions: bool) -> None:
    keys = [OpenKey("celery", "own", {"id": f"{name}-{sessions}-{number}"}) for number in range(20_000)]
    async with CacheClient.connect(server.target, timeout_ms=LONG_MS, sessions=sessions, near_cache=False) as cache:
        assert all((await cache.set_many(dict.fromkeys(keys, 1))).values())
        assert await cache.get_many(keys) == dict.fromkeys(keys, 1)
