"""The near cache, rule by rule."""

from __future__ import annotations

import math
import tracemalloc
from collections.abc import Mapping

import pytest

from coherd._near import NearCache, NearCacheMode, NearDomain, PendingRead
from coherd.domains import analytics

KEY = "analytics:daily:user:u1:date:20250806"
OTHER = "analytics:daily:user:u2:date:20250806"
PROFILE = "psychology:profile:user:u1"
TAGS = frozenset({"user", "date", "content"})
POLICIES = {
    "analytics": NearDomain(NearCacheMode.PUSH, TAGS),
    "psychology": NearDomain(NearCacheMode.STRICT, frozenset({"user"})),
    "maintenance": NearDomain(NearCacheMode.PUSH, frozenset({"date"}), frozenset({"date"})),
    "crisis": NearDomain(NearCacheMode.OFF, frozenset({"user"})),
}


@pytest.fixture
def cache() -> NearCache:
    """Configured, with a lease from 0 to 3 s."""
    return ready()


def ready(*, max_entries: int = 100, max_bytes: int = 1_000_000) -> NearCache:
    cache = NearCache(max_entries=max_entries, max_bytes=max_bytes)
    cache.configure(POLICIES)
    cache.extend(3.0, 0.0)
    return cache


def asked(cache: NearCache, key: str = KEY, now_s: float = 1.0) -> PendingRead:
    read = cache.begin_read(key, now_s)
    assert read is not None
    return read


def keep(
    cache: NearCache,
    read: PendingRead,
    payload: bytes = b"value",
    *,
    negative: bool = False,
    expires_s: float = 100.0,
    extra_tags: Mapping[str, str] | None = None,
) -> bool:
    return cache.keep(
        read,
        payload=payload,
        negative=negative,
        expires_s=expires_s,
        extra_tags=extra_tags or {},
    )


def fill(cache: NearCache, *keys: str) -> None:
    for key in keys:
        assert keep(cache, asked(cache, key))


def test_what_is_kept_is_served(cache: NearCache) -> None:
    assert cache.lookup(KEY, 1.0) is None
    assert keep(cache, asked(cache), b"one")
    found = cache.lookup(KEY, 1.0)
    assert found is not None
    assert (found.payload, found.negative) == (b"one", False)
    assert cache.lookup(OTHER, 1.0) is None


def test_a_typed_key_is_its_text(cache: NearCache) -> None:
    typed = analytics.Daily(user="u1", date="20250806")
    assert keep(cache, asked(cache, typed))
    assert cache.lookup(KEY, 1.0) is cache.lookup(typed, 1.0) is not None
    cache.drop_keys([typed])
    assert cache.lookup(KEY, 1.0) is None


def test_nothing_is_a_value_too(cache: NearCache) -> None:
    assert keep(cache, asked(cache), b"", negative=True)
    found = cache.lookup(KEY, 1.0)
    assert found is not None
    assert (found.payload, found.negative) == (b"", True)


def test_a_buffer_the_caller_could_change_is_copied(cache: NearCache) -> None:
    buffer = bytearray(b"value")
    assert keep(cache, asked(cache), buffer)  # type: ignore[arg-type]
    buffer[0] = 0
    found = cache.lookup(KEY, 1.0)
    assert found is not None
    assert found.payload == b"value"


def test_a_value_ends_with_its_expiry(cache: NearCache) -> None:
    assert keep(cache, asked(cache), expires_s=2.0)
    assert cache.lookup(KEY, 1.999) is not None
    assert cache.lookup(KEY, 2.0) is None


def test_one_that_expired_on_its_way_is_refused(cache: NearCache) -> None:
    assert not keep(cache, asked(cache, now_s=2.0), expires_s=2.0)
    assert cache.statistics.refused == 1


@pytest.mark.parametrize("key", ["crisis:user_risk:user:u1", "unknown:thing", "analytics", ""])
def test_a_domain_that_is_off_or_unknown_is_not_kept(cache: NearCache, key: str) -> None:
    assert cache.begin_read(key, 1.0) is None


def test_without_a_lease_nothing_is_served_or_marked() -> None:
    cache = NearCache(max_entries=1, max_bytes=100_000)
    cache.configure(POLICIES)
    assert cache.begin_read(KEY, 0.0) is None
    cache.extend(3.0, 0.0)
    assert keep(cache, asked(cache))
    assert cache.lookup(KEY, 2.999) is not None
    assert cache.lookup(KEY, 3.0) is None
    assert cache.begin_read(KEY, 3.0) is None


def test_a_clock_that_is_not_a_number_serves_nothing(cache: NearCache) -> None:
    fill(cache, KEY)
    assert cache.lookup(KEY, math.nan) is None
    assert cache.begin_read(KEY, math.nan) is None


def test_an_extension_in_time_keeps_what_is_there(cache: NearCache) -> None:
    fill(cache, KEY)
    cache.extend(5.0, 2.9)
    assert cache.lookup(KEY, 4.9) is not None


def test_an_extension_never_takes_back_an_earlier_one(cache: NearCache) -> None:
    fill(cache, KEY)
    cache.extend(2.0, 1.0)
    assert cache.lookup(KEY, 2.5) is not None


def test_a_lease_that_lapsed_flushes_before_it_goes_on(cache: NearCache) -> None:
    fill(cache, KEY)
    inflight = asked(cache, OTHER)
    cache.extend(6.0, 3.0)
    assert cache.lookup(KEY, 3.0) is None
    assert not keep(cache, inflight)
    assert cache.statistics.entries == 0


def test_a_revoked_near_cache_is_flushed_by_the_next_extension(cache: NearCache) -> None:
    fill(cache, KEY)
    inflight, late = asked(cache, OTHER), asked(cache, KEY)
    cache.revoke()
    assert cache.lookup(KEY, 1.0) is None
    assert cache.begin_read(KEY, 1.0) is None
    assert keep(cache, inflight)  # its reply came before the extension: not served, and flushed with the rest
    assert cache.lookup(OTHER, 1.0) is None
    cache.extend(4.0, 1.5)
    assert not keep(cache, late)
    assert cache.lookup(KEY, 1.5) is None
    assert cache.lookup(OTHER, 1.5) is None
    assert cache.statistics.entries == 0
    fill(cache, KEY)
    assert cache.lookup(KEY, 1.6) is not None


def test_an_extension_that_came_too_late_gives_nothing(cache: NearCache) -> None:
    cache.extend(4.0, 4.5)
    assert cache.begin_read(KEY, 4.5) is None


def test_a_pushed_key_is_dropped_and_its_marks_are_void(cache: NearCache) -> None:
    fill(cache, KEY, OTHER)
    first, second, neighbour = asked(cache), asked(cache), asked(cache, OTHER)
    cache.drop_keys([KEY, "analytics:daily:user:never:date:20250806", "nonsense"])
    assert cache.lookup(KEY, 1.0) is None
    assert cache.lookup(OTHER, 1.0) is not None
    assert not keep(cache, first)
    assert not keep(cache, second)
    assert keep(cache, neighbour)
    assert keep(cache, asked(cache))


def test_a_mark_set_after_the_push_is_good_while_an_older_one_is_void(cache: NearCache) -> None:
    before = asked(cache)
    cache.drop_keys([KEY])
    after = asked(cache)
    assert not keep(cache, before, b"old")
    assert keep(cache, after, b"new")


@pytest.mark.parametrize(
    ("tag", "gone"),
    [
        ("analytics", {KEY, OTHER}),
        ("analytics:daily", {KEY, OTHER}),
        ("analytics:mood_trends", set()),
        ("analytics/user:u1", {KEY}),
        ("analytics/user:u2", {OTHER}),
        ("analytics/date:20250806", {KEY, OTHER}),
        ("analytics/content:c1", set()),
        ("psychology/user:u1", {PROFILE}),
        ("unknown/user:u1", set()),
        ("crisis/user:u1", set()),
    ],
)
def test_a_pushed_tag_drops_all_that_carry_it(cache: NearCache, tag: str, gone: set[str]) -> None:
    fill(cache, KEY, OTHER, PROFILE)
    cache.drop_tags([tag])
    assert {key for key in (KEY, OTHER, PROFILE) if cache.lookup(key, 1.0) is None} == gone
    assert cache.statistics.dropped == len(gone)


def test_a_pushed_tag_voids_every_mark_of_its_domain_and_no_other(cache: NearCache) -> None:
    here, there = asked(cache, OTHER), asked(cache, PROFILE)
    cache.drop_tags(["analytics/user:somebody_else"])
    assert not keep(cache, here)
    assert keep(cache, there)


def test_encoded_values_are_the_same_in_keys_and_tags(cache: NearCache) -> None:
    key = analytics.Daily(user="a:b *", date="20250806")
    fill(cache, key)
    cache.drop_tags(["analytics/user:a%3Ab%20%2A"])
    assert cache.lookup(key, 1.0) is None


def test_the_tag_of_any_value_drops_entries_of_every_value(cache: NearCache) -> None:
    dated, undated = "maintenance:cleanup_report:date:20250806", "maintenance:system_health"
    fill(cache, dated, undated)
    cache.drop_tags(["maintenance/date:*"])
    assert cache.lookup(dated, 1.0) is None
    assert cache.lookup(undated, 1.0) is not None


def test_extra_tags_of_the_value_drop_it(cache: NearCache) -> None:
    assert keep(cache, asked(cache), extra_tags={"content": "c 1"})
    cache.drop_tags(["analytics/content:c1"])
    assert cache.lookup(KEY, 1.0) is not None
    cache.drop_tags(["analytics/content:c%201"])
    assert cache.lookup(KEY, 1.0) is None


def test_an_extra_tag_the_domain_does_not_declare_is_refused(cache: NearCache) -> None:
    assert not keep(cache, asked(cache, PROFILE), extra_tags={"content": "c1"})
    assert (cache.statistics.refused, cache.statistics.entries) == (1, 0)


def test_a_flush_drops_all_but_the_lease(cache: NearCache) -> None:
    fill(cache, KEY, PROFILE)
    inflight = asked(cache)
    cache.flush()
    assert cache.lookup(KEY, 1.0) is cache.lookup(PROFILE, 1.0) is None
    assert not keep(cache, inflight)
    assert keep(cache, asked(cache))


def test_a_lost_stream_leaves_nothing(cache: NearCache) -> None:
    fill(cache, KEY)
    inflight = asked(cache)
    cache.disconnect()
    assert cache.lookup(KEY, 1.0) is None
    assert cache.begin_read(KEY, 1.0) is None
    cache.extend(3.0, 1.0)
    assert not keep(cache, inflight)
    assert cache.lookup(KEY, 1.0) is None


def test_new_rules_drop_all_and_void_marks_of_the_old_ones(cache: NearCache) -> None:
    fill(cache, KEY)
    inflight = asked(cache)
    cache.configure({"psychology": POLICIES["psychology"]})
    cache.extend(3.0, 1.0)
    assert cache.lookup(KEY, 1.0) is None
    assert cache.begin_read(KEY, 1.0) is None
    assert not keep(cache, inflight)
    assert keep(cache, asked(cache, PROFILE))


def test_a_mark_counts_once(cache: NearCache) -> None:
    read = asked(cache)
    assert keep(cache, read)
    cache.drop_keys([KEY])
    assert not keep(cache, read)
    cache.release(read)
    released = asked(cache)
    cache.release(released)
    cache.release(released)
    assert not keep(cache, released)
    assert cache.statistics.pending_reads == 0


def test_marks_do_not_pile_up(cache: NearCache) -> None:
    for number in range(50):
        reads = [asked(cache, f"{KEY}{number}"[:-1]) for _ in range(3)]
        assert keep(cache, reads[0])
        cache.drop_keys([reads[0].key])
        assert not keep(cache, reads[1])
        cache.release(reads[2])
    assert cache.statistics.pending_reads == 0
    assert not cache._reads._by_key


def test_a_later_reply_takes_the_place_of_an_earlier_one(cache: NearCache) -> None:
    assert keep(cache, asked(cache), b"long value", extra_tags={"content": "c1"})
    assert keep(cache, asked(cache), b"short")
    found = cache.lookup(KEY, 1.0)
    assert found is not None
    assert found.payload == b"short"
    assert (cache.statistics.entries, cache.statistics.bytes) == (1, found.size_bytes)
    cache.drop_tags(["analytics/content:c1"])
    assert cache.lookup(KEY, 1.0) is not None


def test_hits_are_counted_per_domain_and_given_out_once(cache: NearCache) -> None:
    fill(cache, KEY, PROFILE)
    for _ in range(5):
        cache.lookup(KEY, 1.0)
    cache.lookup(PROFILE, 1.0)
    cache.lookup(OTHER, 1.0)
    cache.lookup(KEY, 3.0)
    cache.configure(POLICIES)
    assert cache.take_hits() == {"analytics": 5, "psychology": 1}
    assert cache.take_hits() == {}
    cache.extend(3.0, 1.0)
    fill(cache, KEY)
    cache.lookup(KEY, 1.0)
    cache.restore_hits({"analytics": 5})
    assert cache.take_hits() == {"analytics": 6}


def test_what_is_too_large_is_refused() -> None:
    cache = ready(max_bytes=80_000)
    assert keep(cache, asked(cache), bytes(7_000))
    assert not keep(cache, asked(cache), bytes(10_000))
    found = cache.lookup(KEY, 1.0)
    assert found is not None
    assert len(found.payload) == 7_000
    assert cache.statistics.refused == 1


@pytest.mark.parametrize("bounds", [(0, 1), (1, 0), (-1, 1)])
def test_it_is_bounded(bounds: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="bounded"):
        NearCache(max_entries=bounds[0], max_bytes=bounds[1])


@pytest.mark.parametrize("extra", [{}, {"content": "c1"}])
@pytest.mark.parametrize("same_date", [True, False])
def test_what_is_reckoned_is_what_it_takes(extra: dict[str, str], same_date: bool) -> None:
    entries = 3_000
    cache = ready(max_entries=entries, max_bytes=1_000_000_000)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for number in range(2 * entries):  # the second half has the first half's ghosts
            date = "20250806" if same_date else f"{number:08d}"
            read = asked(cache, f"analytics:daily:user:user{number:05d}:date:{date}")
            assert keep(cache, read, bytes(512), extra_tags=extra)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    figures = cache.statistics
    assert figures.entries == entries
    assert 0.7 < (after - before) / figures.bytes < 1.1
