"""One replay against a server: keys of a namespace of its own, counts of the server before and after, cleaning up."""

from __future__ import annotations

import asyncio
import enum
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from itertools import islice
from time import monotonic
from typing import Any, Final, NamedTuple

from coherd.cli.replay.engine import MISS, Outcome, Replay
from coherd.cli.replay.trace import Expected, expected
from coherd.client import CacheClient
from coherd.contract.limits import MAX_SELECTORS
from coherd.domains import analytics
from coherd.errors import CacheError

KEPT_NAMESPACE: Final = "replay-kept"
"""Of runs that keep their entries: the next such run finds them."""
SETTLE_S: Final = 3.0
"""How long counters of other replicas may take to arrive."""
_LAG_S: Final = 1.1
"""Another replica's counts of the last second may be missing."""
_DELETE_CALLERS: Final = 8


class ServerCounts(NamedTuple):
    """What the server counted in the domain of the run."""

    hits: int
    """Near-cache hits, as clients report them, included."""
    misses: int
    sets: int
    near_hits: int = 0

    def since(self, before: ServerCounts) -> ServerCounts:
        """The difference to an earlier reading."""
        return ServerCounts(*(now - then for now, then in zip(self, before, strict=True)))

    def agrees_with(self, outcome: Outcome) -> bool:
        """Whether the client counted the same; which of its hits were near it cannot tell."""
        return self[:3] == counts_of(outcome)[:3]


class Way(enum.Enum):
    """How a replay reads and writes."""

    NEAR = "session and near cache"
    SESSION = "session"
    UNARY = "unary calls"

    @property
    def options(self) -> dict[str, Any]:
        """Arguments of `CacheClient.connect`."""
        return {"near_cache": self is Way.NEAR, "sessions": self is not Way.UNARY}


@dataclass(frozen=True, slots=True)
class Settings:
    """How to replay."""

    workers: int = 32
    """Requests in flight. Range: 1..4096."""
    load_ms: float = 5.0
    """How long a load takes after a miss."""
    ttl: timedelta | None = None
    """TTL of stored values; None: the catalog's."""
    keep: bool = False
    """Leave the entries, under `KEPT_NAMESPACE`; the run may then start warm."""
    max_errors: int = 100
    """Give up after so many failed requests."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a run showed."""

    outcome: Outcome
    expected: Expected | None
    """None if the cache may have been warm."""
    server: ServerCounts
    """What the server counted meanwhile."""
    namespace: str
    removed: int | None
    """Entries removed at the end; None if they were kept."""

    @property
    def as_expected(self) -> bool | None:
        """Whether hits and misses are those that follow from the trace."""
        if self.expected is None:
            return None
        return (self.outcome.hits, self.outcome.misses) == (self.expected.hits, self.expected.distinct)

    @property
    def server_agrees(self) -> bool:
        """Whether the server counted what the client counted."""
        return self.server.agrees_with(self.outcome)

    @property
    def passed(self) -> bool:
        """No error, and no count that disagrees."""
        clean = not self.outcome.errors and not self.outcome.wrong_values
        return clean and self.server_agrees and self.as_expected is not False


class TypedCache:
    """The engine's cache: `analytics.ContentEngagement` through the typed client."""

    def __init__(self, cache: CacheClient, namespace: str, ttl: timedelta | None) -> None:
        self._cache = cache
        self._namespace = namespace
        self._ttl = ttl

    def key(self, item: int | str) -> analytics.ContentEngagement:
        """The key of an object.

        Raises:
            Refusal: its id cannot stand in a key.
        """
        return analytics.ContentEngagement(content=f"{self._namespace}-{item}")

    async def get(self, item: int | str) -> object:
        """As `ReplayCache.get`."""
        return await self._cache.get(self.key(item), default=MISS)

    async def set(self, item: int | str, value: Mapping[str, Any]) -> None:
        """As `ReplayCache.set`."""
        await self._cache.set(self.key(item), value, ttl=self._ttl)


def sized_value(item: int | str, size_bytes: int) -> dict[str, str]:
    """A JSON object of an object's own whose text has this many bytes, or as few as it needs."""
    value = {"item": str(item), "body": ""}
    overhead = len(f'{{"item":"{item}","body":""}}'.encode())
    value["body"] = "x" * max(0, size_bytes - overhead)
    return value


async def replay_trace(
    cache: CacheClient,
    ids: Sequence[int | str],
    settings: Settings,
    value_bytes: Callable[[int | str], int],
    on_progress: Callable[[Outcome], None] = lambda outcome: None,
) -> Report:
    """Replay a trace and compare the counts; entries of the run are removed however it ends, unless they are kept.

    Raises:
        CacheError: the server cannot be asked for its counts.
        TooManyErrors: the run was given up.
        Refusal: an id cannot stand in a key.
    """
    namespace = KEPT_NAMESPACE if settings.keep else f"replay-{secrets.token_hex(4)}"
    typed = TypedCache(cache, namespace, settings.ttl)
    before = await _settled_counts(cache)
    engine = Replay(
        typed,
        value_of=lambda item: sized_value(item, value_bytes(item)),
        load_ms=settings.load_ms,
        failures=(CacheError,),
        max_errors=settings.max_errors,
    )
    removed: int | None = None
    try:
        outcome = await engine.run(ids, settings.workers, lambda: on_progress(engine.outcome))
        server = await _agreeing_counts(cache, before, outcome)
    finally:
        if not settings.keep:
            removed = await _remove(cache, [typed.key(item) for item in engine.stored])
    return Report(outcome, None if settings.keep else expected(ids), server, namespace, removed)


def counts_of(outcome: Outcome) -> ServerCounts:
    """What the client counted, as the server counts."""
    return ServerCounts(outcome.hits, outcome.misses, outcome.sets)


async def _counts(cache: CacheClient) -> ServerCounts:
    domain = analytics.ContentEngagement.domain
    m = (await cache.metrics(domain))[domain]
    return ServerCounts(m.hits + m.stale_hits + m.near_cache_hits, m.misses, m.sets, m.near_cache_hits)


async def _settled_counts(cache: CacheClient) -> ServerCounts:
    """Counts that no earlier activity still changes; a server that has counted nothing yet needs no wait."""
    counts = await _counts(cache)
    end_s = monotonic() + SETTLE_S
    while any(counts) and monotonic() < end_s:
        await asyncio.sleep(_LAG_S)
        again = await _counts(cache)
        if again == counts:
            break
        counts = again
    return counts


async def _agreeing_counts(cache: CacheClient, before: ServerCounts, outcome: Outcome) -> ServerCounts:
    """What the server counted since; asked again until it agrees or `SETTLE_S` is over."""
    end_s = monotonic() + SETTLE_S
    while True:
        counted = (await _counts(cache)).since(before)
        if counted.agrees_with(outcome) or monotonic() >= end_s:
            return counted
        await asyncio.sleep(0.1)


async def _remove(cache: CacheClient, keys: Iterable[analytics.ContentEngagement]) -> int:
    """Delete entries, a hundred a call; how many were there. What cannot be deleted now ends with its TTL."""
    rest = iter(keys)
    removed = 0

    async def work() -> None:
        nonlocal removed
        while batch := list(islice(rest, MAX_SELECTORS)):
            try:
                answer = await cache.invalidate(*batch)
            except CacheError:
                continue
            removed += answer.deleted_keys

    await asyncio.gather(*(work() for _ in range(_DELETE_CALLERS)))
    return removed
