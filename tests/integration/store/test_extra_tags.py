"""Extra tags when the catalog changes [tags-by-name], and how long their epochs live [epochs-outlive-entries]."""

from __future__ import annotations

import os
from dataclasses import replace

import pytest

from coherd.catalog.catalog import Catalog, ResolvedKey
from coherd.catalog.load import builtin_catalog
from coherd.catalog.overrides import TtlOverride, with_overrides
from coherd.catalog.requests import FillItem, LeaseItem, SetItem
from coherd_server.core.cache import Cache
from coherd_server.core.filling import Filled
from coherd_server.core.get import Lookup, Reader
from coherd_server.core.lease_attempt import Granted, Held
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import PutOutcome
from coherd_server.core.validity import State
from coherd_server.redis.store import RedisStore
from rig.fixtures import Backend
from rig.near import cache_over

KEY = "session:data:id:s1"
EXTRA = {"user": "u1"}
DAY_MS = 86_400_000


@pytest.fixture
async def cache(store: RedisStore) -> Cache:
    return cache_over(store)


def resolved(catalog: Catalog, key: str = KEY) -> ResolvedKey:
    return catalog.resolve(key)


def asking_for_any_user() -> Catalog:
    """The built-in catalog with a named invalidation that lists ``session/user:*``."""
    catalog = builtin_catalog()
    session = replace(catalog.domain("session"), any_tags=frozenset({"user"}))
    return replace(catalog, domains={**catalog.domains, "session": session})


async def state_of(reader: Reader, key: ResolvedKey) -> State:
    [found] = await reader.get([key])
    assert isinstance(found, Lookup)
    return found.validity.state


async def test_an_entry_from_before_the_catalog_asked_for_any_value_is_a_miss(cache: Cache) -> None:
    """It lacks the tag ``session/user:*``, so the invalidation of any user would not reach it [tags-by-name]."""
    before, after = resolved(builtin_catalog()), resolved(asking_for_any_user())
    [done] = await cache.writes.set([SetItem(before, b"v", extra_tags=EXTRA)])
    assert isinstance(done, SetDone)
    assert await state_of(cache.reads, before) is State.FRESH
    assert await state_of(cache.reads, after) is State.INVALIDATED
    [done] = await cache.writes.set([SetItem(after, b"v", extra_tags=EXTRA, only_if_absent=True)])
    assert isinstance(done, SetDone)
    assert done.outcome is PutOutcome.STORED, "a dead entry counts as absent [dead-is-absent]"
    assert await state_of(cache.reads, after) is State.FRESH


async def test_a_lease_from_before_the_catalog_asked_for_any_value_is_not_filled(cache: Cache) -> None:
    before, after = resolved(builtin_catalog()), resolved(asking_for_any_user())
    old, new = os.urandom(16), os.urandom(16)
    overtaken = await cache.leases.lease(LeaseItem(before, old, 60_000, extra_tags=EXTRA))
    assert isinstance(overtaken, Granted)
    assert await cache.fills.fill(FillItem(SetItem(after, b"v"), old, overtaken.grant)) == Filled(False)
    granted = await cache.leases.lease(LeaseItem(after, new, 60_000, extra_tags=EXTRA))
    assert isinstance(granted, Granted)
    renewal = LeaseItem(after, old, 60_000, extra_tags=EXTRA, grant=overtaken.grant)
    assert await cache.leases.renew(renewal) == Held()
    assert await cache.fills.fill(FillItem(SetItem(after, b"v"), new, granted.grant)) == Filled(True, DAY_MS)
    assert await state_of(cache.reads, after) is State.FRESH


async def test_epochs_of_extra_tags_outlive_an_entry_with_a_ttl_over_the_policys(
    backend: Backend, cache: Cache
) -> None:
    """An epoch that ends before the entry costs hits, and whoever makes it anew does not bring the entry back."""
    key, token = resolved(builtin_catalog()), os.urandom(16)
    long_ms = 20 * DAY_MS
    granted = await cache.leases.lease(LeaseItem(key, token, 60_000, extra_tags=EXTRA))
    assert isinstance(granted, Granted)
    fill = FillItem(SetItem(key, b"v", ttl_ms=long_ms), token, granted.grant)
    assert await cache.fills.fill(fill) == Filled(True, long_ms)
    client = backend.client()
    left_ms = client.pttl(f"{backend.prefix}{KEY}")
    assert left_ms > long_ms - 60_000
    for tag in ("session", "session:data", "session/user:u1"):
        assert client.pttl(f"{backend.prefix}coherd:epoch:{tag}") >= left_ms - 1_000, tag


async def test_epochs_of_extra_tags_live_as_long_as_a_load_is_renewed(backend: Backend, cache: Cache) -> None:
    key, token = resolved(with_overrides(builtin_catalog(), {"session": TtlOverride(ttl_ms=1_000)})), os.urandom(16)
    granted = await cache.leases.lease(LeaseItem(key, token, 10_000, extra_tags=EXTRA))
    assert isinstance(granted, Granted)
    assert await cache.leases.renew(LeaseItem(key, token, 60_000, grant=granted.grant)) == granted._replace(
        lease_ms=60_000
    )
    assert backend.client().pttl(f"{backend.prefix}coherd:epoch:session/user:u1") > 55_000
