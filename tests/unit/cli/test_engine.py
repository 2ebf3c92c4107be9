"""The replay engine over a cache in memory: counts are exact whatever the interleaving."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coherd.cli.replay.engine import MISS, Outcome, Replay, TooManyErrors
from coherd.cli.replay.trace import Expected, expected


class Broken(Exception):
    """What the cache in memory fails with."""


class MemoryCache:
    """Answers after a random number of turns of the event loop."""

    def __init__(self, seed: int = 0) -> None:
        self.values: dict[int | str, Mapping[str, Any]] = {}
        self.gets = self.sets = 0
        self.fail_gets = self.fail_sets = False
        self._random = random.Random(seed)

    async def _turns(self) -> None:
        for _ in range(self._random.randrange(4)):
            await asyncio.sleep(0)

    async def get(self, item: int | str) -> object:
        await self._turns()
        self.gets += 1
        if self.fail_gets:
            raise Broken
        value = self.values.get(item, MISS)
        await self._turns()
        return value

    async def set(self, item: int | str, value: Mapping[str, Any]) -> None:
        await self._turns()
        if self.fail_sets:
            raise Broken
        self.sets += 1
        self.values[item] = value
        await self._turns()


def replay(cache: MemoryCache, ids: list[Any], workers: int, **options: Any) -> Outcome:
    engine = Replay(cache, value_of=lambda item: {"item": item}, load_ms=0, failures=(Broken,), **options)
    return asyncio.run(engine.run(ids, workers))


def test_expected_counts() -> None:
    assert expected("abacab") == Expected(6, 3)
    assert expected("abacab").hit_ratio == 0.5
    assert expected([]).hit_ratio == 0.0


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 12), max_size=120), st.integers(1, 40), st.integers())
def test_first_occurrences_miss_and_later_ones_hit(ids: list[int], workers: int, seed: int) -> None:
    cache = MemoryCache(seed)
    outcome = replay(cache, ids, workers)
    wanted = expected(ids)
    assert (outcome.requests, outcome.hits, outcome.misses) == (wanted.requests, wanted.hits, wanted.distinct)
    assert outcome.loads == outcome.sets == cache.sets == wanted.distinct
    assert cache.gets == wanted.requests
    assert outcome.hit_ratio == wanted.hit_ratio
    assert not outcome.errors
    assert outcome.gets.quantiles().samples == outcome.whole.quantiles().samples == len(ids)


def test_requests_of_one_object_wait_for_its_load_while_others_go_on() -> None:
    running: list[str] = []

    async def sleep(_: float) -> None:
        running.append("load")
        for _ in range(50):
            await asyncio.sleep(0)

    cache = MemoryCache()
    engine = Replay(cache, value_of=lambda item: {"item": item}, load_ms=1, failures=(Broken,), sleep=sleep)
    outcome = asyncio.run(engine.run([1, 1, 1, 2], 4))
    assert running == ["load", "load"]
    assert (outcome.hits, outcome.misses) == (2, 2)


def test_a_value_that_was_lost_is_loaded_by_one() -> None:
    cache = MemoryCache()

    class Forgetful(MemoryCache):
        async def get(self, item: int | str) -> object:
            if self.gets == 5:
                self.values.clear()
            return await super().get(item)

    cache = Forgetful()
    outcome = replay(cache, [1] * 40, 8)
    assert outcome.hits + outcome.misses == 40
    assert outcome.misses > 1
    assert outcome.loads == outcome.sets == 2


def test_another_objects_value_is_noticed() -> None:
    cache = MemoryCache()
    cache.values[1] = {"item": 2}
    assert replay(cache, [1, 1], 1).wrong_values == 2


def test_failed_gets_and_sets_are_counted_and_do_not_block_others() -> None:
    cache = MemoryCache()
    cache.fail_sets = True
    outcome = replay(cache, [1, 1, 2], 2)
    assert outcome.errors == {"Broken": 3}
    assert (outcome.requests, outcome.misses, outcome.sets) == (3, 3, 0)


def test_too_many_errors_end_the_run() -> None:
    cache = MemoryCache()
    cache.fail_gets = True
    with pytest.raises(TooManyErrors, match="11 requests failed"):
        replay(cache, list(range(1_000)), 4, max_errors=10)
    assert cache.gets < 30


def test_a_defect_is_no_failed_request() -> None:
    class Defective(MemoryCache):
        async def get(self, item: int | str) -> object:
            raise AssertionError("defect")

    with pytest.raises(AssertionError, match="defect"):
        replay(Defective(), [1], 2)
