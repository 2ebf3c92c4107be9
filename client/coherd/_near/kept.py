"""One kept value, what it is reckoned to take in memory, and which of them carry a tag."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, TypeAlias

from coherd._near.decoded import Decoded, Decoder, decode

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
    """A value in the near cache. Callers read `payload`, `negative`, `copied` and `shared`, and call `decode`; the rest
    is the near cache's own.

    Threads: any may call `decode`, without a lock; of two at once one result stays.
    """

    __slots__ = (
        "_growth",
        "carriers",
        "copied",
        "count_hit",
        "counted_bytes",
        "expires_s",
        "key",
        "negative",
        "payload",
        "shared",
        "size_bytes",
        "uses",
    )

    def __init__(
        self, key: str, payload: bytes, negative: bool, expires_s: float, tags: int, count_hit: CountHit, growth: Growth
    ) -> None:
        self.key: Final = key
        self.payload: Final = payload
        """The value as it came."""
        self.negative: Final = negative
        """Whether this remembers that there is nothing."""
        self.expires_s: Final = expires_s
        """On the caller's clock: from then on it is not served."""
        self.count_hit: Final = count_hit
        self.size_bytes = size_bytes(key, payload, tags)
        """Reckoned memory, with that of decoded values as far as it is counted."""
        self.counted_bytes = 0
        """Of them, those of decoded values."""
        self.uses = 0
        """Hits since it was last looked at for eviction, up to `eviction.MAX_USES`."""
        self.carriers: tuple[Carriers, ...] = ()
        self.copied: Decoded | None = None
        """What is given to callers who may alter what they get."""
        self.shared: Decoded | None = None
        """What is given to callers who share it. Its value is not the one that others get copies of."""
        self._growth: Final = growth

    def decode(self, codec: Decoder, shared: bool) -> Any:
        """The value, decoded anew and then kept for the next hits; None if this remembers that there is nothing.

        Args:
            codec: of the caller's key.
            shared: the caller takes the one value that all get who say so, and alters nothing in it; False: what it
                alters is seen by nobody.

        Raises:
            ValueError: whatever ``codec.decode`` raises for a payload that is not of its type.
        """
        if self.negative:
            return None
        value = codec.decode(self.payload)
        decoded = decode(codec, self.payload, value, shared, self._growth.room_bytes(self.size_bytes))
        if decoded is None:
            return value
        if shared:
            self.shared = decoded
        else:
            self.copied = decoded
        self._growth.add(self, decoded.memory_bytes)
        return value if decoded.copy is None else decoded.copy()

    @property
    def decoded_bytes(self) -> int:
        """Reckoned memory of the decoded values now."""
        return sum(each.memory_bytes for each in (self.copied, self.shared) if each is not None)


def size_bytes(key: str, payload: bytes, tags: int) -> int:
    """What an entry counts against ``max_bytes``: its payload, its key, and a round sum for the rest. What is decoded
    from the payload counts once there is a hit (`Growth`)."""
    return len(payload) + len(key) + KEPT_BYTES + tags * TAG_BYTES


class Growth:
    """Entries whose decoded values are not counted yet: hits decode in any thread, and one thread counts.

    What is decoded without being counted is bounded (`most_bytes`); above that hits decode anew each time.

    Args:
        most_bytes: of one entry, and of all that is not counted; two threads at once may exceed it by one value.
    """

    __slots__ = ("_bytes", "_entries", "_most_bytes")

    def __init__(self, most_bytes: int) -> None:
        self._most_bytes = most_bytes
        self._entries: deque[Kept] = deque()
        self._bytes = 0

    def room_bytes(self, entry_bytes: int) -> int:
        """How large a decoded value of an entry may be to be kept."""
        return min(self._most_bytes - self._bytes, self._most_bytes - entry_bytes)

    def add(self, kept: Kept, memory_bytes: int) -> None:
        """A value was decoded and is kept."""
        self._bytes += memory_bytes
        self._entries.append(kept)

    def __bool__(self) -> bool:
        return bool(self._entries)

    def clear(self) -> None:
        """All entries were dropped."""
        self._bytes = 0
        self._entries.clear()

    def take(self) -> Iterator[Kept]:
        """The entries that grew since they were last taken, some perhaps twice. For the one thread that counts."""
        self._bytes = 0
        while self._entries:
            yield self._entries.popleft()


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
