"""The census: a background walk over the keyspace that counts keys and bytes per domain and resource, and unlinks dead
entries (DESIGN sections 2 and 6, rule 2).

One replica at a time walks, by a claim in the store; it notes how far it got, so another goes on where it died. The
walk is paced: after each page it sleeps a multiple of what the page cost. Figures carry the time they were counted.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson
import structlog

from coherd.contract.catalog import Catalog, ResolvedKey
from coherd.contract.reasons import Refusal
from coherd_server.domain.judge import State
from coherd_server.domain.ports import Store, StoreUnavailable
from coherd_server.domain.reading import Found, Reader

_log = structlog.get_logger("coherd.census")
PAGE_KEYS: Final = 200
REST_SHARE: Final = 9.0
"""Times a page's cost that the walk sleeps after it: it takes at most a tenth of one core."""
CLAIM_MS: Final = 15_000
NOTE_MS: Final = 24 * 3_600_000
_TASK: Final = "census"
_RESULT: Final = "census:result"
_PROGRESS: Final = "census:progress"


@dataclass(slots=True)
class Tally:
    """Counts of one pass: ``domain`` or ``domain:resource`` to keys, and to their size in bytes."""

    keys: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    sizes: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    unlinked: int = 0
    """Dead entries whose bytes were given back."""

    def add(self, key: ResolvedKey, size_bytes: int) -> None:
        """Count one entry."""
        for name in (key.domain.name, f"{key.domain.name}:{key.parts.resource}"):
            self.keys[name] += 1
            self.sizes[name] += size_bytes

    def encode(self, **more: Any) -> bytes:
        """As a note in the store."""
        return orjson.dumps({"keys": dict(self.keys), "sizes": dict(self.sizes), "unlinked": self.unlinked, **more})


@dataclass(frozen=True, slots=True)
class CensusResult:
    """What the last whole pass counted."""

    counted_at_ms: int
    """Unix milliseconds of its end, by the clock of the server that walked."""
    keys: dict[str, int]
    sizes: dict[str, int]
    """Bytes of keys and entries."""
    unlinked: int


def decode_result(note: bytes | None) -> CensusResult | None:
    """The result in a note; None where there is none, or it is not readable."""
    if note is None:
        return None
    try:
        found = orjson.loads(note)
        return CensusResult(found["counted_at_ms"], found["keys"], found["sizes"], found["unlinked"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return None


class Census:
    """Walks now and then, while it has the claim.

    Args:
        store: what is walked.
        reader: of the same store.
        catalog: whose keys are counted.
        wall_ms: the wall clock, unix milliseconds; it decides nothing, the figures carry it.
    """

    def __init__(
        self,
        store: Store,
        reader: Reader,
        catalog: Catalog,
        *,
        wall_ms: Callable[[], int] = lambda: int(time.time() * 1000),
    ) -> None:
        self._store = store
        self._reader = reader
        self._catalog = catalog
        self._wall_ms = wall_ms
        self._token = os.urandom(16)

    async def run(self, interval_ms: int) -> None:
        """Walk once per ``interval_ms``, for ever."""
        while True:
            try:
                if await self._store.claim(_TASK, self._token, CLAIM_MS):
                    await self.walk()
            except StoreUnavailable:
                _log.debug("census interrupted: the store does not answer")
            await asyncio.sleep(interval_ms / 1000)

    async def walk(self) -> CensusResult | None:
        """One pass over every primary; None if the claim was lost on the way.

        Raises:
            StoreUnavailable: the store does not answer; what was done so far is noted there.
        """
        tally, done, at = _resume(await self._store.recall(_PROGRESS))
        for primary in self._store.primaries():
            if primary in done:
                continue
            cursor = at.pop(primary, 0)
            while True:
                started = time.monotonic()
                cursor, names = await self._store.scan(primary, cursor, PAGE_KEYS)
                await self._count(names, tally)
                if not cursor:
                    break
                await self._store.note(_PROGRESS, tally.encode(done=done, at={primary: cursor}), CLAIM_MS * 4)
                if not await self._store.claim(_TASK, self._token, CLAIM_MS):
                    return None
                await asyncio.sleep((time.monotonic() - started) * REST_SHARE)
            done.append(primary)
        result = CensusResult(self._wall_ms(), dict(tally.keys), dict(tally.sizes), tally.unlinked)
        await self._store.note(_RESULT, tally.encode(counted_at_ms=result.counted_at_ms), NOTE_MS)
        await self._store.note(_PROGRESS, b"{}", CLAIM_MS)
        return result

    async def result(self) -> CensusResult | None:
        """What the last whole pass of any replica counted.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        return decode_result(await self._store.recall(_RESULT))

    async def _count(self, names: Sequence[str], tally: Tally) -> None:
        keys: list[ResolvedKey] = []
        for name in names:
            try:
                keys.append(self._catalog.resolve_uncached(name))
            except Refusal:
                continue
        if not keys:
            return
        dead: list[Found] = []
        for found in await self._reader.find(keys):
            state = found.verdict.state
            if state in (State.ABSENT, State.FOREIGN):
                continue
            tally.add(found.key, len(found.key.text) + len(found.verdict.raw))
            if state is State.DEAD:
                dead.append(found)
        if dead:  # rule 4: dead only by epochs read after the value
            again = await self._reader.find([found.key for found in dead])
            unlink = [
                (second.key.text, second.verdict.head)
                for first, second in zip(dead, again, strict=True)
                if second.verdict.state is State.DEAD and second.verdict.head == first.verdict.head
            ]
            await self._store.unlink_dead(unlink)
            tally.unlinked += len(unlink)


def _resume(note: bytes | None) -> tuple[Tally, list[str], dict[str, int]]:
    """Tally, finished primaries and cursors of an interrupted pass; those of a new one where there is none."""
    try:
        found = orjson.loads(note or b"{}")
        tally = Tally(defaultdict(int, found["keys"]), defaultdict(int, found["sizes"]), found["unlinked"])
        return tally, list(found["done"]), dict(found["at"])
    except (orjson.JSONDecodeError, KeyError, TypeError):
        return Tally(), [], {}
