"""Reads that are under way, and whether anything touched their keys meanwhile [mark-before-asking]."""

from __future__ import annotations

from coherd._near.domains import DomainState


class KeyReads:
    """The pending reads of one key since it was last touched."""

    __slots__ = ("open", "touched")

    def __init__(self) -> None:
        self.open = 0
        """How many have not ended."""
        self.touched = False
        """Whether something named by key changed it: then their replies are void, and the next read begins anew."""


class PendingRead:
    """Begun before a key is asked for; presented, once, with the reply. Opaque to callers."""

    __slots__ = ("begun_s", "domain", "key", "key_reads", "revision")

    def __init__(self, key: str, domain: DomainState, key_reads: KeyReads, begun_s: float) -> None:
        self.key = key
        self.domain = domain
        self.revision = domain.revision
        self.key_reads: KeyReads | None = key_reads
        """None once it has ended."""
        self.begun_s = begun_s

    @property
    def void(self) -> bool:
        """Whether the reply must not be kept: the key was touched, or any tag of its domain, or all was dropped."""
        return self.key_reads is None or self.key_reads.touched or self.revision != self.domain.revision


class PendingReads:
    """The pending reads by key. Not thread-safe."""

    __slots__ = ("_by_key", "open")

    def __init__(self) -> None:
        self._by_key: dict[str, KeyReads] = {}
        self.open = 0
        """How many have not ended."""

    def begin(self, key: str, domain: DomainState, now_s: float) -> PendingRead:
        """A new one."""
        key_reads = self._by_key.get(key)
        if key_reads is None:
            key_reads = self._by_key[key] = KeyReads()
        key_reads.open += 1
        self.open += 1
        return PendingRead(key, domain, key_reads, now_s)

    def touch(self, key: str) -> None:
        """Void those of a key."""
        key_reads = self._by_key.pop(key, None)
        if key_reads is not None:
            key_reads.touched = True

    def end(self, read: PendingRead) -> None:
        """End one; again does nothing."""
        key_reads = read.key_reads
        if key_reads is None:
            return
        read.key_reads = None
        self.open -= 1
        key_reads.open -= 1
        if not key_reads.open and self._by_key.get(read.key) is key_reads:
            del self._by_key[read.key]
