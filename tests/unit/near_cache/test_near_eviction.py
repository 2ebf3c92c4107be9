"""What leaves for want of room."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import pytest

from coherd._near import NearCache, NearCacheMode, NearDomain
from coherd._near.eviction import EvictionQueue
from coherd._near.kept import Growth, Kept
from coherd.cli.replay.trace import read_trace

TRACE = Path(__file__).parents[2] / "data" / "web12-first-5000.trace.xz"
SIZE = Kept("key_1", b"", False, 9.0, 0, int, Growth(0)).size_bytes


def entry(key: str, *, uses: int = 0, expires_s: float = 9.0, payload: bytes = b"") -> Kept:
    kept = Kept(key, payload, False, expires_s, 0, int, Growth(0))
    kept.uses = uses
    return kept


def names(evicted: Sequence[Kept]) -> list[str]:
    return [kept.key for kept in evicted]


def test_the_first_in_is_the_first_out_if_nobody_used_it() -> None:
    queue = EvictionQueue(3, 1_000_000)
    for number in range(3):
        assert queue.admit(entry(f"key_{number}"), 0.0) == []
    assert names(queue.admit(entry("key_3"), 0.0)) == ["key_0"]
    assert len(queue) == 3


def test_what_was_used_twice_goes_on_to_the_main_queue() -> None:
    queue = EvictionQueue(3, 1_000_000)
    queue.admit(entry("used", uses=2), 0.0)
    queue.admit(entry("once", uses=1), 0.0)
    queue.admit(entry("never"), 0.0)
    assert names(queue.admit(entry("new_1"), 0.0)) == ["once"]
    assert names(queue.admit(entry("new_2"), 0.0)) == ["never"]
    assert names(queue.admit(entry("new_3"), 0.0)) == ["new_1"]


def test_a_long_scan_costs_the_main_queue_nothing() -> None:
    queue = EvictionQueue(100, 1_000_000)
    for number in range(90):
        queue.admit(entry(f"hot_{number}", uses=3), 0.0)
    for number in range(10):
        queue.admit(entry(f"warm_up_{number}"), 0.0)
    gone: list[str] = []
    for number in range(5_000):
        gone += names(queue.admit(entry(f"scan_{number}"), 0.0))
    assert not [key for key in gone if key.startswith("hot_")]


def test_what_comes_back_soon_after_it_was_evicted_is_in_the_main_queue_at_once() -> None:
    queue = EvictionQueue(4, 1_000_000)
    for number in range(5):
        queue.admit(entry(f"key_{number}"), 0.0)
    back = entry("key_0")
    queue.admit(back, 0.0)
    assert queue.remove(back), "in the main queue"
    fresh = entry("key_9")
    queue.admit(fresh, 0.0)
    assert not queue.remove(fresh)


def test_no_more_is_remembered_of_the_evicted_than_there_are_entries() -> None:
    queue = EvictionQueue(4, 1_000_000)
    for number in range(1_000):
        queue.admit(entry(f"key_{number}"), 0.0)
    assert len(queue._ghosts) <= 4


def test_bytes_are_bounded_too() -> None:
    queue = EvictionQueue(1_000, 10 * SIZE)
    for number in range(10):
        assert queue.admit(entry(f"key_{number}"), 0.0) == []
    assert queue.bytes == 10 * SIZE
    large = entry("large", payload=bytes(SIZE))
    assert names(queue.admit(large, 0.0)) == [f"key_{number}" for number in range((large.size_bytes - 1) // SIZE + 1)]
    assert queue.bytes <= 10 * SIZE


def test_the_small_queue_is_bounded_in_bytes_too() -> None:
    queue = EvictionQueue(1_000, 10 * SIZE)
    for number in range(8):
        queue.admit(entry(f"old_{number}"), 0.0, proven=True)
    queue.admit(entry("key_1"), 0.0)
    queue.admit(entry("key_2"), 0.0)
    assert names(queue.admit(entry("key_3"), 0.0)) == ["key_1"]


@pytest.mark.parametrize("proven", [False, True])
def test_what_has_expired_goes_however_much_it_was_used(proven: bool) -> None:
    queue = EvictionQueue(2, 1_000_000)
    queue.admit(entry("good", uses=3), 0.0, proven=proven)
    queue.admit(entry("expired", uses=3, expires_s=1.0), 0.0, proven=proven)
    assert names(queue.admit(entry("new"), 2.0)) == ["expired"]


def test_an_expired_value_that_had_proven_itself_is_replaced_in_the_main_queue() -> None:
    cache = _cache(10)
    queue = cache._queue
    _read(cache, "a:x:id:hot", 0.0)
    for _ in range(3):
        _read(cache, "a:x:id:hot", 0.0)
    for number in range(10):
        _read(cache, f"a:x:id:{number}", 0.0)
    assert "a:x:id:hot" in queue._main
    assert not _read(cache, "a:x:id:hot", 60.0), "expired"
    assert "a:x:id:hot" in queue._main
    assert _read(cache, "a:x:id:hot", 60.0)


def test_an_expired_value_leaves_before_one_that_is_good() -> None:
    cache = _cache(2)
    for _ in range(4):
        _read(cache, "a:x:id:good", 0.0, fresh_s=90.0)
        _read(cache, "a:x:id:expired", 0.0, fresh_s=10.0)
    _read(cache, "a:x:id:new", 40.0)
    assert _read(cache, "a:x:id:good", 40.0)


def test_it_holds_up_better_than_lru_on_real_accesses() -> None:
    with TRACE.open("rb") as source:
        keys = [f"a:x:id:{number}" for number in read_trace(source)]
    for share in (0.05, 0.10, 0.25):  # less would be a few entries only
        entries = int(len(set(keys)) * share)
        cache = _cache(entries)
        ours = sum(_read(cache, key, 0.0) for key in keys)
        assert ours > _lru_hits(keys, entries), f"{share:.0%} of distinct objects"
        assert cache.statistics.entries <= entries
        assert cache.take_hits() == {"a": ours}


def _cache(entries: int) -> NearCache:
    cache = NearCache(max_entries=entries, max_bytes=1_000_000_000)
    cache.configure({"a": NearDomain(NearCacheMode.PUSH)})
    cache.extend(100.0, 0.0)
    return cache


def _read(cache: NearCache, key: str, now_s: float, *, fresh_s: float = 30.0) -> bool:
    """Read through; whether it was a hit."""
    if cache.lookup(key, now_s) is not None:
        return True
    read = cache.begin_read(key, now_s)
    assert read is not None
    kept = cache.keep(read, payload=b"", negative=False, expires_s=now_s + fresh_s, extra_tags={})
    assert kept
    return False


def _lru_hits(keys: Sequence[str], entries: int) -> int:
    kept: OrderedDict[str, None] = OrderedDict()
    hits = 0
    for key in keys:
        if key in kept:
            hits += 1
            kept.move_to_end(key)
        else:
            kept[key] = None
            if len(kept) > entries:
                kept.popitem(last=False)
    return hits
