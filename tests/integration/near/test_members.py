"""Members over a real log: pushes reach holders elsewhere, whatever becomes of the log, and strict changes wait."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from redis.crc import key_slot

from coherd.catalog.catalog import ResolvedKey
from coherd.catalog.load import builtin_catalog
from coherd.contract.clock import boottime_s
from coherd_server.core.failure import UNCONFIRMED
from coherd_server.core.near import member
from coherd_server.core.near.session import Push
from coherd_server.redis import log_reader
from rig.cluster import Cluster
from rig.fixtures import Backend
from rig.near import LEASE_MS, PUSHED, STRICT, LeaseClock, NearClient, NearMember, NearOpener, log_names
from rig.sentinel import SentinelTrio
from rig.valkey import standalone
from rig.waiting import until

OVER_S = LEASE_MS / 1000 * 1.1
ON_ONE_STORE = pytest.mark.parametrize("backend", ["standalone"], indirect=True)
"""Where the kind of installation makes no difference."""
OFF = builtin_catalog().resolve("crisis:user_risk:user:u1")
OTHER = builtin_catalog().resolve("analytics:daily:user:other:date:20250806")


async def settled(*members: NearMember) -> None:
    """Until the registry is complete: from then on a strict change waits only for members."""
    for one in members:
        await published(one, STRICT)


async def published(member: NearMember, key: ResolvedKey) -> None:
    """Announce a change until that works."""
    end_s = boottime_s() + 60
    while await member.publish(key) is not None:
        assert boottime_s() < end_s
        await asyncio.sleep(0.02)


async def test_a_change_reaches_holders_on_other_members(backend: Backend, members: NearOpener) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    client, idle = NearClient(other), NearClient(other)
    await client.hold(PUSHED)
    await client.hold(STRICT)
    assert await one.publish(PUSHED) is None
    await until("pushed", lambda: not client.serves(PUSHED))
    assert client.pushed == [Push(1, (PUSHED.text,))]
    assert client.serves(STRICT)
    assert idle.pushed == []
    await client.hold(PUSHED)
    assert await one.publish_tags("analytics/user:u1", "analytics/user:u2") is None
    await until("pushed", lambda: not client.serves(PUSHED))
    assert client.pushed[1:] == [Push(2, (), ("analytics/user:u1",))]


@ON_ONE_STORE
async def test_who_has_nobody_to_tell_reads_at_leisure_until_somebody_waits_or_comes(
    backend: Backend, members: NearOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a leisure of a minute each step would end as UNCONFIRMED, or time out."""
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    await settled(one, other)
    monkeypatch.setattr(member, "_LEISURE_S", 60.0)
    for _ in range(3):
        assert await one.publish(PUSHED) is None  # read by `other`, which then sits back
        await asyncio.sleep(0.25)
        assert await one.publish(STRICT) is None  # somebody elsewhere waits
        await asyncio.sleep(0.25)
        assert await other.publish(STRICT) is None  # and here
    for _ in range(3):  # a read may be under way, and a call to hurry that has no effect any more
        behind = other.hub.position
        assert await one.publish(PUSHED) is None
        await asyncio.sleep(0.25)
    assert other.hub.position == behind
    await asyncio.sleep(OVER_S)  # nothing of before is in step any more
    client = NearClient(other)
    await client.hold(PUSHED)
    assert client.serves(PUSHED)


@ON_ONE_STORE
async def test_a_member_that_is_far_behind_reads_on_without_leisure(
    backend: Backend, members: NearOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    await settled(one, other)
    monkeypatch.setattr(member, "_LEISURE_S", 60.0)
    monkeypatch.setattr(log_reader, "READ_ENTRIES", 10)
    for _ in range(95):
        assert await one.publish(PUSHED) is None
    assert await one.publish(STRICT) is None


@ON_ONE_STORE
async def test_who_waits_here_needs_nobody_to_tell_it_to_hurry(
    backend: Backend, members: NearOpener, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that is published is heard."""
    one = await members(backend.url, backend.prefix)
    await settled(one)
    monkeypatch.setattr(member, "_LEISURE_S", 60.0)
    await one.store._listener.close()
    for _ in range(3):
        assert await one.publish(PUSHED) is None
        await asyncio.sleep(0.1)
        assert await one.publish(STRICT) is None


@ON_ONE_STORE
async def test_leases_are_extended_while_the_log_answers(
    backend: Backend, members: NearOpener, lease_clock: LeaseClock
) -> None:
    client = NearClient(await members(backend.url, backend.prefix))
    await client.hold(PUSHED)
    lease_clock.stop()
    for _ in range(30):  # three leases and more
        before_s = client.valid_until_s
        lease_clock.advance(OVER_S / 8)
        await until("it is extended", lambda before_s=before_s: client.valid_until_s > before_s)
        assert client.serves(PUSHED)
    assert client.flushes == 0


@pytest.mark.parametrize("how", ["deleted", "emptied"])
async def test_a_lost_log_flushes_everybody(backend: Backend, members: NearOpener, how: str) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    client = NearClient(other)
    await client.hold(PUSHED)
    if how == "deleted":
        backend.client().delete(log_names(backend)[0])
    else:
        backend.client().xtrim(log_names(backend)[0], maxlen=0, approximate=False)
    await until("flushed", lambda: client.flushes == 1)
    assert not client.serves(PUSHED)
    await client.hold(PUSHED)
    assert await one.publish(PUSHED) is None
    await until("pushed", lambda: not client.serves(PUSHED))
    assert client.flushes == 1


@ON_ONE_STORE
async def test_what_was_trimmed_unread_flushes_everybody(backend: Backend, members: NearOpener) -> None:
    one = await members(backend.url, backend.prefix)
    other = await members(backend.url, backend.prefix)
    client = NearClient(other)
    await client.hold(PUSHED)
    follow, hold = other.log.follow, asyncio.Event()

    async def late(after: int) -> object:
        await hold.wait()
        return await follow(after)

    other.log.follow = late  # type: ignore[method-assign, assignment]
    await one.publish(OTHER)
    await asyncio.sleep(0.05)  # the read under way takes this one
    assert await one.publish(PUSHED) is None
    for number in range(5):
        await one.publish(PUSHED._replace(text=f"analytics:daily:user:n{number}:date:20250806"))
    backend.client().xtrim(log_names(backend)[0], maxlen=2, approximate=False)
    hold.set()
    await until("flushed", lambda: client.flushes == 1)
    assert not client.serves(PUSHED)


@pytest.mark.parametrize("how", ["flushall", "restart"])
async def test_a_store_that_lost_everything_flushes_everybody(members: NearOpener, how: str) -> None:
    with standalone() as node:
        one, other = [await members(node.url) for _ in range(2)]
        client = NearClient(other)
        await client.hold(PUSHED)
        if how == "flushall":
            node.client().flushall()
        else:
            await asyncio.to_thread(node.restart)
        await until("flushed", lambda: not client.serves(PUSHED) and client.flushes >= 1)
        await client.hold(PUSHED)
        await published(one, PUSHED)
        await until("pushed", lambda: not client.serves(PUSHED))


async def test_a_failover_under_sentinel_flushes_everybody(own_trio: SentinelTrio, members: NearOpener) -> None:
    await _survives_failover(own_trio.url, own_trio.failover, members)


async def test_a_failover_of_the_logs_node_flushes_everybody(own_cluster: Cluster, members: NearOpener) -> None:
    await _survives_failover(own_cluster.url, lambda: own_cluster.failover("coherd:log"), members)


async def _survives_failover(url: str, failover: Callable[[], object], members: NearOpener) -> None:
    one, other = [await members(url) for _ in range(2)]
    client = NearClient(other)
    await client.hold(PUSHED)
    await asyncio.to_thread(failover)
    await until("flushed", lambda: client.flushes >= 1)
    assert not client.serves(PUSHED)
    await until("in step", lambda: other.hub.in_step_as_of_s is not None)
    await client.hold(PUSHED)
    await published(one, PUSHED)
    await until("pushed", lambda: not client.serves(PUSHED))


async def test_the_logs_slot_may_move(own_cluster: Cluster, members: NearOpener) -> None:
    one, other = [await members(own_cluster.url, "moving:") for _ in range(2)]
    client = NearClient(other)
    await client.hold(PUSHED)
    slot, source = key_slot(b"moving:coherd:log"), own_cluster.owner_of("moving:coherd:log")
    primaries = [node for node in own_cluster.nodes if node.client().info("replication")["role"] == "master"]
    target = next(node for node in primaries if node is not source)
    await asyncio.to_thread(own_cluster.begin_migration, slot, source, target)
    await asyncio.to_thread(own_cluster.finish_migration, slot, source, target)
    await until("flushed", lambda: not client.serves(PUSHED))
    await client.hold(PUSHED)
    await published(one, PUSHED)
    await until("pushed", lambda: not client.serves(PUSHED))


# Strict.


async def test_a_strict_change_waits_for_every_near_cache(
    backend: Backend, members: NearOpener, lease_clock: LeaseClock
) -> None:
    """For their acknowledgements, not for a lease: none ends."""
    one, other, third = [await members(backend.url, backend.prefix) for _ in range(3)]
    await settled(one)
    lease_clock.stop()
    clients = [NearClient(member) for member in (one, other, third) for _ in range(2)]
    for _ in range(10):
        for client in clients:
            await client.hold(STRICT)
        assert await one.publish(STRICT) is None
        assert not any(client.serves(STRICT) for client in clients)


@ON_ONE_STORE
async def test_waiting_can_be_asked_for_where_the_domain_does_not(backend: Backend, members: NearOpener) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    await settled(one)
    client = NearClient(other)
    for _ in range(5):
        await client.hold(PUSHED)
        assert await one.publish_tags("analytics/user:u1", wait=True) is None
        assert not client.serves(PUSHED)


@ON_ONE_STORE
async def test_a_client_that_is_cut_off_delays_by_its_lease_and_serves_nothing_after(
    backend: Backend, members: NearOpener, lease_clock: LeaseClock
) -> None:
    """By no more: what took longer than `Terms.longest_wait_s` would be unconfirmed."""
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    await settled(one)
    client = NearClient(other)
    lease_clock.stop()
    await client.hold(STRICT)
    await client.cut()
    assert client.serves(STRICT)
    lease_clock.go_on()
    assert await one.publish(STRICT) is None
    assert not client.serves(STRICT)


@ON_ONE_STORE
async def test_a_replica_that_dies_delays_by_a_lease_and_is_forgotten(
    backend: Backend, members: NearOpener, lease_clock: LeaseClock
) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    await settled(one)
    client = NearClient(other)
    lease_clock.stop()
    await client.hold(STRICT)
    await client.cut()
    await other.die()
    assert client.serves(STRICT)
    lease_clock.go_on()
    assert await one.publish(STRICT) is None
    assert not client.serves(STRICT)
    name = log_names(backend)[1]
    client_of_store = backend.client()
    await until("forgotten", lambda: len(set(client_of_store.hkeys(name)) - {b"*", b"+"}) == 1)
    lease_clock.stop()
    assert await one.publish(STRICT) is None, "it waits for no lease"


@ON_ONE_STORE
async def test_a_replica_that_leaves_in_order_delays_nobody(
    backend: Backend, members: NearOpener, lease_clock: LeaseClock
) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    await settled(one)
    await other.stop()
    lease_clock.stop()
    assert await one.publish(STRICT) is None, "it waits for no lease"


@ON_ONE_STORE
async def test_a_fresh_registry_may_lack_replicas_so_it_is_waited_for(
    backend: Backend, members: NearOpener, lease_clock: LeaseClock
) -> None:
    """The other member cannot join again: nobody knows of it but its client, which serves until its lease is over."""
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    await settled(one)
    client = NearClient(other)
    lease_clock.stop()
    await client.hold(STRICT)
    await client.cut()
    await other.die()
    backend.client().delete(*log_names(backend))
    assert client.serves(STRICT)
    lease_clock.go_on()
    assert await one.publish(STRICT) is None
    assert not client.serves(STRICT)


@ON_ONE_STORE
async def test_a_log_that_is_lost_while_somebody_waits_is_appended_to_again(
    backend: Backend, members: NearOpener
) -> None:
    one, other = [await members(backend.url, backend.prefix) for _ in range(2)]
    await settled(one)
    client = NearClient(other)
    await client.hold(STRICT)
    client.acknowledges = False
    waiting = asyncio.ensure_future(one.publish(STRICT))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    backend.client().delete(log_names(backend)[0])
    await asyncio.sleep(0.1)
    client.acknowledges = True
    async with asyncio.timeout(60):
        assert await waiting is None
    assert not client.serves(STRICT)


async def test_an_append_that_fails_is_said(members: NearOpener) -> None:
    with standalone() as node:
        one = await members(node.url)
        node.kill()
        assert await one.publish(PUSHED) == UNCONFIRMED
        assert await one.publish(STRICT) == UNCONFIRMED
        assert await one.publish(OFF) is None, "nobody keeps it, so nobody need be told"


async def test_out_of_step_for_a_lease_means_that_nothing_is_served(
    members: NearOpener, lease_clock: LeaseClock
) -> None:
    with standalone() as node:
        client = NearClient(await members(node.url))
        await client.hold(PUSHED)
        node.pause()
        await until("nothing is served", lambda: not client.serves(PUSHED))
        node.resume()
        await until("extended again", lambda: client.valid_until_s > lease_clock())
        assert not client.serves(PUSHED)
