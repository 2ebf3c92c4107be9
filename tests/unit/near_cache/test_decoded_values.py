"""A value is decoded once and given to many: nobody sees what another alters, and what is kept is counted."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Final

import pytest
from google.protobuf.struct_pb2 import Struct

from coherd import OpenKey
from coherd._calls.near_hits import near_value
from coherd._near import Kept, NearCache, NearCacheMode, NearDomain
from coherd.codec import JSON, Codec, JsonCodec, MessageCodec
from coherd.domains import analytics
from coherd.errors import UndecodableValue

KEY: Final = analytics.Daily(user="u1", date="20250806")
NESTED: Final = {
    "words": 1,
    "sessions": [{"start": "a", "tags": ["x"]}, {"start": "b", "tags": []}],
    "mood": {"v": 0.5},
}


class SharedKey(analytics.Daily):
    """Of a resource that says shared."""

    __slots__ = ()
    shared = True


class StructKey(analytics.Daily):
    """The same text, and values of another type."""

    __slots__ = ()
    codec: Codec[Any] = MessageCodec(Struct)  # type: ignore[misc]


class Counting(JsonCodec[Any]):
    """Counts what it decodes."""

    def __init__(self) -> None:
        self.decoded = 0

    def decode(self, payload: bytes) -> Any:
        self.decoded += 1
        return super().decode(payload)


def ready(*, max_entries: int = 100, max_bytes: int = 1_000_000) -> NearCache:
    near = NearCache(max_entries=max_entries, max_bytes=max_bytes)
    near.configure({"analytics": NearDomain(NearCacheMode.PUSH, frozenset({"user", "date"}))})
    near.extend(100.0, 0.0)
    return near


def keep(near: NearCache, key: str, value: object, codec: Any = JSON) -> Kept:
    read = near.begin_read(key, 0.0)
    assert read is not None
    assert near.keep(read, payload=codec.encode(value), negative=False, expires_s=50.0, extra_tags={})
    return found(near, key)


def found(near: NearCache, key: str) -> Kept:
    kept = near.lookup(key, 1.0)
    assert kept is not None
    return kept


def spoil(value: Any) -> None:
    """Alter everything in a document."""
    if isinstance(value, dict):
        for each in list(value.values()):
            spoil(each)
        value.clear()
        value["spoilt"] = True
    elif isinstance(value, list):
        for each in value:
            spoil(each)
        value.append("spoilt")


@pytest.mark.parametrize("value", [NESTED, [NESTED, [1, [2]]], {"flat": 1}, [1, 2], [], {}, [{"a": 1}, 2, {"b": []}]])
def test_no_copied_hit_sees_what_another_caller_altered(value: Any) -> None:
    kept = keep(ready(), KEY, value)
    for _ in range(3):
        got = near_value(KEY, kept, None)
        assert got == value
        spoil(got)


def test_no_copied_hit_sees_what_was_altered_after_a_shared_hit_nor_the_other_way_round() -> None:
    kept = keep(ready(), KEY, NESTED)
    spoil(near_value(KEY, kept, True))
    spoil(near_value(KEY, kept, False))
    assert near_value(KEY, kept, False) == NESTED
    assert near_value(KEY, kept, True) != NESTED, "the documented risk"
    other = keep(ready(), KEY, NESTED)
    spoil(near_value(KEY, other, False))
    assert near_value(KEY, other, True) == NESTED


def test_shared_hits_give_one_value_by_the_call_or_by_the_resource() -> None:
    kept = keep(ready(), KEY, NESTED)
    one = near_value(KEY, kept, True)
    assert near_value(KEY, kept, True) is one
    assert near_value(KEY, kept, False) is not one
    key = SharedKey(user="u1", date="20250806")
    assert near_value(key, kept, None) is one
    assert near_value(key, kept, False) is not one


@pytest.mark.parametrize("value", ["text", 7, 2.5, True, None])
def test_what_nobody_can_alter_is_always_the_same_value(value: Any) -> None:
    codec = Counting()
    kept = keep(ready(), KEY, value)
    key: Any = type("Key", (analytics.Daily,), {"__slots__": (), "codec": codec})(user="u1", date="20250806")
    first = near_value(key, kept, None)
    assert first == value
    assert near_value(key, kept, None) is first
    assert codec.decoded == 1


def test_messages_are_made_anew_unless_they_are_shared() -> None:
    key = StructKey(user="u1", date="20250806")
    value = Struct()
    value["a"] = 1
    kept = keep(ready(), key, value, MessageCodec(Struct))
    one: Any = near_value(key, kept, None)
    one["a"] = 2
    assert near_value(key, kept, None) == value
    shared = near_value(key, kept, True)
    assert shared == value
    assert near_value(key, kept, True) is shared
    assert near_value(key, kept, None) is not shared


def test_what_another_codec_decodes_to_is_kept_apart() -> None:
    mine: Any = type("Mine", (analytics.Daily,), {"__slots__": (), "codec": Counting()})(user="u1", date="20250806")
    kept = keep(ready(), KEY, NESTED)
    for shared in (False, True):
        assert near_value(KEY, kept, shared) == NESTED
        assert near_value(mine, kept, shared) == NESTED
        assert near_value(OpenKey.parse(KEY), kept, shared) == NESTED
        with pytest.raises(UndecodableValue, match="analytics:daily"):
            near_value(StructKey(user="u1", date="20250806"), kept, shared)
    assert mine.codec.decoded == 2


def test_a_document_is_decoded_once() -> None:
    key: Any = type("Mine", (analytics.Daily,), {"__slots__": (), "codec": Counting()})(user="u1", date="20250806")
    kept = keep(ready(), key, NESTED)
    for _ in range(5):
        near_value(key, kept, None)
    assert key.codec.decoded == 1


def test_a_remembered_nothing_is_none_shared_or_not() -> None:
    near = ready()
    read = near.begin_read(KEY, 0.0)
    assert read is not None
    assert near.keep(read, payload=b"", negative=True, expires_s=50.0, extra_tags={})
    for shared in (False, True):
        assert near_value(KEY, found(near, KEY), shared) is None


# What drops an entry drops what was decoded from it.

DROPS: Final[dict[str, Callable[[NearCache], None]]] = {
    "key": lambda near: near.drop_keys([KEY]),
    "tag": lambda near: near.drop_tags(["analytics/user:u1"]),
    "flush": lambda near: near.flush(),
    "stream lost": lambda near: near.disconnect(),
    "lapse": lambda near: near.extend(300.0, 200.0),
    "rules": lambda near: near.configure({}),
    "another value": lambda near: (keep(near, KEY, "new"), None)[1],
}


@pytest.mark.parametrize("name", DROPS)
def test_what_drops_an_entry_drops_its_decoded_values(name: str) -> None:
    near = ready()
    kept = keep(near, KEY, NESTED)
    near_value(KEY, kept, True)
    near_value(KEY, kept, False)
    DROPS[name](near)
    again = near.lookup(KEY, 1.0)
    assert again is None or near_value(KEY, again, True) == near_value(KEY, again, False) == "new"
    del again
    near.extend(101.0, 1.0)
    assert near.statistics.bytes == sum(entry.size_bytes for entry in near._entries.values())
    assert not near._growth


# Room.


def test_decoded_values_count_and_evict() -> None:
    near = ready(max_bytes=64_000)
    keys = [analytics.Daily(user=f"u{number}", date="20250806") for number in range(40)]
    for key in keys:
        keep(near, key, NESTED)
    entries, plain = near.statistics.entries, near.statistics.bytes
    for _ in range(3):
        for key in keys:
            if (kept := near.lookup(key, 1.0)) is not None:
                near_value(key, kept, None)
        near.extend(101.0, 1.0)
        assert near.statistics.bytes <= 64_000
    assert near.statistics.bytes > plain
    assert near.statistics.entries < entries
    assert near.statistics.bytes == sum(entry.size_bytes for entry in near._entries.values())
    near.flush()
    assert near.statistics.bytes == 0


def test_what_is_not_counted_yet_is_bounded() -> None:
    near = ready(max_bytes=160_000)
    keys = [analytics.Daily(user=f"u{number}", date="20250806") for number in range(60)]
    for key in keys:
        keep(near, key, NESTED)
        assert near_value(key, found(near, key), None) == NESTED
    for key in keys:  # nobody counts meanwhile
        if (kept := near.lookup(key, 1.0)) is not None:
            assert near_value(key, kept, True) == NESTED
    held = sum(entry.decoded_bytes - entry.counted_bytes for entry in near._entries.values())
    assert 0 < held <= 160_000 / 8


def test_a_document_too_large_to_be_kept_decoded_is_decoded_for_each() -> None:
    near = ready(max_bytes=80_000)
    large = [{} for _ in range(400)]
    kept = keep(near, KEY, large)
    one = near_value(KEY, kept, None)
    assert one == large
    spoil(one)
    assert near_value(KEY, kept, None) == large
    assert kept.decoded_bytes < 1_000
    assert near_value(KEY, kept, True) == large
    assert kept.shared is None


def test_a_large_document_of_equal_parts_is_counted_as_what_it_takes() -> None:
    near = ready(max_bytes=10_000_000)
    kept = keep(near, KEY, [{"word": "a", "n": number} for number in range(1_000)])
    before = near.statistics.bytes
    near_value(KEY, kept, None)
    near.extend(101.0, 1.0)
    assert near.statistics.bytes > before + 1_000 * 184, "a thousand dicts"


def test_threads_that_hit_while_all_is_dropped_get_whole_values_and_nothing_is_counted_twice() -> None:
    near = ready(max_bytes=200_000)
    done = threading.Event()
    wrong: list[Any] = []
    hits = [0] * 3

    def hit(number: int) -> None:
        while not done.is_set():
            kept = near.lookup(KEY, 1.0)
            if kept is None:
                continue
            value = near_value(KEY, kept, False)
            if value != NESTED:
                wrong.append(value)
                return
            spoil(value)
            hits[number] += 1

    threads = [threading.Thread(target=hit, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(2_000):
            keep(near, KEY, NESTED)
            before = sum(hits)
            while number % 10 == 0 and sum(hits) == before and not wrong:
                pass
            (near.flush if number % 2 else lambda: near.drop_keys([KEY]))()
            near.extend(100.0, 1.0)
            assert near.statistics.bytes == 0
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert wrong == []
    assert min(hits) > 0
