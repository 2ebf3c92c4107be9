"""Health follows the store (`coherd_server.readiness`)."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace
from typing import cast

import pytest
from grpc_health.v1 import health_pb2

from coherd_server import readiness
from coherd_server.core.store import Store
from coherd_server.readiness import WATCH_INTERVAL_S, Readiness
from coherd_server.redis.maintenance import Maintenance
from coherd_server.redis.settings import StoreSettings

NAMES = health_pb2.HealthCheckResponse.ServingStatus


async def test_health_says_so_at_the_second_look_and_back_at_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """One look may come before the answers that a process which stood still has yet to read."""
    looks = ["", "down", "", "down", "down", "down", "", ""]
    done: list[str] = []

    def trouble() -> str:
        if len(done) == len(looks):
            raise asyncio.CancelledError
        done.append(looks[len(done)])
        return done[-1]

    async def told(status: int) -> None:
        seen.append((NAMES.Name(status), len(done)))

    seen: list[tuple[str, int]] = []
    monkeypatch.setattr(readiness, "WATCH_INTERVAL_S", 0)
    ready = Readiness(cast(Store, SimpleNamespace(trouble=trouble)), ["s"])
    monkeypatch.setattr(ready, "_set", told)
    with pytest.raises(asyncio.CancelledError):
        await ready.follow_store()
    assert seen == [("NOT_SERVING", 5), ("SERVING", 7)]


def test_a_silent_store_is_told_within_two_seconds() -> None:
    """As documented: from its last answer to the second look."""

    def trouble_after(silent_s: float) -> str:
        node = SimpleNamespace(answered_at_s=time.monotonic() - silent_s, trouble="down")
        store = SimpleNamespace(_topology=SimpleNamespace(nodes=lambda: (node,)), _settings=StoreSettings())
        return Maintenance.trouble(cast(Maintenance, store))

    assert trouble_after(2.0 - 2 * WATCH_INTERVAL_S) == "down"
    assert trouble_after(0.0) == ""
