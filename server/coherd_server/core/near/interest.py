"""Which sessions hold which names, and which names changed lately. Pure; each method is one step."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar

from coherd_server.core.near.change_log import Change


class Holder(Protocol):
    """Who is told of changes: a session."""

    @property
    def keys(self) -> set[str]:
        """Keys it is told of; only `Interest` changes them."""
        ...

    @property
    def tags(self) -> set[str]:
        """Tags it is told of; only `Interest` changes them."""
        ...


H = TypeVar("H", bound=Holder)
Told = Mapping[H, tuple[Sequence[str], Sequence[str]]]
"""Holders, each with the keys and the tags it must hear of."""


class Interest(Generic[H]):
    """The index from names to holders, and beside it the names that changed while a read may have been under way.

    Args:
        recent_names: most keys, and most tags, that are remembered as changed lately.
    """

    def __init__(self, recent_names: int) -> None:
        self._most_recent = recent_names
        self._by_key: dict[str, set[H]] = {}
        self._by_tag: dict[str, set[H]] = {}
        self._recent_keys: dict[str, int] = {}
        self._recent_tags: dict[str, int] = {}
        self.revision = 0
        """Counts what was applied, whatever the log's offsets."""
        self.floor = 1
        """What changed since a read that started at an older revision is not known; before the first join since any."""

    @property
    def names(self) -> int:
        """Keys and tags somebody holds."""
        return len(self._by_key) + len(self._by_tag)

    def note(self, holder: H, key: str, tags: Iterable[str]) -> None:
        """Tell the holder of these from now on."""
        if key not in holder.keys:
            holder.keys.add(key)
            self._by_key.setdefault(key, set()).add(holder)
        for tag in tags:
            if tag not in holder.tags:
                holder.tags.add(tag)
                self._by_tag.setdefault(tag, set()).add(holder)

    def drop(self, holder: H) -> None:
        """Tell the holder of nothing any more."""
        for names, index in ((holder.keys, self._by_key), (holder.tags, self._by_tag)):
            for name in names:
                holders = index[name]
                holders.discard(holder)
                if not holders:
                    del index[name]
            names.clear()

    def has_changed(self, key: str, tags: Iterable[str], started: int) -> bool:
        """Whether a matching change was applied after a revision that is not below `floor`."""
        if self._recent_keys.get(key, 0) > started:
            return True
        recent = self._recent_tags
        return any(recent.get(tag, 0) > started for tag in tags)

    def take(self, changes: Iterable[Change]) -> Told[H]:
        """These changes are applied: whom to tell of what. They hold none of it any more."""
        self.revision += 1
        told: defaultdict[H, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for change in changes:
            for name in change.names:
                text = name[1:]
                if name[0] == "k":
                    _remember(self._recent_keys, text, self.revision)
                    for holder in self._by_key.pop(text, ()):
                        holder.keys.discard(text)
                        told[holder][0].append(text)
                elif name[0] == "t":
                    _remember(self._recent_tags, text, self.revision)
                    for holder in self._by_tag.pop(text, ()):
                        holder.tags.discard(text)
                        told[holder][1].append(text)
        self._trim(self._recent_keys)
        self._trim(self._recent_tags)
        return told

    def forget(self, holders: Iterable[H]) -> None:
        """Nobody of all these holders holds anything any more, and what changed since an older read is not known."""
        self.revision += 1
        self.floor = self.revision
        for names in (self._recent_keys, self._recent_tags, self._by_key, self._by_tag):
            names.clear()
        for holder in holders:
            holder.keys.clear()
            holder.tags.clear()

    def _trim(self, recent: dict[str, int]) -> None:
        while len(recent) > self._most_recent:
            oldest = next(iter(recent))
            self.floor = max(self.floor, recent.pop(oldest))


def _remember(recent: dict[str, int], name: str, revision: int) -> None:
    """The latest at the end, so that the oldest is dropped first."""
    recent.pop(name, None)
    recent[name] = revision
