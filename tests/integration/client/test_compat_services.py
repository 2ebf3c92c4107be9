"""The familiar services, coroutines and blocking, before a real server: each pair under a key of its own."""

from __future__ import annotations

import inspect
import uuid
from collections.abc import AsyncIterator
from typing import Any

import pytest

from coherd import CacheClient, sync
from coherd import compat as familiar
from coherd.compat import CacheInvalidationPatterns, CachePatterns
from coherd.compat import sync as familiar_blocking
from rig.awaited import Awaited
from rig.server import CoherdServer

PAIRS = sorted(name for name in vars(CachePatterns) if not name.startswith("_"))


@pytest.fixture(params=["coroutines", "blocking"])
async def service(request: pytest.FixtureRequest, server: CoherdServer) -> AsyncIterator[Any]:
    if request.param == "coroutines":
        async with CacheClient.connect(server.target, timeout_ms=10_000) as cache:
            yield familiar.UnifiedCacheService(cache)
        return
    with sync.CacheClient.connect(server.target, timeout_ms=10_000) as blocking:
        async with Awaited(familiar_blocking.UnifiedCacheService(blocking)) as awaited:
            yield awaited


def arguments(name: str) -> list[Any]:
    """Arguments of a pattern that nobody else uses; the two resources without any are shared."""
    texts = {"days": 30, "date": "20250806"}
    return [texts.get(each, uuid.uuid4().hex) for each in inspect.signature(getattr(CachePatterns, name)).parameters]


@pytest.mark.parametrize("name", PAIRS)
async def test_pair(service: Any, name: str) -> None:
    own = arguments(name)
    value: Any = {"state": "online"} if name.startswith("celery_") else {"n": 0, "list": []}
    if own:
        assert await getattr(service, f"get_{name}")(*own) is None
    assert await getattr(service, f"set_{name}")(value, *own, ttl=60) is True
    assert value.items() <= (await getattr(service, f"get_{name}")(*own)).items()


async def test_a_users_session_goes_with_the_user(service: Any) -> None:
    user, session = uuid.uuid4().hex, uuid.uuid4().hex
    await service.set_session_data({"cart": []}, session, user_id=user)
    assert await service.invalidate_user_cache(user) == CacheInvalidationPatterns.user(user)
    assert await service.get_session_data(session) is None
    assert set(await service.get_cache_metrics()) >= {"session", "analytics"}
