"""Loads under a lease on one node: what is known needs no question, and nothing is believed that is not compared."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

import pytest

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import FillItem, LeaseItem, SetItem
from coherd_server.core.cache import Cache
from coherd_server.core.failure import UNKNOWN
from coherd_server.core.filling import Filled
from coherd_server.core.get import Lookup
from coherd_server.core.lease_attempt import Granted, Held
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import PutOutcome
from coherd_server.core.validity import State
from coherd_server.redis.connection import Connection
from coherd_server.redis.store import RedisStore
from rig.fixtures import Backend, Opener
from rig.near import cache_over
from rig.valkey import BACKENDS

CATALOG = builtin_catalog()
DAYS = [CATALOG.resolve(f"analytics:daily:user:u1:date:2025080{day}") for day in range(1, 8)]
SESSION = CATALOG.resolve("session:data:id:s1")
pytestmark = pytest.mark.parametrize("backend", [name for name in BACKENDS if name != "cluster"], indirect=True)


class Server(NamedTuple):
    """The store of one process, and the verbs over it."""

    store: RedisStore
    cache: Cache

    async def lease(self, key: ResolvedKey, **options: Any) -> tuple[bytes, Granted]:
        """The token of a load, and what it was granted."""
        token = os.urandom(16)
        granted = await self.cache.leases.lease(LeaseItem(key, token, 60_000, **options))
        assert isinstance(granted, Granted)
        return token, granted

    async def fill(self, key: ResolvedKey, token: bytes, granted: Granted, value: bytes = b"loaded") -> object:
        return await self.cache.fills.fill(FillItem(SetItem(key, value), token, granted.grant))

    async def read(self, key: ResolvedKey) -> tuple[State, bytes]:
        [found] = await self.cache.reads.get([key])
        assert isinstance(found, Lookup)
        return found.validity.state, found.validity.payload


@pytest.fixture
async def one(backend: Backend, opener: Opener) -> Server:
    """A process that knows the tags of `DAYS`."""
    store = await opener(backend.url, backend.prefix)
    server = Server(store, cache_over(store))
    for key in DAYS:
        await server.cache.writes.set([SetItem(key, b"before")])
        await store.remove({key.text: 0})
    return server


@pytest.fixture
async def two(backend: Backend, opener: Opener) -> Server:
    """Another process."""
    store = await opener(backend.url, backend.prefix)
    return Server(store, cache_over(store))


@pytest.fixture
def exchanges(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands of each exchange that reads or changes entries."""
    seen: list[list[str]] = []
    send = Connection.send

    def counted(self: Connection, commands: Any, *args: Any, **options: Any) -> None:
        names = [str(one[0]) for one in commands]
        if {"MGET", "EVALSHA"} & set(names):
            seen.append(names)
        send(self, commands, *args, **options)

    monkeypatch.setattr(Connection, "send", counted)
    return seen


async def test_a_load_of_what_is_not_there_takes_three_exchanges(one: Server, exchanges: list[list[str]]) -> None:
    token, granted = await one.lease(DAYS[0])
    assert len(exchanges) == 2, exchanges
    assert await one.fill(DAYS[0], token, granted) == Filled(True, 3_600_000)
    assert len(exchanges) == 3, exchanges
    assert await one.read(DAYS[0]) == (State.FRESH, b"loaded")


async def test_a_fill_in_another_process_looks_first(one: Server, two: Server) -> None:
    token, granted = await one.lease(DAYS[0])
    assert await two.fill(DAYS[0], token, granted) == Filled(True, 3_600_000)
    assert await one.fill(DAYS[0], token, granted) == Filled(False), "the lease is used"
    assert await one.read(DAYS[0]) == (State.FRESH, b"loaded")


async def test_a_lease_is_good_for_one_fill(one: Server) -> None:
    token, granted = await one.lease(DAYS[0])
    assert await one.fill(DAYS[0], token, granted) == Filled(True, 3_600_000)
    assert await one.fill(DAYS[0], token, granted, b"again") == Filled(False)
    assert await one.read(DAYS[0]) == (State.FRESH, b"loaded")


async def test_a_fill_needs_the_lease_that_is_stored(one: Server, two: Server) -> None:
    for number, void in enumerate(("delete", "set", "release")):
        key = DAYS[number]
        token, granted = await one.lease(key)
        if void == "delete":
            await two.store.remove({key.text: 0})
        elif void == "set":
            await two.cache.writes.set([SetItem(key, b"other's")])
        else:
            await two.cache.leases.release(key, token, 0)
        assert await one.fill(key, token, granted) == Filled(False), void
        assert (await one.read(key))[1] in (b"", b"other's"), void


@pytest.mark.parametrize("heard", [True, False])
async def test_a_fill_that_was_overtaken_is_rejected_whether_or_not_its_process_has_heard(
    backend: Backend, one: Server, two: Server, heard: bool
) -> None:
    token, granted = await one.lease(DAYS[0])
    if heard:
        await one.store.invalidate({"analytics/user:u1": 0})
    else:
        name = f"{backend.prefix}coherd:epoch:analytics/user:u1"
        backend.client().set(name, os.urandom(8), px=90_000_000)
    assert await one.fill(DAYS[0], token, granted) == Filled(False)
    assert (await two.read(DAYS[0]))[0] in (State.ABSENT, State.INVALIDATED)
    token, granted = await two.lease(DAYS[0])
    assert await two.fill(DAYS[0], token, granted, b"after") == Filled(True, 3_600_000)
    assert await one.read(DAYS[0]) == (State.FRESH, b"after")


async def test_a_grant_without_a_question_has_the_epochs_that_were_read(backend: Backend, one: Server) -> None:
    """What is remembered only says how long they live: one that was replaced unheard is asked for."""
    name = f"{backend.prefix}coherd:epoch:analytics/user:u1"
    for epoch in (os.urandom(8), None):
        if epoch is None:
            backend.client().delete(name)
        else:
            backend.client().set(name, epoch, px=60_000)
        token, granted = await one.lease(DAYS[1])
        assert backend.client().pttl(name) > 3_600_000, "it must outlive what is loaded"
        assert await one.fill(DAYS[1], token, granted) == Filled(True, 3_600_000)
        assert await one.read(DAYS[1]) == (State.FRESH, b"loaded")
        await one.store.remove({DAYS[1].text: 0})


async def test_a_lease_of_somebody_else_is_still_found(one: Server, two: Server) -> None:
    await one.lease(DAYS[0])
    token = os.urandom(16)
    assert await two.cache.leases.lease(LeaseItem(DAYS[0], token, 60_000)) == Held(None)
    assert await one.cache.leases.lease(LeaseItem(DAYS[0], token, 60_000)) == Held(None)


async def test_extra_tags_of_the_lease_are_carried_and_compared(one: Server, two: Server) -> None:
    extra = {"user": "u9"}
    for number in range(2):  # the second time their epochs are known
        token, granted = await one.lease(SESSION, extra_tags=extra)
        assert isinstance(await one.fill(SESSION, token, granted, b"%d" % number), Filled)
        assert await two.read(SESSION) == (State.FRESH, b"%d" % number)
        await two.store.invalidate({"session/user:u9": 0})
        assert (await one.read(SESSION))[0] is State.INVALIDATED
    token, granted = await one.lease(SESSION, extra_tags=extra)
    await two.store.invalidate({"session/user:u9": 0})
    assert await one.fill(SESSION, token, granted) == Filled(False)
    assert (await two.read(SESSION))[0] is State.INVALIDATED


async def test_a_load_that_was_overtaken_leaves_what_is_there(
    backend: Backend, one: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An early refresh: the value is fresh, and the load names an extra tag that is invalidated unheard."""
    await one.cache.writes.set([SetItem(SESSION, b"fresh", version=5)])
    monkeypatch.setattr(one.cache.leases._attempt, "_is_early", lambda lookup: True)
    for version in (None, 7):
        token, granted = await one.lease(SESSION, extra_tags={"user": "u9"})
        name = f"{backend.prefix}coherd:epoch:session/user:u9"
        backend.client().set(name, os.urandom(8), px=190_000_000)
        item = SetItem(SESSION, b"loaded", version=version)
        assert await one.cache.fills.fill(FillItem(item, token, granted.grant)) == Filled(False)
        assert await one.read(SESSION) == (State.FRESH, b"fresh")
        await one.cache.leases.release(SESSION, token, 0)


async def test_a_version_that_was_not_stored_does_not_count(backend: Backend, one: Server) -> None:
    token, granted = await one.lease(DAYS[0])
    name = f"{backend.prefix}coherd:epoch:analytics/user:u1"
    backend.client().set(name, os.urandom(8), px=90_000_000)
    item = SetItem(DAYS[0], b"loaded", version=7)
    assert await one.cache.fills.fill(FillItem(item, token, granted.grant)) == Filled(False)
    [done] = await one.cache.writes.set([SetItem(DAYS[0], b"older", version=6)])
    assert done == SetDone(PutOutcome.STORED, 3_600_000)


async def test_a_fill_whose_stamps_could_not_be_read_is_unknown(one: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    token, granted = await one.lease(DAYS[0])
    router = one.store._router
    fetch = router.fetch

    async def without_values(names: Any, jobs: Any = (), **options: Any) -> Any:
        values, answers = await fetch(names, jobs, **options)
        return ({}, answers) if jobs and names and options.get("partial") else (values, answers)

    monkeypatch.setattr(router, "fetch", without_values)
    assert await one.fill(DAYS[0], token, granted) == UNKNOWN
