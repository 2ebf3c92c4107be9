"""Look-ups of other threads need no lock: what was dropped before one began is never found, and no hit is lost."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest

from coherd._near import Kept, NearCache, NearCacheMode, NearDomain

KEY: Final = "analytics:daily:user:u1:date:20250806"
LEASE_S: Final = 3.0
READERS: Final = 3
VERSIONS: Final = 2_000
MET_EVERY: Final = 10
"""Of so many versions one stays until a reader has counted a hit."""


@pytest.fixture(autouse=True)
def _threads_take_turns_often() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


class Shared:
    """What writer and readers share. The writer raises `floor` once the older version is surely not to be served."""

    def __init__(self) -> None:
        self.cache = ready()
        self.now_s = 0.0
        self.floor = 0
        self.done = False

    def keep(self, version: int) -> None:
        read = self.cache.begin_read(KEY, self.now_s)
        assert read is not None
        payload = str(version).encode()
        assert self.cache.keep(read, payload=payload, negative=False, expires_s=1e12, extra_tags={})


class Reader(threading.Thread):
    """Looks up until the writer is done."""

    def __init__(self, shared: Shared) -> None:
        super().__init__()
        self.shared = shared
        self.hits = 0
        self.versions: set[bytes] = set()
        self.stale: tuple[bytes, int] | None = None

    def run(self) -> None:
        shared, lookup = self.shared, self.shared.cache.lookup
        while not shared.done:
            floor = shared.floor  # before the clock, as the clock is read before the look-up
            found = lookup(KEY, shared.now_s)
            if found is not None:
                self.hits += 1
                self.versions.add(found.payload)
                if int(found.payload) < floor:
                    self.stale = found.payload, floor


def ready(cache_type: type[NearCache] = NearCache) -> NearCache:
    cache = cache_type(max_entries=10, max_bytes=1_000_000)
    cache.configure({"analytics": NearDomain(NearCacheMode.PUSH, frozenset({"user"}))})
    cache.extend(LEASE_S, 0.0)
    return cache


def by_key(shared: Shared) -> None:
    shared.cache.drop_keys([KEY])


def by_tag(shared: Shared) -> None:
    shared.cache.drop_tags(["analytics/user:u1"])


def by_flush(shared: Shared) -> None:
    shared.cache.flush()


def by_lapse(shared: Shared) -> None:
    """Nobody says so: the lease ends, and only the next extension flushes."""
    shared.now_s += LEASE_S


def by_reconnect(shared: Shared) -> None:
    shared.cache.disconnect()


@pytest.mark.parametrize("drop", [by_key, by_tag, by_flush, by_lapse, by_reconnect])
def test_nothing_that_was_dropped_before_a_look_up_began_is_found(drop: Callable[[Shared], None]) -> None:
    shared = Shared()
    readers = [Reader(shared) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    taken = 0
    try:
        for version in range(VERSIONS):
            met = _hits(readers)
            shared.keep(version)
            while version % MET_EVERY == 0 and _hits(readers) == met:
                pass  # the others run: a thread that loops gives way
            drop(shared)
            shared.floor = version + 1
            shared.cache.extend(shared.now_s + LEASE_S, shared.now_s)
            if version % 100 == 0:
                taken += shared.cache.take_hits().get("analytics", 0)
    finally:
        shared.done = True
        for reader in readers:
            reader.join()
    assert [reader.stale for reader in readers] == [None] * READERS
    assert taken + shared.cache.take_hits().get("analytics", 0) == _hits(readers)
    met_versions = len(set().union(*(reader.versions for reader in readers)))
    assert met_versions > VERSIONS // MET_EVERY // 2, "void: too few look-ups met an entry"


def _hits(readers: list[Reader]) -> int:
    return sum(reader.hits for reader in readers)


class Interrupted(dict[str, Kept]):
    """The entries of a cache whose reader is interrupted right after it has fetched one."""

    meanwhile: Callable[[], None]

    def get(self, key: str, default: Any = None) -> Any:
        found = super().get(key, default)
        self.meanwhile()
        return found


def test_a_lease_that_is_renewed_during_a_look_up_does_not_serve_what_the_old_one_covered() -> None:
    cache = ready()
    read = cache.begin_read(KEY, 0.0)
    assert read is not None
    assert cache.keep(read, payload=b"old", negative=False, expires_s=9.0, extra_tags={})
    entries = Interrupted(cache._entries)
    entries.meanwhile = lambda: cache.extend(9.0, LEASE_S)
    cache._entries = entries  # type: ignore[misc]
    assert cache.lookup(KEY, LEASE_S) is None


def test_whoever_interrupts_an_extension_finds_the_flush_done_before_the_lease_is_there() -> None:
    seen: list[bool] = []

    class Watched(NearCache):
        __slots__ = ()

        def flush(self) -> None:
            seen.append(self.lookup(KEY, 5.0) is not None)
            super().flush()

    cache = ready(Watched)
    read = cache.begin_read(KEY, 0.0)
    assert read is not None
    assert cache.keep(read, payload=b"old", negative=False, expires_s=9.0, extra_tags={})
    cache.extend(9.0, LEASE_S)
    assert seen[-1] is False


def test_hits_of_many_threads_are_all_counted_while_they_are_taken() -> None:
    shared = Shared()
    shared.keep(0)
    readers = [Reader(shared) for _ in range(READERS)]
    for reader in readers:
        reader.start()
    taken = sum(shared.cache.take_hits().get("analytics", 0) for _ in range(20_000))
    shared.done = True
    for reader in readers:
        reader.join()
    assert taken + shared.cache.take_hits().get("analytics", 0) == _hits(readers) > 0
