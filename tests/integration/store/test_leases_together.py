"""Leases and fills of many keys: together they take the round trips of one, and each has its own answer."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import FillItem, LeaseItem, SetItem
from coherd_server.core.cache import Cache
from coherd_server.core.failure import FOREIGN_VALUE, UNAVAILABLE, Failure
from coherd_server.core.filling import Filled
from coherd_server.core.get import Lookup
from coherd_server.core.lease_attempt import Granted, Held, LeaseAnswer
from coherd_server.core.store import StoreUnavailable
from coherd_server.redis.connection import Connection
from coherd_server.redis.store import RedisStore
from rig.fixtures import Backend
from rig.near import cache_over

ONE_NODE = pytest.mark.parametrize("backend", ["standalone", "sentinel", "redis7"], indirect=True)
KEYS = [builtin_catalog().resolve(f"analytics:daily:user:u{number}:date:20250806") for number in range(40)]
TOKENS = [os.urandom(16) for _ in KEYS]
LEASE_MS = 60_000
HOUR_MS = 3_600_000


def items(count: int = len(KEYS)) -> list[LeaseItem]:
    return [LeaseItem(key, token, LEASE_MS) for key, token in zip(KEYS[:count], TOKENS, strict=False)]


def fills(answers: Sequence[LeaseAnswer], payload: bytes = b"loaded") -> list[FillItem]:
    """One per lease; with a grant of nobody where none was granted."""
    grants = [answer.grant if isinstance(answer, Granted) else bytes(8) for answer in answers]
    return [
        FillItem(SetItem(key, payload), token, grant) for key, token, grant in zip(KEYS, TOKENS, grants, strict=False)
    ]


@contextmanager
def exchanges(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """How many commands each exchange with a node has that carries a script or a read."""
    seen: list[int] = []
    send = Connection.send

    def counted(self: Connection, commands: Sequence[Sequence[Any]], *args: Any, **options: Any) -> None:
        if any(command[0] in {"MGET", "EVALSHA"} for command in commands):
            seen.append(len(commands))
        send(self, list(commands), *args, **options)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(Connection, "send", counted)
        yield seen


@pytest.fixture
async def cache(store: RedisStore) -> Cache:
    return cache_over(store)


@ONE_NODE
async def test_many_take_the_round_trips_of_one(cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    with exchanges(monkeypatch) as first:
        answers = await cache.leases.lease_many(items())
    assert all(isinstance(answer, Granted) for answer in answers)
    assert len(first) == 3, "value and lease, epochs, grants"
    with exchanges(monkeypatch) as filled:
        assert await cache.fills.fill_many(fills(answers)) == [Filled(True, HOUR_MS)] * len(KEYS)
    assert len(filled) == 1
    with exchanges(monkeypatch) as again:
        answers = await cache.leases.lease_many(items())
    assert all(isinstance(answer, Lookup) for answer in answers)
    assert len(again) == 1
    await cache.changes.delete(KEYS)
    with exchanges(monkeypatch) as known:
        answers = await cache.leases.lease_many(items())
    assert all(isinstance(answer, Granted) for answer in answers)
    assert len(known) == 2, "epochs are known"


async def test_each_has_its_own_answer(backend: Backend, cache: Cache) -> None:
    """A hit, a lease that somebody holds, a foreign value, a bad token, extra tags that cannot be."""
    await cache.writes.set([SetItem(KEYS[0], b"there")])
    assert isinstance(await cache.leases.lease(LeaseItem(KEYS[1], os.urandom(16), LEASE_MS)), Granted)
    backend.client().set(f"{backend.prefix}{KEYS[2].text}", "somebody else's")
    asked = items(6)
    asked[3] = asked[3]._replace(token=b"short")
    asked[4] = asked[4]._replace(extra_tags={"nonsense": "x"})
    hit, held, foreign, bad, tagged, granted = answers = await cache.leases.lease_many(asked)
    assert isinstance(hit, Lookup)
    assert hit.validity.payload == b"there"
    assert held == Held(None)
    assert foreign == FOREIGN_VALUE
    assert isinstance(bad, Failure)
    assert isinstance(tagged, Failure)
    assert (bad.field, tagged.field) == ("token", "extra_tags")
    assert isinstance(granted, Granted)
    done = await cache.fills.fill_many(fills(answers))
    assert done[:2] == [Filled(False)] * 2
    assert done[5] == Filled(True, HOUR_MS)


async def test_a_key_that_is_named_twice_is_leased_once(cache: Cache) -> None:
    one = items(1)[0]
    other = one._replace(token=os.urandom(16))
    first, second, third = await cache.leases.lease_many([one, other, one])
    assert isinstance(first, Granted)
    assert second == Held(None)
    assert isinstance(third, Granted), "the same token holds it"
    assert third.grant == first.grant
    fill = FillItem(SetItem(KEYS[0], b"v"), one.token, first.grant)
    stored = await cache.fills.fill_many([fill, fill])
    assert sorted(stored) == [Filled(False), Filled(True, HOUR_MS)]


@ONE_NODE
async def test_what_was_invalidated_meanwhile_is_rejected_alone(cache: Cache) -> None:
    answers = await cache.leases.lease_many(items(3))
    await cache.changes.invalidate({"analytics/user:u1": KEYS[1].domain})
    done = await cache.fills.fill_many(fills(answers))
    assert done == [Filled(True, HOUR_MS), Filled(False), Filled(True, HOUR_MS)]


@pytest.mark.parametrize("backend", ["cluster"], indirect=True)
async def test_a_node_that_is_down_fails_only_its_own(
    cache: Cache, store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = store.read_leased

    async def lost(keys: Sequence[str], tags: Sequence[str]) -> Any:
        await asyncio.sleep(0)
        if KEYS[1].text in keys:
            raise StoreUnavailable("no answer in time")
        return await read(keys, tags)

    monkeypatch.setattr(store, "read_leased", lost)
    answers = await cache.leases.lease_many(items(3))
    assert isinstance(answers[0], Granted)
    assert answers[1] == UNAVAILABLE
    assert isinstance(answers[2], Granted)
    cache.fills._granted._granted.clear()  # as in another process: the leases are looked at
    done = await cache.fills.fill_many(fills(answers))
    assert done == [Filled(True, HOUR_MS), UNAVAILABLE, Filled(True, HOUR_MS)]
