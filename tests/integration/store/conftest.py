"""Caches whose coalescer is watched."""

from __future__ import annotations

import pytest
from watched_cache import Watched

from coherd_server.core.coalescer import Coalescer
from rig.fixtures import Backend, Opener
from rig.near import cache_over


@pytest.fixture
def overlapping(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if calls overlapped all the time."""
    monkeypatch.setattr(Coalescer, "_is_overlapping", lambda _: True)


@pytest.fixture
async def watched(backend: Backend, opener: Opener, monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(cache_over(await opener(backend.url, backend.prefix), max_value_bytes=100), monkeypatch)
