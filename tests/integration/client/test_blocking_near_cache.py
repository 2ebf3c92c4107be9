"""Near-cache hits of the blocking client: in the calling thread, and coherent."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from coherd.domains import content
from coherd.sync import CacheClient
from coherd.sync.loop_thread import LOOP
from rig.server import CoherdServer

TIMEOUT_S = 30.0


@pytest.fixture
def cache(server: CoherdServer) -> Iterator[CacheClient]:
    with CacheClient.connect(server.target, timeout_ms=10_000) as client:
        yield client


def kept(cache: CacheClient, key: content.Topics) -> bool:
    """Reads until the value is kept near; whether it is."""
    pause = threading.Event()
    end_s = time.monotonic() + TIMEOUT_S
    while time.monotonic() < end_s:
        cache.get(key)
        if cache._near_hit(key) is not None:
            return True
        pause.wait(0.02)
    return False


def test_a_hit_is_handed_to_no_other_thread(cache: CacheClient, monkeypatch: pytest.MonkeyPatch) -> None:
    key = content.Topics(user=uuid.uuid4().hex)
    cache.set(key, ["a"])
    assert kept(cache, key)

    def refuse(*_: Any) -> None:
        raise AssertionError("handed over")

    with monkeypatch.context() as patched:
        patched.setattr(LOOP, "finish", refuse)
        assert cache.get(key) == ["a"]
        assert cache.get_many([key]) == {key: ["a"]}
        assert cache.get_or_load(key, lambda _: "loaded") == ["a"]
        cache.get(key).append("mine")
        assert cache.get(key) == ["a"]


def test_own_changes_are_seen_at_once(cache: CacheClient) -> None:
    key = content.Topics(user=uuid.uuid4().hex)
    for number in range(5):
        cache.set(key, number)
        assert cache.get(key) == number
    assert kept(cache, key)
    cache.delete(key)
    assert cache.get(key, default="a miss") == "a miss"


def test_changes_of_others_arrive(cache: CacheClient, server: CoherdServer) -> None:
    key = content.Topics(user=uuid.uuid4().hex)
    cache.set(key, "old")
    assert kept(cache, key)
    with CacheClient.connect(server.target, timeout_ms=10_000) as other:
        other.set(key, "new")
    pause = threading.Event()
    end_s = time.monotonic() + TIMEOUT_S
    while cache.get(key) != "new":
        assert time.monotonic() < end_s
        pause.wait(0.02)
