"""One kept value, what it is reckoned to take in memory, and which of them carry a tag."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final, TypeAlias

KEPT_BYTES: Final = 250
"""Reckoned memory of an entry besides payload, key and tags: objects, its places in the maps and queues, its ghost."""
TAG_BYTES: Final = 280
"""Reckoned memory of an entry's place under one tag, as if it were the only entry there."""

CountHit: TypeAlias = Callable[[], int]


class Carriers(set["Kept"]):
    """The entries that carry one tag."""

    __slots__ = ("tag",)

    tag: str


class Kept:
    """A value in the near cache. Callers read `payload` and `negative`; the rest is the near cache's own."""

    __slots__ = ("carriers", "count_hit", "expires_s", "key", "negative", "payload", "size_bytes", "uses")

    def __init__(
        self, key: str, payload: bytes, negative: bool, expires_s: float, tags: int, count_hit: CountHit
    ) -> None:
        self.key: Final = key
        self.payload: Final = payload
        """The value as it came; what is decoded from it belongs to the caller."""
        self.negative: Final = negative
        """Whether this remembers that there is nothing."""
        self.expires_s: Final = expires_s
        """On the caller's clock: from then on it is not served."""
        self.count_hit: Final = count_hit
        self.size_bytes: Final = size_bytes(key, payload, tags)
        self.uses = 0
        """Hits since it was last looked at for eviction, up to `eviction.MAX_USES`."""
        self.carriers: tuple[Carriers, ...] = ()


def size_bytes(key: str, payload: bytes, tags: int) -> int:
    """What an entry counts against ``max_bytes``: its payload, its key, and a round sum for the rest."""
    return len(payload) + len(key) + KEPT_BYTES + tags * TAG_BYTES


class TagIndex:
    """Entries by tag; a tag without entries takes no room. Not thread-safe."""

    __slots__ = ("_carriers",)

    def __init__(self) -> None:
        self._carriers: dict[str, Carriers] = {}

    def __len__(self) -> int:
        return len(self._carriers)

    def add(self, kept: Kept, tags: Iterable[str]) -> None:
        """Index an entry."""
        carriers = self._carriers
        carried: list[Carriers] = []
        for tag in tags:
            under = carriers.get(tag)
            if under is None:
                under = carriers[tag] = Carriers((kept,))
                under.tag = tag
            else:
                under.add(kept)
            carried.append(under)
        kept.carriers = tuple(carried)

    def remove(self, kept: Kept) -> None:
        """Forget an entry."""
        for under in kept.carriers:
            under.discard(kept)
            if not under:
                del self._carriers[under.tag]
        kept.carriers = ()

    def of(self, tag: str) -> list[Kept]:
        """The entries that carry a tag."""
        return list(self._carriers.get(tag, ()))

    def clear(self) -> None:
        """Forget all."""
        for under in self._carriers.values():
            under.clear()  # entry and set refer to each other: not to be left to the garbage collector
        self._carriers.clear()
