"""Servers of one store that differ in what they must have alike: the safe side, told once [alike-or-paused]."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from coherd.catalog.load import builtin_catalog
from coherd.contract.near_cache import NearCacheMode
from coherd_server.core.near.alike import digest_of
from rig.fixtures import Backend
from rig.near import LEASE_MS, PUSHED, STRICT, LeaseClock, NearClient, NearMember, NearOpener, log_names
from rig.waiting import until

pytestmark = pytest.mark.parametrize("backend", ["standalone"], indirect=True)
OVER_S = LEASE_MS / 1000 * 1.1
LONG_MS = 8_000


async def settled(member: NearMember) -> None:
    """Until the registry is complete: a strict change waits for that."""
    for _ in range(100):
        if await member.publish(STRICT) is None:
            return
    raise AssertionError("the registry does not become complete")


async def joined(backend: Backend, member: NearMember, times: int = 4) -> None:
    """Until the member has joined again that often."""
    client, (_, registry) = backend.client(), log_names(backend)
    for _ in range(times):
        before = client.hgetall(registry)
        await until("it joined", lambda before=before: client.hgetall(registry) != before)


async def test_a_strict_change_waits_for_the_longest_lease(
    backend: Backend, members: NearOpener, lease_clock: LeaseClock
) -> None:
    """A near cache of a member that died serves for as long as that member let it, whatever the others' lease is."""
    with capture_logs() as lines:
        one = await members(backend.url, backend.prefix)
        other = await members(backend.url, backend.prefix, lease_ms=LONG_MS)
        await settled(one)
        client = NearClient(other)
        await until("both know", lambda: one.member.longest_wait_s == other.terms.longest_wait_s)
        lease_clock.stop()
        await client.hold(STRICT)
        await client.cut()
        await other.die()
        change = asyncio.create_task(one.publish(STRICT))
        await joined(backend, one)
        lease_clock.advance(3 * OVER_S)
        await joined(backend, one)
        assert client.serves(STRICT)
        assert not change.done()
        lease_clock.advance(LONG_MS / 1000 * 1.2)
        assert await change is None
        assert not client.serves(STRICT)
    told = [line for line in lines if "near_cache_lease" in line["event"]]
    assert [line["leases_ms"] for line in told] == [[LEASE_MS, LONG_MS]] * 2, "each says it once"


async def test_near_caches_pause_while_servers_differ_in_what_is_kept_near(
    backend: Backend, members: NearOpener
) -> None:
    with capture_logs() as lines:
        one = await members(backend.url, backend.prefix)
        client = NearClient(one)
        await client.hold(PUSHED)
        other = await members(backend.url, backend.prefix, domains=b"another.")
        await until("it drops what may change untold", lambda: not client.serves(PUSHED))
        assert one.hub.is_paused
        assert other.hub.is_paused
        assert not client.session.register(PUSHED, (), client.session.read_started())
        await other.stop()
        await until("it goes on", lambda: not one.hub.is_paused)
        await client.hold(PUSHED)
        assert client.serves(PUSHED)
    events = [line["event"] for line in lines if "near caches" in line["event"]]
    assert [("paused" in event, "go on" in event) for event in events].count((True, False)) == 2
    assert [("paused" in event, "go on" in event) for event in events].count((False, True)) == 1


@pytest.mark.usefixtures("backend")
def test_what_the_digest_says() -> None:
    domains = builtin_catalog().domains
    base = digest_of(domains)
    kept = next(name for name, spec in domains.items() if spec.near_cache is NearCacheMode.PUSH and spec.tags)
    off = next(name for name, spec in domains.items() if spec.near_cache is NearCacheMode.OFF and spec.tags)

    def changed(name: str, **fields: Any) -> bytes:
        return digest_of({**domains, name: replace(domains[name], **fields)})

    assert changed(kept) == base
    assert changed(kept, wait_replicas=2) == base
    assert changed(off, tags=frozenset()) == base, "what is not kept near may differ"
    assert changed(off, near_cache=NearCacheMode.PUSH) != base
    assert changed(kept, near_cache=NearCacheMode.STRICT) != base
    assert changed(kept, tags=frozenset()) != base
