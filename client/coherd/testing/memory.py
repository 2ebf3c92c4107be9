"""Entries, epochs and leases in memory, and what they are worth: the rules of the server without a store that can fail.

An epoch is a number that an invalidation raises. Since nothing is ever evicted, restarted or failed over here, a tag
that has none yet simply has epoch 0.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from coherd.catalog.catalog import ResolvedKey
from coherd.contract.keys import decode_value
from coherd.contract.limits import GRANT_BYTES
from coherd.contract.tags import TagRef
from coherd.testing.clock import FakeClock

TOMBSTONE_MS: Final = 60_000
"""How long a deleted entry's item version still counts; as a server's default."""


class State(enum.Enum):
    """What a read finds."""

    FRESH = "fresh"
    STALE = "stale"
    """Past its TTL, within its stale time."""
    ABSENT = "absent"
    """Nothing, or the tombstone of a deleted versioned entry."""
    INVALIDATED = "invalidated"


class Kept(NamedTuple):
    """One stored entry."""

    payload: bytes
    written_at_ms: int
    fresh_until_ms: int
    stale_ms: int
    epochs: tuple[tuple[str, int], ...]
    """Tag and its epoch as they were before the value was loaded."""
    extra: tuple[TagRef, ...] = ()
    version: int | None = None
    negative: bool = False
    tombstone: bool = False
    load_ms: int = 0

    @property
    def ends_at_ms(self) -> int:
        """When it is gone."""
        return self.fresh_until_ms + self.stale_ms

    @property
    def extra_tags(self) -> dict[str, str]:
        """Identifier and decoded value of the extra tags."""
        pairs = (ref.split("=", 1) for ref, _ in self.extra if "=" in ref)
        return {name: decode_value(value) for name, value in pairs}


class Lookup(NamedTuple):
    """The outcome of a read; ``kept`` is None where nothing is stored."""

    state: State
    kept: Kept | None
    age_ms: int = 0
    remaining_ms: int = 0
    """Until no longer fresh; not positive when stale."""


class Lease(NamedTuple):
    """The right to load and fill a key."""

    token: bytes
    grant: bytes
    ends_at_ms: int
    epochs: tuple[tuple[str, int], ...]
    """As they were when it was granted."""
    extra: tuple[TagRef, ...]


class Memory:
    """What a store and the server's rules are together.

    Args:
        clock: gives the time.
        changed: called whenever something changed that somebody might wait for.
    """

    def __init__(self, clock: FakeClock, changed: Callable[[], None]) -> None:
        self._clock = clock
        self._changed = changed
        self._kept: dict[str, Kept] = {}
        self._epochs: dict[str, int] = {}
        self._leases: dict[str, Lease] = {}
        self._grants = itertools.count(1)

    def look(self, key: ResolvedKey) -> Lookup:
        """What is stored under a key and what it is worth now."""
        kept = self._live(key.text)
        if kept is None or kept.tombstone:
            return Lookup(State.ABSENT, kept)
        now_ms = self._clock.now_ms
        age_ms, remaining_ms = max(0, now_ms - kept.written_at_ms), kept.fresh_until_ms - now_ms
        if not self._current(kept.epochs):
            return Lookup(State.INVALIDATED, kept, age_ms, remaining_ms)
        return Lookup(State.FRESH if remaining_ms > 0 else State.STALE, kept, age_ms, remaining_ms)

    def texts(self) -> list[str]:
        """Keys under which an entry is stored, valid or not, in the order they were first set."""
        live = ((text, self._live(text)) for text in list(self._kept))
        return [text for text, kept in live if kept is not None and not kept.tombstone]

    def stamps(self, key: ResolvedKey, extra: Iterable[TagRef]) -> tuple[tuple[str, int], ...]:
        """The tags of an entry and their epochs now."""
        return tuple((tag, self._epochs.get(tag, 0)) for _, tag in (*key.tags, *extra))

    def store(self, key: ResolvedKey, entry: Kept) -> bool:
        """Store an entry and void the key's lease; False, and nothing changed, where a higher version is stored."""
        kept = self._live(key.text)
        if kept is not None and kept.version is not None and entry.version is not None and kept.version > entry.version:
            return False
        self._kept[key.text] = entry
        self._leases.pop(key.text, None)
        self._changed()
        return True

    def remove(self, key: ResolvedKey) -> bool:
        """Remove an entry and void the key's lease; whether one was stored."""
        kept = self._live(key.text)
        self._leases.pop(key.text, None)
        existed = kept is not None and not kept.tombstone
        if kept is not None and existed:
            del self._kept[key.text]
            if kept.version is not None:
                until_ms = self._clock.now_ms + TOMBSTONE_MS
                self._kept[key.text] = Kept(b"", 0, until_ms, 0, (), version=kept.version, tombstone=True)
        self._changed()
        return existed

    def renew(self, key: ResolvedKey, kept: Kept, ttl_ms: int) -> None:
        """Give an entry a new TTL from now."""
        self._kept[key.text] = kept._replace(fresh_until_ms=self._clock.now_ms + ttl_ms)

    def invalidate(self, tags: Sequence[str]) -> None:
        """Give every tag a new epoch."""
        for tag in tags:
            self._epochs[tag] = self._epochs.get(tag, 0) + 1
        self._changed()

    def lease_of(self, key: ResolvedKey) -> Lease | None:
        """The key's lease, if there is one whose epochs are those of now."""
        lease = self._held(key.text)
        return lease if lease is not None and self._current(lease.epochs) else None

    def was_granted(self, key: ResolvedKey, token: bytes) -> bool:
        """Whether the token has the key's lease, current or overtaken."""
        lease = self._held(key.text)
        return lease is not None and lease.token == token

    def grant(self, key: ResolvedKey, token: bytes, lease_ms: int, extra: tuple[TagRef, ...]) -> Lease:
        """Give the key's lease to a token, whoever had it."""
        grant = next(self._grants).to_bytes(GRANT_BYTES)
        lease = Lease(token, grant, self._clock.now_ms + lease_ms, self.stamps(key, extra), extra)
        self._leases[key.text] = lease
        return lease

    def hold(self, key: ResolvedKey, token: bytes, lease_ms: int) -> bool:
        """Let a token's lease live that long from now (0: release it); whether the token held it."""
        lease = self._held(key.text)
        if lease is None or lease.token != token:
            return False
        if lease_ms:
            self._leases[key.text] = lease._replace(ends_at_ms=self._clock.now_ms + lease_ms)
        else:
            self.release(key)
        return True

    def release(self, key: ResolvedKey) -> None:
        """End the key's lease."""
        self._leases.pop(key.text, None)
        self._changed()

    def lease_ends_at_ms(self, key: ResolvedKey) -> int | None:
        """When the key's lease ends unless renewed."""
        lease = self._held(key.text)
        return None if lease is None else lease.ends_at_ms

    def clear(self) -> None:
        """Forget all entries and leases; as a flush of the store, which costs hits and never correctness."""
        self._kept.clear()
        self._leases.clear()
        self._changed()

    def _live(self, text: str) -> Kept | None:
        kept = self._kept.get(text)
        if kept is not None and self._clock.now_ms >= kept.ends_at_ms:
            del self._kept[text]
            return None
        return kept

    def _held(self, text: str) -> Lease | None:
        lease = self._leases.get(text)
        if lease is not None and self._clock.now_ms >= lease.ends_at_ms:
            del self._leases[text]
            return None
        return lease

    def _current(self, epochs: Iterable[tuple[str, int]]) -> bool:
        return all(self._epochs.get(tag, 0) == epoch for tag, epoch in epochs)
