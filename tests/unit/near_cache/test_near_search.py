"""Exhaustive search of small worlds: the near cache keeps its promises, and each rule left out is caught."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from near_world import Budget, search

from coherd._near import Kept, NearCache, PendingRead
from coherd._rpc import session_near


class Sound(NearCache):
    """As it is."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__(max_entries=4, max_bytes=100_000)


class NoMark(Sound):
    """A reply is kept whatever happened since it was asked for."""

    __slots__ = ()

    def keep(
        self,
        read: PendingRead,
        *,
        payload: bytes,
        negative: bool,
        expires_s: float,
        extra_tags: Mapping[str, str],
    ) -> bool:
        return super().keep(
            PendingRead(read.key, read.domain, self._reads.begin(read.key, read.domain, 0.0).key_reads, 0.0),  # type: ignore[arg-type]
            payload=payload,
            negative=negative,
            expires_s=expires_s,
            extra_tags=extra_tags,
        )


class ExtraTagsNotIndexed(Sound):
    """Only the tags of the key are indexed."""

    __slots__ = ()

    def keep(
        self,
        read: PendingRead,
        *,
        payload: bytes,
        negative: bool,
        expires_s: float,
        extra_tags: Mapping[str, str],
    ) -> bool:
        return super().keep(read, payload=payload, negative=negative, expires_s=expires_s, extra_tags={})


class LeaseIgnored(Sound):
    """What is there is served."""

    __slots__ = ()

    def lookup(self, key: str, now_s: float) -> Kept | None:
        return self._entries.get(key)


class NoFlushOnLapse(Sound):
    """A lease that lapsed goes on as if it had not."""

    __slots__ = ()

    def extend(self, until_s: float, now_s: float) -> None:
        self._lease_until_s = until_s


class FlushLeavesMarks(Sound):
    """A flush drops what is kept, not what is in flight."""

    __slots__ = ()

    def flush(self) -> None:
        before = {name: domain.revision for name, domain in self._domains.items()}
        super().flush()
        for name, revision in before.items():
            self._domains[name].revision = revision


class TagLeavesMarks(Sound):
    """A tag drops what is kept, not what is in flight."""

    __slots__ = ()

    def drop_tags(self, tags: Iterable[str]) -> None:
        before = {name: domain.revision for name, domain in self._domains.items()}
        super().drop_tags(tags)
        for name, revision in before.items():
            self._domains[name].revision = revision


class KeyLeavesMarks(Sound):
    """A key is dropped where it is kept, not where it is in flight."""

    __slots__ = ()

    def drop_keys(self, keys: Iterable[str]) -> None:
        for key in keys:
            if (kept := self._entries.get(key)) is not None:
                self._forget(kept)


class KeyLeavesEntry(Sound):
    """A key's pending reads are voided, what is kept of it stays."""

    __slots__ = ()

    def drop_keys(self, keys: Iterable[str]) -> None:
        for key in keys:
            self._reads.touch(key)


@pytest.mark.parametrize("kind", ["key", "tag", "extra", "domain"])
def test_no_order_of_events_breaks_a_promise(kind: str) -> None:
    found = search(Sound, (kind,), Budget(changes=2 if kind == "extra" else 1))
    assert found.violation is None, found
    assert found.states > 3_000


@pytest.mark.parametrize(
    ("mutant", "kind", "broken"),
    [
        (NoMark, "key", "OWN"),
        (NoMark, "tag", "OWN"),
        (TagLeavesMarks, "tag", "OWN"),
        (TagLeavesMarks, "domain", "OWN"),
        (KeyLeavesMarks, "key", "OWN"),
        (KeyLeavesEntry, "key", "OWN"),
        (ExtraTagsNotIndexed, "extra", "STUCK"),
        (LeaseIgnored, "tag", "LAPSED"),
        (NoFlushOnLapse, "tag", "STUCK"),
        (FlushLeavesMarks, "key", "STUCK"),
    ],
)
def test_a_rule_left_out_is_caught(mutant: type[Sound], kind: str, broken: str) -> None:
    found = search(mutant, (kind,), Budget())
    assert found.violation is not None, f"{mutant.__name__} survived {found.states} states"
    assert found.violation.startswith(broken), found


def test_the_servers_word_ignored_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = session_near.keep_one

    def ignoring(near: NearCache, read: PendingRead, hit: Any, *, serving: bool) -> None:
        hit.near_cacheable = True
        whole(near, read, hit, serving=serving)

    monkeypatch.setattr(session_near, "keep_one", ignoring)
    found = search(Sound, ("extra",), Budget())
    assert found.violation is not None, f"survived {found.states} states"
    assert found.violation.startswith("STUCK"), found
