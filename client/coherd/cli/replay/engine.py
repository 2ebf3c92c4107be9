"""Runs the requests of a trace against a cache with N concurrent workers, as callers of a look-aside cache do: get, on
a miss load (here: wait), then store.

The rule that makes the outcome exact (docs/use/replay.md): as long as an object was never stored in this run, its
requests take turns. Whoever comes first asks, loads and stores; a request that arrives meanwhile waits for it and then
asks. So concurrency never turns one first occurrence into two misses, and each request is exactly one get.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any, Protocol

from coherd.cli.replay.statistics import Latencies

MISS = object()
"""What `ReplayCache.get` answers for a miss."""


class ReplayCache(Protocol):
    """What the engine needs of a cache. Failures are exceptions listed in `Replay.failures`."""

    async def get(self, item: int | str) -> object:
        """The object's value, or `MISS`."""
        ...

    async def set(self, item: int | str, value: Mapping[str, Any]) -> None:
        """Store the object's value."""
        ...


class TooManyErrors(Exception):
    """The run was given up: the last error, as one line."""


@dataclass(slots=True)
class Outcome:
    """What the workers counted."""

    requests: int = 0
    hits: int = 0
    misses: int = 0
    loads: int = 0
    sets: int = 0
    wrong_values: int = 0
    """Hits that returned another object's value (promise P3): always an error."""
    errors: Counter[str] = field(default_factory=Counter)
    """Failed requests, by what failed."""
    elapsed_s: float = 0.0
    gets: Latencies = field(default_factory=Latencies)
    """Of each get."""
    whole: Latencies = field(default_factory=Latencies)
    """Of each request from its start to its value in hand: waiting for its turn, load and set included."""

    @property
    def hit_ratio(self) -> float:
        """Hits of all answered gets, 0..1."""
        answered = self.hits + self.misses
        return self.hits / answered if answered else 0.0

    @property
    def requests_per_s(self) -> float:
        """Requests by wall time."""
        return self.requests / self.elapsed_s if self.elapsed_s else 0.0


class Replay:
    """One run of a trace."""

    def __init__(
        self,
        cache: ReplayCache,
        *,
        value_of: Callable[[int | str], Mapping[str, Any]],
        load_ms: float,
        failures: tuple[type[Exception], ...],
        max_errors: int = 100,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """
        Args:
            cache: what is measured.
            value_of: what the loader of an object returns; compared with every hit.
            load_ms: how long a load takes.
            failures: exceptions of the cache that are counted; others end the run.
            max_errors: give up after so many failed requests.
            sleep: waits seconds; replaced in tests.
        """
        self._cache = cache
        self._value_of = value_of
        self._load_s = load_ms / 1000
        self._failures = failures
        self._max_errors = max_errors
        self._sleep = sleep
        self._turns: dict[int | str, asyncio.Event] = {}
        self.outcome = Outcome()
        self.stored: set[int | str] = set()
        """Objects this run has stored, or found stored."""

    async def run(
        self, ids: Iterable[int | str], workers: int, on_progress: Callable[[], None] = lambda: None
    ) -> Outcome:
        """Replay the requests in order, up to ``workers`` at a time; the outcome is complete when this returns.

        Raises:
            TooManyErrors: more than ``max_errors`` requests failed.
        """
        requests = iter(ids)
        started = perf_counter()
        try:
            async with asyncio.TaskGroup() as group:
                for _ in range(workers):
                    group.create_task(self._work(requests, on_progress))
        except ExceptionGroup as group_error:
            raise group_error.exceptions[0] from None
        finally:
            self.outcome.elapsed_s = perf_counter() - started
        return self.outcome

    async def _work(self, requests: Iterator[int | str], on_progress: Callable[[], None]) -> None:
        for item in requests:
            started = perf_counter()
            try:
                await self._request(item)
            except self._failures as error:
                self._failed(error)
            self.outcome.requests += 1
            self.outcome.whole.add(perf_counter() - started)
            on_progress()

    def _failed(self, error: Exception) -> None:
        errors = self.outcome.errors
        errors[type(error).__name__] += 1
        if errors.total() > self._max_errors:
            raise TooManyErrors(f"{errors.total()} requests failed, the last with: {error}")

    async def _request(self, item: int | str) -> None:
        if item in self.stored:
            if await self._get(item) is MISS:
                await self._load_in_turn(item)
            return
        while (turn := self._turns.get(item)) is not None:
            await turn.wait()
        if item in self.stored:
            if await self._get(item) is MISS:
                await self._load_in_turn(item)
            return
        with self._turn(item):
            if await self._get(item) is MISS:
                await self._load(item)
            else:
                self.stored.add(item)

    async def _load_in_turn(self, item: int | str) -> None:
        """A value of this run was lost (evicted, expired, invalidated): one loads it, others wait for that load."""
        turn = self._turns.get(item)
        if turn is not None:
            await turn.wait()
            return
        with self._turn(item):
            await self._load(item)

    def _turn(self, item: int | str) -> _Turn:
        return _Turn(self._turns, item)

    async def _get(self, item: int | str) -> object:
        started = perf_counter()
        value = await self._cache.get(item)
        self.outcome.gets.add(perf_counter() - started)
        if value is MISS:
            self.outcome.misses += 1
            return MISS
        self.outcome.hits += 1
        if value != self._value_of(item):
            self.outcome.wrong_values += 1
        return value

    async def _load(self, item: int | str) -> None:
        self.outcome.loads += 1
        if self._load_s:
            await self._sleep(self._load_s)
        await self._cache.set(item, self._value_of(item))
        self.outcome.sets += 1
        self.stored.add(item)


class _Turn:
    """While entered, the one request of an object that may ask and load."""

    __slots__ = ("_done", "_item", "_turns")

    def __init__(self, turns: dict[int | str, asyncio.Event], item: int | str) -> None:
        self._turns = turns
        self._item = item
        self._done = asyncio.Event()

    def __enter__(self) -> None:
        self._turns[self._item] = self._done

    def __exit__(self, *_: object) -> None:
        del self._turns[self._item]
        self._done.set()
