"""What each verb does, before every kind of store (docs/use/wire.md)."""

from __future__ import annotations

import pytest

from coherd.v1 import cache_service_pb2 as pb
from rig.calls import parts_key, reason_in, text_key
from rig.stand import SUITE_PREFIX, Stand
from rig.waiting import wait_until

HOUR_MS = 3_600_000


def stats(name: str, days: int = 30) -> str:
    """Key of an analytics resource: TTL 1 h, stale 10 min."""
    return f"analytics:writing_stats:user:{name}:days:{days}d"


def task(name: str) -> str:
    """Key of a celery resource: no tags of its own, no stale time."""
    return f"celery:task_metrics:id:{name}"


def test_set_get_delete(stand: Stand, name: str) -> None:
    caller, key = stand.caller, stats(name)
    assert caller.miss(key) == "ABSENT"
    stored = caller.call("Set", pb.SetRequest(key=text_key(key), value=b"\x00\xffbytes"))
    assert (stored.outcome, stored.ttl_ms) == (pb.SET_OUTCOME_STORED, HOUR_MS)
    hit = caller.get(key).hit
    assert hit.value == b"\x00\xffbytes"
    assert 0 <= hit.age_ms < 10_000
    assert HOUR_MS - 10_000 < hit.remaining_ttl_ms <= HOUR_MS
    assert (hit.stale, hit.negative, hit.HasField("version"), dict(hit.extra_tags)) == (False, False, False, {})
    parts = parts_key("analytics", "writing_stats", ("days", "30d"), ("user", name))
    assert caller.call("Get", pb.GetRequest(key=parts)).hit.value == hit.value, "both forms name one key, in any order"
    assert 0 < stand.redis().pttl(SUITE_PREFIX + key) - HOUR_MS <= 600_000, "lives its TTL and its stale time"
    assert caller.set(key, b"") == "STORED"
    assert caller.value(key) == b"", "an empty message is a value"
    assert caller.delete(key)
    assert not caller.delete(key)
    assert caller.miss(key) == "ABSENT"


def test_open_keys(stand: Stand, name: str) -> None:
    key = parts_key("content", "own_thing", ("user", name), ("part", "a/b:c"), suffix="v 2")
    stand.caller.call("Set", pb.SetRequest(key=key, value=b"open"))
    assert stand.caller.value(f"content:own_thing:user:{name}:part:a/b%3Ac:v%202") == b"open"


def test_a_batch_mixes_domains_and_failures(stand: Stand, name: str) -> None:
    caller = stand.caller
    keys = [stats(name), task(name), f"session:data:id:{name}", f"crisis:user_risk:user:{name}", f"nowhere:x:id:{name}"]
    items = [pb.SetRequest(key=text_key(key), value=key.encode()) for key in keys]
    items[3].ttl_ms = -5
    done = caller.call("BatchSet", pb.BatchSetRequest(items=items)).results
    assert [one.set.outcome for one in done[:3]] == [pb.SET_OUTCOME_STORED] * 3
    assert [outcome.set.ttl_ms for outcome in done[:3]] == [HOUR_MS, 24 * HOUR_MS, 24 * HOUR_MS]
    assert [reason_in(outcome) for outcome in done[3:]] == ["TTL_INVALID", "DOMAIN_UNKNOWN"]
    asked = [*keys, keys[0], stats(name, 7)]
    results = caller.call("BatchGet", pb.BatchGetRequest(keys=map(text_key, asked))).results
    kinds = [one.WhichOneof("result") for one in results]
    assert kinds == ["hit", "hit", "hit", "miss", "error", "hit", "miss"]
    assert [results[index].hit.value.decode() for index in (0, 1, 2, 5)] == [*keys[:3], keys[0]]
    assert not caller.call("BatchGet", pb.BatchGetRequest()).results
    assert not caller.call("BatchSet", pb.BatchSetRequest()).results


def test_a_large_batch_answers_in_order(stand: Stand, name: str) -> None:
    keys = [task(f"{name}{index}") for index in range(2_500)]
    items = [pb.SetRequest(key=text_key(key), value=key.encode(), ttl_ms=20_000) for key in keys]
    done = stand.caller.call("BatchSet", pb.BatchSetRequest(items=items)).results
    assert {one.set.outcome for one in done} == {pb.SET_OUTCOME_STORED}
    results = stand.caller.call("BatchGet", pb.BatchGetRequest(keys=map(text_key, keys))).results
    assert [result.hit.value.decode() for result in results] == keys


def test_only_if_absent(stand: Stand, name: str) -> None:
    caller, key = stand.caller, f"psychology:profile:user:{name}"
    assert caller.set(key, b"first", only_if_absent=True) == "STORED"
    assert caller.set(key, b"second", only_if_absent=True) == "PRESENT"
    assert caller.value(key) == b"first"
    caller.invalidate({"tag": {"identifier": "user", "value": name}})
    assert caller.miss(key) == "INVALIDATED"
    assert caller.set(key, b"third", only_if_absent=True) == "STORED", "a dead entry counts as absent"
    assert caller.value(key) == b"third"
    caller.delete(key)
    assert caller.set(key, b"fourth", only_if_absent=True) == "STORED"


def test_only_if_absent_after_the_ttl(stand: Stand, name: str) -> None:
    caller, key = stand.caller, stats(name)
    caller.set(key, b"old", ttl_ms=100)
    wait_until("it is stale", lambda: caller.get(key, accept_stale=True).hit.stale)
    assert caller.set(key, b"new", only_if_absent=True) == "STORED", "a stale entry counts as absent"
    assert caller.value(key) == b"new"


def test_versions(stand: Stand, name: str) -> None:
    caller, key = stand.caller, stats(name)
    large = 2**63 - 1
    assert caller.set(key, b"five", version=5) == "STORED"
    assert caller.get(key).hit.version == 5
    assert caller.set(key, b"four", version=4) == "OLDER_VERSION"
    assert caller.set(key, b"five again", version=5) == "STORED", "only a lower one is refused"
    assert caller.value(key) == b"five again"
    assert caller.set(key, b"huge", version=large) == "STORED"
    assert caller.set(key, b"nearly", version=large - 1) == "OLDER_VERSION"
    assert caller.get(key).hit.version == large
    assert caller.set(key, b"plain") == "STORED", "a set without a version states that it is current"
    assert not caller.get(key).hit.HasField("version")


def test_versions_outlive_a_delete_and_count_in_dead_entries(stand: Stand, name: str) -> None:
    """[version-tombstone]"""
    caller, key = stand.caller, f"psychology:profile:user:{name}"
    caller.set(key, b"five", version=5)
    assert caller.delete(key)
    assert not caller.delete(key)
    assert caller.miss(key) == "ABSENT"
    assert caller.set(key, b"four", version=4) == "OLDER_VERSION", "the tombstone remembers"
    assert caller.miss(key) == "ABSENT"
    assert not caller.call("Touch", pb.TouchRequest(key=text_key(key))).touched
    assert caller.set(key, b"six", version=6) == "STORED"
    caller.invalidate({"tag": {"identifier": "user", "value": name}})
    assert caller.set(key, b"five", version=5) == "OLDER_VERSION", "the dead entry counts"
    assert caller.miss(key) == "INVALIDATED"
    assert caller.set(key, b"seven", version=7) == "STORED"
    assert caller.value(key) == b"seven"


@pytest.mark.parametrize("fields", [{}, {"version": 6}], ids=["plain", "versioned"])
def test_only_if_absent_over_a_tombstone(stand: Stand, name: str, fields: dict[str, int]) -> None:
    caller, key = stand.caller, stats(name)
    caller.set(key, b"five", version=5)
    caller.delete(key)
    assert caller.set(key, b"older", version=4, only_if_absent=True) == "OLDER_VERSION"
    assert caller.set(key, b"new", only_if_absent=True, **fields) == "STORED"
    assert caller.value(key) == b"new"


def test_negative_entries(stand: Stand, name: str) -> None:
    """[nothing-is-an-entry]"""
    caller, key = stand.caller, f"psychology:profile:user:{name}"
    assert caller.set(key, b"", negative=True, ttl_ms=60_000) == "STORED"
    hit = caller.get(key).hit
    assert (hit.negative, hit.value) == (True, b"")
    assert caller.set(key, b"v", only_if_absent=True) == "PRESENT", "a remembered nothing is an entry"
    caller.invalidate({"named": {"name": "user", "value": name}})
    assert caller.miss(key) == "INVALIDATED"
    assert caller.set(key, b"v") == "STORED"
    assert not caller.get(key).hit.negative


def test_touch(stand: Stand, name: str) -> None:
    """[touch-renews-epochs]"""
    caller, key = stand.caller, stats(name)

    def touch(**fields: int) -> pb.TouchResponse:
        answer: pb.TouchResponse = caller.call("Touch", pb.TouchRequest(key=text_key(key), **fields))
        return answer

    assert not touch().touched
    caller.set(key, b"v", ttl_ms=60_000, version=3, extra_tags={"content": name})
    renewed = touch(ttl_ms=2 * HOUR_MS)
    assert (renewed.touched, renewed.ttl_ms) == (True, 2 * HOUR_MS)
    hit = caller.get(key).hit
    assert HOUR_MS < hit.remaining_ttl_ms <= 2 * HOUR_MS
    assert (hit.value, hit.version, dict(hit.extra_tags)) == (b"v", 3, {"content": name})
    assert stand.redis().pttl(SUITE_PREFIX + key) > 2 * HOUR_MS
    assert stand.redis().pttl(f"{SUITE_PREFIX}coherd:epoch:analytics/content:{name}") > 2 * HOUR_MS
    assert touch().ttl_ms == HOUR_MS, "the default is the catalog's"
    caller.invalidate({"tag": {"domain": "analytics", "identifier": "content", "value": name}})
    assert caller.miss(key) == "INVALIDATED"
    assert not touch().touched, "a dead entry is not revived"
    caller.set(key, b"v", ttl_ms=50)
    wait_until("it is past its TTL", lambda: caller.get(key).HasField("miss"))
    assert not touch().touched, "a stale entry is not renewed"


def test_an_entry_expires(stand: Stand, name: str) -> None:
    caller, key = stand.caller, task(name)
    assert caller.set(key, b"v", ttl_ms=150) == "STORED"
    wait_until("it is gone", lambda: caller.get(key).HasField("miss"))
    assert not caller.get(key, accept_stale=True).HasField("hit"), "celery serves nothing stale"
    wait_until("Redis dropped it", lambda: not stand.redis().exists(SUITE_PREFIX + key))


def test_stale_values_for_those_who_accept_them(stand: Stand, name: str) -> None:
    caller, key = stand.caller, stats(name)
    caller.set(key, b"v", ttl_ms=150)
    wait_until("it is past its TTL", lambda: caller.get(key).HasField("miss"))
    assert caller.miss(key) == "EXPIRED"
    hit = caller.get(key, accept_stale=True).hit
    assert (hit.value, hit.stale) == (b"v", True)
    assert hit.remaining_ttl_ms <= 0
    assert hit.age_ms >= 150
    batch = pb.BatchGetRequest(keys=[text_key(key)], accept_stale=True)
    assert caller.call("BatchGet", batch).results[0].hit.stale
    caller.invalidate({"named": {"name": "user", "value": name}})
    answer = caller.get(key, accept_stale=True)
    assert answer.miss.reason == pb.MISS_REASON_INVALIDATED, "an invalidated entry is never served as stale"
