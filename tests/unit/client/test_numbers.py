"""Numbers that are no milliseconds: refused by name at the call, before they reach a stream that others share."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from coherd import CacheClient, LoadLimits, LoadPolicy, NearCacheBounds, OpenKey, Tag
from coherd.sync import CacheClient as BlockingClient

KEY = OpenKey("content", "drafts", {"user": "u1"})
NOWHERE = "127.0.0.1:1"
BAD = [500.0, math.inf, math.nan, 2**63, 2**31, 0, -1, True, "5"]
VERBS: dict[str, Callable[[Any, Any], Any]] = {
    "get": lambda cache, bad: cache.get(KEY, timeout_ms=bad),
    "get_entry": lambda cache, bad: cache.get_entry(KEY, timeout_ms=bad),
    "get_many": lambda cache, bad: cache.get_many([KEY], timeout_ms=bad),
    "get_or_load": lambda cache, bad: cache.get_or_load(KEY, lambda key: 1, timeout_ms=bad),
    "get_or_load_many": lambda cache, bad: cache.get_or_load_many([KEY], lambda keys: {}, timeout_ms=bad),
    "set": lambda cache, bad: cache.set(KEY, 1, timeout_ms=bad),
    "set_nothing": lambda cache, bad: cache.set_nothing(KEY, timeout_ms=bad),
    "set_many": lambda cache, bad: cache.set_many({KEY: 1}, timeout_ms=bad),
    "touch": lambda cache, bad: cache.touch(KEY, timeout_ms=bad),
    "delete": lambda cache, bad: cache.delete(KEY, timeout_ms=bad),
    "invalidate": lambda cache, bad: cache.invalidate(Tag("user", "u1"), timeout_ms=bad),
    "metrics": lambda cache, bad: cache.metrics(timeout_ms=bad),
    "describe_catalog": lambda cache, bad: cache.describe_catalog(timeout_ms=bad),
}


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.parametrize("bad", BAD, ids=repr)
async def test_a_time_limit(verb: str, bad: Any) -> None:
    async with CacheClient.connect(NOWHERE) as cache:
        answer: Awaitable[Any] = VERBS[verb](cache, bad)
        with pytest.raises(ValueError, match=r"timeout_ms must be (a whole number|in 1..2147483647), not"):
            await answer


@pytest.mark.parametrize("verb", VERBS)
def test_a_time_limit_of_a_blocking_call(verb: str) -> None:
    with (
        BlockingClient.connect(NOWHERE) as cache,
        pytest.raises(ValueError, match=r"timeout_ms must be a whole number, not 500\.0"),
    ):
        VERBS[verb](cache, 500.0)


@pytest.mark.parametrize("bad", BAD, ids=repr)
def test_the_time_limit_of_a_client(bad: Any) -> None:
    for kind in (CacheClient, BlockingClient):
        with pytest.raises(ValueError, match="timeout_ms must be"):
            kind.connect(NOWHERE, timeout_ms=bad)


@pytest.mark.parametrize("name", ["lease_ms", "load_timeout_ms", "soft_timeout_ms", "error_pause_ms"])
@pytest.mark.parametrize("bad", [500.0, math.inf, 2**63, -1, True], ids=repr)
async def test_a_policy(name: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        LoadPolicy(**{name: bad})
    async with CacheClient.connect(NOWHERE) as cache:
        with pytest.raises(ValueError, match=f"{name} must be"):
            await cache.get_or_load(KEY, lambda key: 1, **{name: bad})


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (NearCacheBounds, "max_entries"),
        (NearCacheBounds, "max_bytes"),
        (LoadLimits, "max_direct_loads"),
        (LoadLimits, "max_background_loads"),
        (LoadLimits, "max_loader_threads"),
    ],
)
@pytest.mark.parametrize("bad", [500.0, math.inf, math.nan, 2**63, -1, True, "5"], ids=repr)
def test_bounds_of_a_client(kind: Any, name: str, bad: Any) -> None:
    with pytest.raises(ValueError, match=f"{name} must be"):
        kind(**{name: bad})
