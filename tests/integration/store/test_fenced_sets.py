"""A set that another write fenced off starts over with the stamps it began with [start-time-stamps]."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import pytest

from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import SetItem
from coherd_server.core.counters import Counters
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.set import Writer
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import Put, PutOutcome, StoreUnavailable
from coherd_server.core.validity import State
from coherd_server.redis.store import RedisStore
from rig.fixtures import Backend, Opener
from rig.near import cache_over

KEY = builtin_catalog().resolve("analytics:daily:user:u1:date:20250806")


def writer_over(store: RedisStore) -> Writer:
    return cache_over(store, max_value_bytes=100).writes


async def read(store: RedisStore) -> tuple[State, bytes]:
    [found] = await Reader(store, Counters()).get([KEY])
    assert isinstance(found, Lookup)
    return found.validity.state, found.validity.payload


@pytest.mark.parametrize("tag", ["analytics/user:u1", "analytics"])
async def test_a_set_that_starts_over_never_outlives_an_invalidation_that_came_after_it_began(
    backend: Backend, opener: Opener, monkeypatch: pytest.MonkeyPatch, tag: str
) -> None:
    """Between its stamps and its write another server writes the key, and an invalidation is acknowledged."""
    store, other = await opener(backend.url, backend.prefix), await opener(backend.url, backend.prefix)
    put, outcomes = store.put, []

    async def after_others(puts: Sequence[Put], *told: Any) -> Sequence[PutOutcome | StoreUnavailable]:
        if not outcomes:
            await writer_over(other).set([SetItem(KEY, b"other's")])
            await other.invalidate({tag: 0})
        outcomes.extend(await put(puts, *told))
        return outcomes[-len(puts) :]

    monkeypatch.setattr(store, "put", after_others)
    [done] = await writer_over(store).set([SetItem(KEY, b"from before")])
    assert outcomes == [PutOutcome.FENCED, PutOutcome.STORED], "the test is void: nothing fenced it off"
    assert isinstance(done, SetDone)
    assert await read(other) == (State.INVALIDATED, b"from before")
    await writer_over(other).set([SetItem(KEY, b"after it")])
    assert await read(store) == (State.FRESH, b"after it")


async def test_a_set_that_starts_over_is_good_where_nothing_was_invalidated(
    backend: Backend, opener: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = await opener(backend.url, backend.prefix), await opener(backend.url, backend.prefix)
    put: Callable[..., Awaitable[Sequence[PutOutcome | StoreUnavailable]]] = store.put
    fenced: list[bool] = []

    async def after_others(puts: Sequence[Put], *told: Any) -> Sequence[PutOutcome | StoreUnavailable]:
        if not fenced:
            await writer_over(other).set([SetItem(KEY, b"other's")])
        found = await put(puts, *told)
        fenced.append(PutOutcome.FENCED in found)
        return found

    monkeypatch.setattr(store, "put", after_others)
    await writer_over(store).set([SetItem(KEY, b"mine")])
    assert fenced == [True, False]
    assert await read(other) == (State.FRESH, b"mine")
