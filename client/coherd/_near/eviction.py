"""Which entries go when there is no room: S3-FIFO (Yang et al., "FIFO queues are all you need", SOSP 2023), ADR 10.

New entries wait in a small queue; those used there at least twice go on to the main queue, the others are evicted and
remembered for a while by a hash of their key. One that comes back while it is remembered goes to the main queue at
once. So a single pass over many keys costs the main queue nothing. A hit changes only a number of the entry, which any
thread may do: a count lost to a race costs nothing but a little foresight.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from coherd._near.kept import Kept

MAX_USES: Final = 3
"""Hits that are counted of an entry; each is worth one more round in the main queue."""
_PROMOTED_OVER: Final = 1
_SMALL_SHARE: Final = 10
"""The small queue has a tenth of the room."""


class EvictionQueue:
    """Entries in their two queues, bounded in number and bytes. Not thread-safe, but for `Kept.uses`."""

    __slots__ = (
        "_ghosts",
        "_main",
        "_max_bytes",
        "_max_entries",
        "_small",
        "_small_bytes",
        "_small_max_bytes",
        "_small_max_entries",
        "bytes",
    )

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes
        self._small_max_entries = max_entries / _SMALL_SHARE
        self._small_max_bytes = max_bytes / _SMALL_SHARE
        self._small: OrderedDict[str, Kept] = OrderedDict()
        self._main: OrderedDict[str, Kept] = OrderedDict()
        self._ghosts: OrderedDict[int, None] = OrderedDict()
        self._small_bytes = 0
        self.bytes = 0
        """Sum of `Kept.size_bytes`."""

    def __len__(self) -> int:
        return len(self._small) + len(self._main)

    def admit(self, kept: Kept, now_s: float, *, proven: bool = False) -> list[Kept]:
        """Add an entry whose key is not in yet, and which is no larger than ``max_bytes``.

        Args:
            kept: the entry.
            now_s: not later than now; what has expired by then goes first.
            proven: it takes the place of one in the main queue.

        Returns:
            What had to leave for it.
        """
        evicted: list[Kept] = []
        entries, most_bytes = len(self), self._max_bytes - kept.size_bytes
        while entries and (entries >= self._max_entries or self.bytes > most_bytes):
            evicted.append(self._evict(now_s, entries))
            entries -= 1
        ghost = hash(kept.key)
        if ghost in self._ghosts:
            del self._ghosts[ghost]
            proven = True
        self.bytes += kept.size_bytes
        if proven:
            self._main[kept.key] = kept
        else:
            self._small[kept.key] = kept
            self._small_bytes += kept.size_bytes
        return evicted

    def grow(self, kept: Kept, by_bytes: int, now_s: float) -> list[Kept]:
        """An entry that is in takes more memory; what had to leave for it, perhaps the entry itself."""
        kept.size_bytes += by_bytes
        self.bytes += by_bytes
        if kept.key in self._small:
            self._small_bytes += by_bytes
        evicted: list[Kept] = []
        while self.bytes > self._max_bytes and len(self):
            evicted.append(self._evict(now_s, len(self)))
        return evicted

    def remove(self, kept: Kept) -> bool:
        """Take an entry out; whether it was in the main queue."""
        self.bytes -= kept.size_bytes
        if self._small.pop(kept.key, None) is not None:
            self._small_bytes -= kept.size_bytes
            return False
        del self._main[kept.key]
        return True

    def clear(self) -> None:
        """Forget all, and what was remembered of those evicted."""
        self._small.clear()
        self._main.clear()
        self._ghosts.clear()
        self._small_bytes = self.bytes = 0

    def _evict(self, now_s: float, entries: int) -> Kept:
        """Take out one of so many entries, at least one."""
        small, main = self._small, self._main
        if len(small) >= self._small_max_entries or self._small_bytes >= self._small_max_bytes or not main:
            while small:
                key, kept = small.popitem(last=False)
                self._small_bytes -= kept.size_bytes
                if kept.uses > _PROMOTED_OVER and now_s < kept.expires_s:
                    kept.uses = 0
                    main[key] = kept
                    continue
                self._remember(hash(key), entries)
                self.bytes -= kept.size_bytes
                return kept
        while True:
            key, kept = main.popitem(last=False)
            if kept.uses and now_s < kept.expires_s:
                kept.uses -= 1
                main[key] = kept
                continue
            self.bytes -= kept.size_bytes
            return kept

    def _remember(self, ghost: int, entries: int) -> None:
        """Remember one that was evicted: of as many as there are entries."""
        ghosts = self._ghosts
        ghosts[ghost] = None
        while len(ghosts) > entries:
            ghosts.popitem(last=False)
