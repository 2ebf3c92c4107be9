"""Counts are stored whole, whoever asks for them and gives up (docs/operate/metrics.md)."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, cast

import pytest

from coherd.catalog.load import builtin_catalog
from coherd_server.core.counters import Counters
from coherd_server.core.metrics import Reporter

Counts = Mapping[str, Mapping[str, int]]


class SlowStore:
    """Keeps counts once it is let go on."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.kept = 0
        self.fails = False
        self.under_way = 0

    async def count(self, increments: Counts) -> Counts:
        self.under_way += 1
        await self.go_on.wait()
        self.under_way -= 1
        if self.fails:
            return increments
        self.kept += sum(counts["sets"] for counts in increments.values())
        return {}


@pytest.fixture
def store() -> SlowStore:
    return SlowStore()


@pytest.fixture
def counters() -> Counters:
    return Counters()


@pytest.fixture
def reporter(store: SlowStore, counters: Counters) -> Reporter:
    return Reporter(cast(Any, store), counters, cast(Any, None), builtin_catalog())


async def test_counts_that_another_flush_has_taken_are_waited_for(
    reporter: Reporter, counters: Counters, store: SlowStore
) -> None:
    counters.counts["content"]["sets"] += 1
    first = asyncio.create_task(reporter.flush())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert store.under_way == 1
    counters.counts["content"]["sets"] += 1
    others = [asyncio.create_task(reporter.flush()) for _ in range(3)]
    await asyncio.sleep(0.01)
    assert not any(task.done() for task in (first, *others))
    store.go_on.set()
    for task in others:
        await task
        assert store.kept == 2
    await first


async def test_who_gives_up_loses_nothing(reporter: Reporter, counters: Counters, store: SlowStore) -> None:
    counters.counts["content"]["sets"] += 5
    given_up = asyncio.create_task(reporter.flush())
    await asyncio.sleep(0.01)
    assert store.under_way == 1
    given_up.cancel()
    await asyncio.sleep(0)
    assert given_up.cancelled()
    store.go_on.set()
    await reporter.flush()
    assert store.kept == 5


async def test_what_was_not_stored_is_kept(reporter: Reporter, counters: Counters, store: SlowStore) -> None:
    counters.counts["content"]["sets"] += 5
    store.go_on.set()
    store.fails = True
    await reporter.flush()
    counters.counts["content"]["sets"] += 2
    store.fails = False
    await reporter.flush()
    assert store.kept == 7
