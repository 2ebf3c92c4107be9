"""Which entries carry a tag."""

from __future__ import annotations

from collections.abc import Iterable

from coherd._near.kept import Carriers, Kept


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
        found: list[Carriers] = []
        for tag in tags:
            under = carriers.get(tag)
            if under is None:
                under = carriers[tag] = Carriers((kept,))
                under.tag = tag
            else:
                under.add(kept)
            found.append(under)
        kept.carriers = tuple(found)

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
