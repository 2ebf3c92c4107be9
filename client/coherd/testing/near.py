"""What `peek` finds in a fake: what its clients have read, as a near cache would hold it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.message import Message

from coherd._near import Kept as NearKept
from coherd._near.kept import Growth
from coherd.catalog.catalog import Catalog
from coherd.contract.near_cache import NearCacheMode
from coherd.contract.reasons import Refusal
from coherd.testing.counts import Counts
from coherd.testing.memory import Kept, Memory, State
from coherd.v1 import cache_service_pb2 as pb

_ROOM_BYTES: Final = 64 << 20


class NearReads:
    """Entries that were read and have not changed since, of domains that clients may keep near. To be called locked.

    Args:
        catalog: of the keys.
        memory: where entries live.
        counts: near hits are added to them.
    """

    def __init__(self, catalog: Catalog, memory: Memory, counts: Counts) -> None:
        self._catalog = catalog
        self._memory = memory
        self._counts = counts
        self._read: dict[str, tuple[Kept, NearKept]] = {}

    def note(self, request: Message, answer: Message) -> None:
        """A request was answered."""
        for text in _read_by(request, answer):
            resolved = self._catalog.resolve(text)
            kept = self._memory.look(resolved).kept
            if kept is not None and resolved.domain.near_cache is not NearCacheMode.OFF:
                near = NearKept(text, kept.payload, kept.negative, 0.0, 0, int, Growth(_ROOM_BYTES))
                self._read[text] = kept, near

    def lookup(self, text: str) -> NearKept | None:
        """What is held under key text, and counts as a near hit."""
        held = self._read.get(text)
        if held is None:
            return None
        try:
            resolved = self._catalog.resolve(text)
        except Refusal:
            return None
        lookup = self._memory.look(resolved)
        if lookup.kept is not held[0] or lookup.state is not State.FRESH:
            del self._read[text]
            return None
        self._counts.add(resolved.domain.name, "near_cache_hits")
        return held[1]


def _read_by(request: Any, answer: Any) -> Iterable[str]:
    """Texts of the keys whose fresh values an answer brings."""
    if isinstance(request, pb.GetRequest | pb.LeaseRequest):
        return (request.key.text,) if _fresh(answer) else ()
    if isinstance(request, pb.BatchGetRequest):
        return [key.text for key, one in zip(request.keys, answer.results, strict=True) if _fresh(one)]
    return ()


def _fresh(answer: Any) -> bool:
    return bool(answer.HasField("hit")) and not answer.hit.stale
