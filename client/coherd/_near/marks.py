"""Marks: what is being asked for, and whether anything touched it meanwhile [mark-before-asking]."""

from __future__ import annotations

from coherd._near.domains import DomainState


class Asked:
    """All open marks of one key that nothing named by key has touched; a touched one is replaced by the next mark."""

    __slots__ = ("open", "touched")

    def __init__(self) -> None:
        self.open = 0
        self.touched = False


class Mark:
    """Set on a key before it is asked for; presented, once, with the reply. Opaque to callers."""

    __slots__ = ("asked", "asked_at_s", "domain", "key", "revision")

    def __init__(self, key: str, domain: DomainState, asked: Asked, asked_at_s: float) -> None:
        self.key = key
        self.domain = domain
        self.revision = domain.revision
        self.asked: Asked | None = asked
        """None once it was kept or released."""
        self.asked_at_s = asked_at_s

    @property
    def void(self) -> bool:
        """Whether the reply must not be kept: the key was touched, or any tag of its domain, or all was dropped."""
        return self.asked is None or self.asked.touched or self.revision != self.domain.revision


class Marks:
    """The open marks by key. Not thread-safe."""

    __slots__ = ("_asked", "open")

    def __init__(self) -> None:
        self._asked: dict[str, Asked] = {}
        self.open = 0
        """How many marks are neither kept nor released."""

    def add(self, key: str, domain: DomainState, now_s: float) -> Mark:
        """A new mark."""
        asked = self._asked.get(key)
        if asked is None:
            asked = self._asked[key] = Asked()
        asked.open += 1
        self.open += 1
        return Mark(key, domain, asked, now_s)

    def touch(self, key: str) -> None:
        """Void the marks of a key."""
        asked = self._asked.pop(key, None)
        if asked is not None:
            asked.touched = True

    def close(self, mark: Mark) -> None:
        """End a mark; again does nothing."""
        asked = mark.asked
        if asked is None:
            return
        mark.asked = None
        self.open -= 1
        asked.open -= 1
        if not asked.open and self._asked.get(mark.key) is asked:
            del self._asked[mark.key]
