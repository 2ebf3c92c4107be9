"""Caches of a bounded number of entries, each with its policy."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Final, Protocol

import cachebox
import cachetools
import moka_py
import theine

from coherd._near import NearCache, NearCacheMode, NearDomain
from coherd._near.eviction import MAX_USES, EvictionQueue
from coherd._near.kept import Kept

FOR_EVER_S: Final = 1e9
VALUE: Final = b"value"


class Candidate(Protocol):
    """A cache read through: `get`, and `put` after a miss."""

    def get(self, key: str) -> object:
        """What is there, or None."""
        ...

    def put(self, key: str) -> None:
        """Store a value under a key that is not there."""
        ...


class OurNearCache:
    """The near cache as it is used: lease, marks, tags, hits counted."""

    def __init__(self, entries: int) -> None:
        self._cache = NearCache(max_entries=entries, max_bytes=1 << 40)
        self._cache.configure({"analytics": NearDomain(NearCacheMode.PUSH, frozenset({"user", "date"}))})
        self._cache.extend(FOR_EVER_S, 0.0)

    def get(self, key: str) -> object:
        return self._cache.lookup(key, 1.0)

    def put(self, key: str) -> None:
        mark = self._cache.mark(key, 1.0)
        assert mark is not None
        self._cache.keep(mark, payload=VALUE, negative=False, expires_s=FOR_EVER_S, extra_tags={})


class OurQueue:
    """Its S3-FIFO queues with a dict, nothing else."""

    def __init__(self, entries: int) -> None:
        self._queue = EvictionQueue(entries, 1 << 40)
        self._entries: dict[str, Kept] = {}

    def get(self, key: str) -> object:
        kept = self._entries.get(key)
        if kept is not None and kept.uses < MAX_USES:
            kept.uses += 1
        return kept

    def put(self, key: str) -> None:
        kept = Kept(key, VALUE, False, FOR_EVER_S, 0, int)
        for evicted in self._queue.admit(kept, 1.0):
            del self._entries[evicted.key]
        self._entries[key] = kept


class Lru:
    """The least recently used one goes; in the standard library."""

    def __init__(self, entries: int) -> None:
        self._max = entries
        self._entries: OrderedDict[str, bytes] = OrderedDict()

    def get(self, key: str) -> object:
        value = self._entries.get(key)
        if value is not None:
            self._entries.move_to_end(key)
        return value

    def put(self, key: str) -> None:
        self._entries[key] = VALUE
        if len(self._entries) > self._max:
            self._entries.popitem(last=False)


class _Node:
    __slots__ = ("key", "newer", "older", "used")

    def __init__(self, key: str) -> None:
        self.key = key
        self.used = False
        self.newer = self.older = self


class Sieve:
    """SIEVE (Zhang et al., NSDI 2024): one queue, and a hand that passes over what was used since it last came by."""

    def __init__(self, entries: int) -> None:
        self._max = entries
        self._entries: dict[str, _Node] = {}
        self._ends = self._hand = _Node("")

    def get(self, key: str) -> object:
        node = self._entries.get(key)
        if node is not None:
            node.used = True
        return node

    def put(self, key: str) -> None:
        if len(self._entries) >= self._max:
            self._evict()
        node = self._entries[key] = _Node(key)
        ends = self._ends
        node.older, node.newer = ends.older, ends  # older than the ends is the newest
        ends.older.newer = node
        ends.older = node

    def _evict(self) -> None:
        node = self._hand
        while node is self._ends or node.used:
            node.used = False
            node = node.newer
        self._hand = node.newer
        node.older.newer, node.newer.older = node.newer, node.older
        del self._entries[node.key]


class Theine:
    """W-TinyLFU."""

    def __init__(self, entries: int) -> None:
        self._cache: theine.Cache[str, bytes] = theine.Cache(entries)

    def get(self, key: str) -> object:
        return self._cache.get(key)[0]

    def put(self, key: str) -> None:
        self._cache.set(key, VALUE)


class Moka:
    """TinyLFU, in Rust."""

    def __init__(self, entries: int) -> None:
        cache: moka_py.Moka[str, bytes] = moka_py.Moka(entries)
        self.get = cache.get
        self._set = cache.set

    def put(self, key: str) -> None:
        self._set(key, VALUE)


class Cachebox:
    """LRU or LFU, in Rust."""

    def __init__(self, cache: cachebox.LRUCache[str, bytes] | cachebox.LFUCache[str, bytes]) -> None:
        self.get = cache.get
        self._insert = cache.insert

    def put(self, key: str) -> None:
        self._insert(key, VALUE)


class Cachetools:
    """LRU, in Python."""

    def __init__(self, entries: int) -> None:
        self._cache: cachetools.LRUCache[str, bytes] = cachetools.LRUCache(entries)
        self.get = self._cache.get

    def put(self, key: str) -> None:
        self._cache[key] = VALUE


CANDIDATES: Final[dict[str, Callable[[int], Candidate]]] = {
    "near cache (S3-FIFO)": OurNearCache,
    "its queues alone": OurQueue,
    "SIEVE, plain Python": Sieve,
    "LRU, OrderedDict": Lru,
    "cachetools LRU": Cachetools,
    "cachebox LRU": lambda entries: Cachebox(cachebox.LRUCache(entries)),
    "cachebox LFU": lambda entries: Cachebox(cachebox.LFUCache(entries)),
    "theine W-TinyLFU": Theine,
    "moka-py TinyLFU": Moka,
}
