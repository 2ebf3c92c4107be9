"""What only a cluster does: slots on the move, failover, one node that hangs [node-identity] [no-blind-replay]."""

from __future__ import annotations

import asyncio
import itertools
import time

import pytest
from redis.crc import key_slot

from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import SetItem
from coherd.v1.errors_pb2 import ErrorReason
from coherd_server.core.failure import Failure
from coherd_server.core.set_plan import SetDone
from coherd_server.core.store import PutOutcome, StoreUnavailable
from coherd_server.redis import recent_writes
from coherd_server.redis.causes import CAUSES
from rig.cluster import Cluster
from rig.entries import identity_of, put_of
from rig.fixtures import HASTY, Opener
from rig.near import cache_over
from rig.process import Node


@pytest.fixture(autouse=True)
def lately(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was acknowledged in this test was acknowledged lately, however slow the machine is."""
    monkeypatch.setattr(recent_writes, "WINDOW_S", 300.0)


def keys_by_owner(own_cluster: Cluster) -> dict[Node, str]:
    """One key for every primary."""
    found: dict[Node, str] = {}
    for i in range(100):
        found.setdefault(own_cluster.owner_of(f"key{i}"), f"key{i}")
        if len(found) == 3:
            break
    return found


def in_slot(slot: int, head: str, count: int) -> list[str]:
    """Names of one slot; keys hold no braces, so they are searched for (about 16,000 tries each)."""
    tries = (f"{head}{i}" for i in itertools.count())
    return list(itertools.islice((name for name in tries if key_slot(name.encode()) == slot), count))


async def test_a_stopped_node_stalls_nobody_else(own_cluster: Cluster, opener: Opener) -> None:
    """The calls to it hang all the while: nobody else's waits for them."""
    store, hasty = await opener(own_cluster.url), await opener(own_cluster.url, **HASTY)
    (stalled, dead_key), (_, one_key), (_, other_key) = keys_by_owner(own_cluster).items()
    stalled.pause()
    try:
        hanging = [asyncio.create_task(store.read([dead_key, one_key], [])) for _ in range(20)]
        for i in range(40):
            await store.read([one_key, other_key], [])
            if i % 10 == 0:
                assert (await store.put([await put_of(store, other_key)])) == [PutOutcome.STORED]
            await asyncio.sleep(0.01)
        assert not any(task.done() for task in hanging)
        too_late = [hasty.read([dead_key, one_key], []) for _ in range(20)]
        assert all(isinstance(one, StoreUnavailable) for one in await asyncio.gather(*too_late, return_exceptions=True))
    finally:
        stalled.resume()
    await asyncio.gather(*hanging, return_exceptions=True)
    end_s = time.monotonic() + 60
    while True:  # the replica may have taken over, or the node is back
        try:
            await store.read([dead_key], [])
            break
        except StoreUnavailable:
            assert time.monotonic() < end_s


async def test_a_slot_on_the_move(own_cluster: Cluster, opener: Opener) -> None:
    """ASK for what has gone or never was, TRYAGAIN until value and lease are on one side, MOVED afterwards."""
    store = await opener(own_cluster.url)
    slot = key_slot(b"moving")
    source = own_cluster.owner_of("moving")
    target = next(node for node in keys_by_owner(own_cluster) if node is not source)
    *names, absent, new = in_slot(slot, "moving:", 5)
    [tag] = (name.removeprefix("coherd:epoch:") for name in in_slot(slot, "coherd:epoch:t", 1))
    puts = [await put_of(store, name) for name in names]
    assert await store.put(puts) == [PutOutcome.STORED] * 3
    _, ensured = await store.ensure_epochs([], {tag: 60_000})
    own_cluster.begin_migration(slot, source, target)
    own_cluster.move_key(names[0], source, target)
    values, epochs = await store.read([*names, absent], [tag])
    assert [value.raw for value in values] == [put.entry for put in puts] + [None]
    assert epochs[0].epoch == ensured[tag].epoch
    assert values[0].identity != values[1].identity, "a reply counts under the connection that carried it"
    assert values[0].identity == values[3].identity == await identity_of(store, names[0])

    # A new key is the target's, and a put names value and lease: neither node runs it until the slot has moved.
    waits = asyncio.create_task(store.put([await put_of(store, new)]))
    assert await store.put([puts[0]]) == [PutOutcome.MOVED_IDENTITY], "stamped with the source"

    torn = asyncio.create_task(store.put([puts[1]]))  # value here, lease nowhere: TRYAGAIN
    await asyncio.sleep(0.3)
    assert not torn.done()
    assert not waits.done()
    own_cluster.finish_migration(slot, source, target)
    assert await torn == [PutOutcome.MOVED_IDENTITY]
    [outcome] = await waits
    assert outcome in (PutOutcome.STORED, PutOutcome.MOVED_IDENTITY), "the move gives its node a new identity"
    assert await store.put([await put_of(store, names[1])]) == [PutOutcome.STORED]
    # The move gave its node a new identity, so what was set there lately was deleted first [repeat-on-switch].
    assert [value.raw is None for value in (await store.read(names, []))[0]] == [True, False, True]
    own_cluster.begin_migration(slot, target, source)
    own_cluster.finish_migration(slot, target, source)
    values, _ = await store.read(names, [])
    assert values[2].identity != puts[2].identity, "a slot that returns does not bring its old identity back"


async def test_a_set_into_a_slot_on_the_move_waits_for_it(own_cluster: Cluster, opener: Opener) -> None:
    """Of a new key, and of one that is there: no other write contends with it."""
    store, hasty = await opener(own_cluster.url), await opener(own_cluster.url, **HASTY)
    writes, hasty_writes = (cache_over(one, max_value_bytes=100).writes for one in (store, hasty))
    there, new = (builtin_catalog().resolve(f"content:topics:user:{name}") for name in _one_slot())
    await writes.set([SetItem(there, b"before")])
    slot = key_slot(there.text.encode())
    source = own_cluster.owner_of(there.text)
    target = next(node for node in keys_by_owner(own_cluster) if node is not source)
    own_cluster.begin_migration(slot, source, target)
    for key in (there, new):
        [failed] = await hasty_writes.set([SetItem(key, b"hasty")])
        assert isinstance(failed, Failure)
        assert failed.reason == ErrorReason.ERROR_REASON_STORE_UNAVAILABLE
        assert CAUSES["TRYAGAIN"].text in failed.message
        assert failed.message.endswith("nothing was changed")
    sets = asyncio.create_task(writes.set([SetItem(there, b"after"), SetItem(new, b"after")]))
    await asyncio.sleep(0.1)
    assert not sets.done()
    own_cluster.finish_migration(slot, source, target)
    assert [done.outcome for done in await sets if isinstance(done, SetDone)] == [PutOutcome.STORED] * 2
    own_cluster.begin_migration(slot, target, source)
    own_cluster.finish_migration(slot, target, source)


def _one_slot() -> list[str]:
    """Two users whose keys are in one slot."""
    by_slot: dict[int, str] = {}
    for number in itertools.count():
        slot = key_slot(f"content:topics:user:m{number}".encode())
        if slot in by_slot:
            return [by_slot[slot], f"m{number}"]
        by_slot[slot] = f"m{number}"
    raise AssertionError


@pytest.mark.parametrize("told_as", ["unknown-endpoint", "hostname"])
async def test_nodes_that_do_not_tell_their_hosts(own_cluster: Cluster, opener: Opener, told_as: str) -> None:
    """An empty host, or "?" where hostnames are to be told and there is none: the one that answered."""
    for node in own_cluster.nodes:
        node.client().config_set("cluster-preferred-endpoint-type", told_as)
    try:
        store = await opener(own_cluster.url)
        keys = list(keys_by_owner(own_cluster).values())
        assert await store.put([await put_of(store, key) for key in keys]) == [PutOutcome.STORED] * 3
        slot, source = key_slot(b"unnamed"), own_cluster.owner_of("unnamed")
        target = next(node for node in keys_by_owner(own_cluster) if node is not source)
        assert await store.put([await put_of(store, "unnamed")]) == [PutOutcome.STORED]
        own_cluster.begin_migration(slot, source, target)
        own_cluster.move_key("unnamed", source, target)
        assert (await store.read(["unnamed"], []))[0][0].raw is not None, "ASK"
        own_cluster.finish_migration(slot, source, target)
        assert await store.put([await put_of(store, "unnamed")]) == [PutOutcome.STORED], "MOVED"
        assert all(host == "127.0.0.1" for host in {one.rsplit(":", 1)[0] for one in store.primaries()})
        own_cluster.begin_migration(slot, target, source)
        own_cluster.finish_migration(slot, target, source)
    finally:
        for node in own_cluster.nodes:
            node.client().config_set("cluster-preferred-endpoint-type", "ip")


async def test_try_again_ends_at_the_deadline(own_cluster: Cluster, opener: Opener) -> None:
    store = await opener(own_cluster.url, reply_timeout_ms=800, deadline_ms=1_500)
    key = "torn"
    source = own_cluster.owner_of(key)
    target = next(node for node in keys_by_owner(own_cluster) if node is not source)
    put = await put_of(store, key)
    await store.put([put])
    own_cluster.begin_migration(key_slot(key.encode()), source, target)
    started_s = time.monotonic()
    [outcome] = await store.put([put])
    assert isinstance(outcome, StoreUnavailable)
    assert "TRYAGAIN" in str(outcome)
    assert not outcome.outcome_unknown
    assert 0.8 < time.monotonic() - started_s < 15
    own_cluster.finish_migration(key_slot(key.encode()), source, target)


async def test_failover_brings_a_new_identity(own_cluster: Cluster, opener: Opener) -> None:
    store = await opener(own_cluster.url, **HASTY)
    put = await put_of(store, "k")
    await store.put([put])
    _, ensured = await store.ensure_epochs([], {"k": 60_000})
    await asyncio.sleep(0.1)
    own_cluster.failover("k")
    end_s = time.monotonic() + 60
    while (value := (await store.read(["k"], []))[0][0]).identity == put.identity:
        assert time.monotonic() < end_s, "the change of primary was not noticed"
        await asyncio.sleep(0.01)
    assert value.raw is None, "what was set lately was deleted before anything was served [repeat-on-switch]"
    assert await store.put([put]) == [PutOutcome.MOVED_IDENTITY]
    assert await store.put([await put_of(store, "k")]) == [PutOutcome.STORED]
    await store.invalidate(dict.fromkeys(["k"], 0))
    assert (await store.read([], ["k"]))[1][0].epoch != ensured["k"].epoch


async def test_killed_primary_is_replaced(own_cluster: Cluster, opener: Opener) -> None:
    store = await opener(own_cluster.url, **HASTY)
    put = await put_of(store, "k")
    victim = own_cluster.owner_of("k")
    others = [key for node, key in keys_by_owner(own_cluster).items() if node is not victim]
    victim.kill()
    failed: list[str] = []
    end_s = time.monotonic() + 90
    while True:
        await store.read(others, [])
        try:
            after = await identity_of(store, "k")
            break
        except StoreUnavailable as error:
            failed.append(str(error))
            assert time.monotonic() < end_s, "no replica took over"
            await asyncio.sleep(0.05)
    assert failed
    assert not any("AttributeError" in text for text in failed)
    assert after != put.identity
    victim.restart()
