"""The census: a background walk over the keyspace that counts keys and bytes per domain and resource, and unlinks dead
entries [unlink-by-bytes].

One server process at a time walks, by a claim in the store; it notes how far it got, so another goes on where it died.
The walk is paced: after each page it rests for a multiple of what the page took, which grows with the load. The
multiple falls while a walk lasts: many keys are not counted at the pace of few. Figures carry when they were counted.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import structlog

from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.contract.reasons import Refusal
from coherd_server.core.census_note import (
    FINISHED,
    CensusResult,
    DamagedNote,
    LaterNote,
    Progress,
    Tally,
    decode_progress,
    decode_result,
)
from coherd_server.core.get import Reader
from coherd_server.core.store import Store, StoreUnavailable
from coherd_server.core.validity import State

T = TypeVar("T")
_log = structlog.get_logger("coherd.census")
PAGE_KEYS: Final = 200
NOTE_EVERY_S: Final = 1.0
"""How often a walk notes how far it got, and extends its claim."""
LONGEST_REST_S: Final = 5.0
"""However busy the store is: the claim must not lapse while its holder rests."""
MOST_REST: Final = 9.0
"""Times a page's time that a walk rests after it when it begins: it takes at most a tenth of one core."""
LEAST_REST: Final = 1.0
"""The same of a walk that has lasted its whole interval: at most half of one core."""
CLAIM_MS: Final = 15_000
NOTE_MS: Final = 24 * 3_600_000
_TASK: Final = "census"
_RESULT: Final = "census:result"
_PROGRESS: Final = "census:progress"


def rest_share(lasted: float) -> float:
    """Times a page's time to rest after it.

    Args:
        lasted: how long the walk has lasted, in intervals; >= 0.
    """
    return max(LEAST_REST, MOST_REST - (MOST_REST - LEAST_REST) * lasted)


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
        self._told: dict[str, bytes] = {}

    async def run(self, interval_ms: int) -> None:
        """Walk once per ``interval_ms``, for ever."""
        while True:
            try:
                if await self._store.claim(_TASK, self._token, CLAIM_MS):
                    await self.walk(interval_ms)
            except StoreUnavailable:
                _log.debug("census interrupted: the store does not answer")
            await asyncio.sleep(interval_ms / 1000)

    async def walk(self, interval_ms: int) -> CensusResult | None:
        """One pass over every primary; None if the claim was lost on the way.

        Args:
            interval_ms: > 0; what the pass is to last about, where the keys and the load allow.

        Raises:
            StoreUnavailable: the store does not answer; what was done so far is noted there.
        """
        progress = await self._recall(_PROGRESS, decode_progress) or Progress()
        tally = progress.tally
        began_s = noted_s = time.monotonic()
        for primary in self._store.primaries():
            if primary in progress.done:
                continue
            cursor = progress.at.get(primary, 0)
            while True:
                started = time.monotonic()
                cursor, names = await self._store.scan(primary, cursor, PAGE_KEYS)
                await self._count(names, tally)
                if not cursor:
                    break
                progress.at = {primary: cursor}
                now_s = time.monotonic()
                if now_s - noted_s > NOTE_EVERY_S:
                    noted_s = now_s
                    await self._store.note(_PROGRESS, progress.encode(), CLAIM_MS * 4)
                    if not await self._store.claim(_TASK, self._token, CLAIM_MS):
                        return None
                rest_s = (now_s - started) * rest_share((now_s - began_s) * 1000 / interval_ms)
                await asyncio.sleep(min(rest_s, LONGEST_REST_S))
            progress.done.append(primary)
        result = CensusResult.of(tally, self._wall_ms())
        await self._store.note(_RESULT, result.encode(), NOTE_MS)
        await self._store.note(_PROGRESS, FINISHED, CLAIM_MS)
        return result

    async def result(self) -> CensusResult | None:
        """What the last whole pass of any server process counted; None where there is none, or its note is damaged.

        Raises:
            StoreUnavailable: the store does not answer.
        """
        return await self._recall(_RESULT, decode_result)

    async def _recall(self, name: str, decode: Callable[[bytes], T]) -> T | None:
        """What a note holds. A damaged one counts as none, and is logged once: the next walk writes it anew."""
        note = await self._store.recall(name)
        if note is None:
            return None
        try:
            return decode(note)
        except LaterNote:
            return None
        except DamagedNote as damage:
            if self._told.get(name) != note:
                self._told[name] = note
                _log.warning("a note of the census is damaged and counts as none", note=name, damage=str(damage))
            return None

    async def _count(self, names: Sequence[str], tally: Tally) -> None:
        keys: list[ResolvedKey] = []
        for name in names:
            try:
                keys.append(self._catalog.resolve_uncached(name))
            except Refusal:
                continue
        if not keys:
            return
        tags = list({tag: None for key in keys for _, tag in key.tags})
        values, _ = await self._store.read([key.text for key in keys], ())
        _, epochs = await self._store.read((), tags)  # after the values [later-epochs]: each entry is judged once
        dead: list[tuple[str, bytes]] = []
        for lookup in await self._reader.classify(keys, values, dict(zip(tags, epochs, strict=True))):
            state = lookup.validity.state
            if state in (State.ABSENT, State.FOREIGN, State.LATER):
                continue
            tally.add(lookup.key, len(lookup.key.text) + len(lookup.validity.raw))
            if state is State.INVALIDATED:
                dead.append((lookup.key.text, lookup.validity.head))
        if dead:
            await self._store.unlink_dead(dead)
            tally.unlinked += len(dead)
