"""Each verb tells near caches of what it changed: behind the change, before its acknowledgement, where that matters."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Sequence

import pytest

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import FillItem, LeaseItem, SetItem
from coherd_server.core.cache import Cache, build_cache
from coherd_server.core.counters import Counters
from coherd_server.core.failure import UNCONFIRMED
from coherd_server.core.filling import Filled
from coherd_server.core.lease_attempt import Granted
from coherd_server.core.near.change_log import Answer, ChangeNotice, LogUnavailable
from coherd_server.core.near.session import Push
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import PutOutcome
from coherd_server.redis.store import RedisStore
from rig.entries import put_of
from rig.fixtures import Backend, Opener
from rig.near import PUSHED, STRICT, NearClient, NearMember, NearOpener, log_names
from rig.waiting import until

OFF = builtin_catalog().resolve("crisis:user_risk:user:u1")
TAG = "analytics/user:u1"
BOTH_WAYS = pytest.mark.parametrize("backend", ["standalone", "cluster"], indirect=True)
"""The notice travels with the change, or behind it."""


def verbs(member: NearMember) -> Cache:
    """The verbs before this member's store."""
    return build_cache(member.store, member.publisher, Counters(), max_value_bytes=1_000)


async def change(cache: Cache, verb: str, key: ResolvedKey) -> None:
    """Change a key by a verb, successfully."""
    match verb:
        case "set":
            assert isinstance((await cache.writes.set([SetItem(key, b"v")]))[0], SetDone)
        case "delete":
            assert isinstance((await cache.changes.delete([key]))[0], bool)
        case "touch":
            assert isinstance(await cache.changes.touch(key, 60_000), int)
        case "fill":
            token = os.urandom(16)
            granted = await cache.leases.lease(LeaseItem(key, token, 5_000))
            assert isinstance(granted, Granted)
            assert isinstance(await cache.fills.fill(FillItem(SetItem(key, b"v"), token, granted.grant)), Filled)
        case "invalidate":
            assert await cache.changes.invalidate({TAG: key.domain}) is None


@BOTH_WAYS
@pytest.mark.parametrize("verb", ["set", "delete", "touch", "fill", "invalidate"])
async def test_a_change_is_told(backend: Backend, members: NearOpener, verb: str) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    cache, client = verbs(one), NearClient(other)
    if verb == "touch":
        await change(cache, "set", PUSHED)
        await until("followed", lambda: other.hub.position is not None and other.hub.position.offset > 1)
    await client.hold(PUSHED)
    await change(cache, verb, PUSHED)
    await until("pushed", lambda: not client.serves(PUSHED))
    expected = Push(1, (), (TAG,)) if verb == "invalidate" else Push(1, (PUSHED.text,))
    assert client.pushed == [expected]


@BOTH_WAYS
@pytest.mark.parametrize("verb", ["set", "delete", "touch", "fill"])
async def test_a_strict_change_is_acknowledged_after_it_was_dropped(
    backend: Backend, members: NearOpener, verb: str
) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    cache = verbs(one)
    clients = [NearClient(one), NearClient(other)]
    if verb == "touch":
        await change(cache, "set", STRICT)
    for client in clients:
        await client.hold(STRICT)
    await change(cache, verb, STRICT)
    assert not any(client.serves(STRICT) for client in clients)


@BOTH_WAYS
async def test_waiting_for_near_caches_can_be_asked_for(backend: Backend, members: NearOpener) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    cache, client = verbs(one), NearClient(other)
    await client.hold(PUSHED)
    assert await cache.changes.invalidate({TAG: PUSHED.domain}, wait_for_near_caches=True) is None
    assert not client.serves(PUSHED)
    await client.hold(PUSHED)
    await cache.changes.delete([PUSHED], wait_for_near_caches=True)
    assert not client.serves(PUSHED)


@BOTH_WAYS
async def test_what_no_near_cache_keeps_is_not_told(backend: Backend, members: NearOpener) -> None:
    one = await members(backend.url, backend.prefix)
    cache = verbs(one)
    before = backend.client().xlen(log_names(backend)[0])
    for verb in ("set", "touch", "delete", "fill"):
        await change(cache, verb, OFF)
    assert await cache.changes.invalidate({"crisis/user:u1": OFF.domain}, wait_for_near_caches=True) is None
    assert backend.client().xlen(log_names(backend)[0]) == before


@BOTH_WAYS
async def test_what_changed_nothing_is_not_waited_for(backend: Backend, members: NearOpener) -> None:
    one = await members(backend.url, backend.prefix)
    cache = verbs(one)
    client = NearClient(one)
    await change(cache, "set", STRICT)
    await client.hold(STRICT)
    client.acknowledges = False
    [done] = await cache.writes.set([SetItem(STRICT, b"v", only_if_absent=True)])
    assert isinstance(done, SetDone)
    assert done.outcome is PutOutcome.PRESENT


@BOTH_WAYS
async def test_a_change_that_cannot_be_told_is_not_acknowledged(
    backend: Backend, members: NearOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = await members(backend.url, backend.prefix)
    cache = verbs(one)

    async def refuse(names: Sequence[str], *, awaited: bool) -> Answer:
        raise LogUnavailable("no log")

    token = os.urandom(16)
    granted = await cache.leases.lease(LeaseItem(PUSHED, token, 5_000))
    assert isinstance(granted, Granted)
    monkeypatch.setattr(one.log, "append", refuse)
    _carry_nothing(one.store, monkeypatch)
    assert await cache.fills.fill(FillItem(SetItem(PUSHED, b"v"), token, granted.grant)) == UNCONFIRMED
    off, pushed = await cache.writes.set([SetItem(OFF, b"v"), SetItem(PUSHED, b"v")])
    assert isinstance(off, SetDone)
    assert pushed == UNCONFIRMED
    assert await cache.changes.delete([OFF, PUSHED]) == [True, UNCONFIRMED]
    assert await cache.changes.invalidate({TAG: PUSHED.domain}) == UNCONFIRMED


def _carry_nothing(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> None:
    for verb in ("put", "fill", "remove", "invalidate"):
        whole = getattr(RedisStore, verb)

        async def bare(*args: object, _whole: object = whole) -> object:
            return await _whole(store, args[0])  # type: ignore[operator]

        monkeypatch.setattr(store, verb, bare)


@BOTH_WAYS
async def test_a_strict_set_holds_up_no_other_of_its_batch(backend: Backend, members: NearOpener) -> None:
    one = await members(backend.url, backend.prefix)
    client = NearClient(one)
    await client.hold(STRICT)
    client.acknowledges = False
    ended: list[int] = []
    items = [SetItem(STRICT, b"v"), SetItem(PUSHED, b"v"), SetItem(OFF, b"v")]
    setting = asyncio.ensure_future(verbs(one).writes.set(items, report=lambda index, _: ended.append(index)))
    await until("the others end", lambda: set(ended) == {1, 2})
    assert not setting.done()
    client.acknowledges = True
    async with asyncio.timeout(60):
        assert all(isinstance(done, SetDone) for done in await setting)


@pytest.mark.parametrize("backend", ["standalone", "sentinel"], indirect=True)
async def test_one_primary_carries_the_notice_with_the_change(backend: Backend, opener: Opener) -> None:
    store = await opener(backend.url, backend.prefix)
    one = ChangeNotice(["kx"], False, 0.0)
    await store.put([await put_of(store, "x")], [one])
    assert one.appended is not None
    another = ChangeNotice(["tx"], True, 0.0)
    await store.invalidate({"x": 0}, [another])
    assert another.appended is not None
    assert another.appended.position == one.appended.position._replace(offset=one.appended.position.offset + 1)
    changes = await store.log.follow(one.appended.position._replace(offset=0))
    assert [change.names for change in changes.entries] == [("kx",), ("tx",)]


@pytest.mark.parametrize("backend", ["standalone"], indirect=True)
async def test_what_did_not_travel_with_the_whole_change_is_not_made_good(backend: Backend, opener: Opener) -> None:
    store = await opener(backend.url, backend.prefix, batch_items=2)
    puts = [await put_of(store, f"x{number}") for number in range(5)]
    one = ChangeNotice(["kx"], False, 0.0)
    assert await store.put(puts, [one]) == [PutOutcome.STORED] * 5
    assert one.appended is None


@pytest.mark.parametrize("backend", ["cluster"], indirect=True)
async def test_a_cluster_carries_no_notices(backend: Backend, opener: Opener) -> None:
    store = await opener(backend.url, backend.prefix)
    one = ChangeNotice(["kx"], False, 0.0)
    await store.put([await put_of(store, "x")], [one])
    assert one.appended is None
