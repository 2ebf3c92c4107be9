"""The log in a real store, on every kind of installation: append, join, follow, and what becomes of a lost log."""

from __future__ import annotations

import asyncio
import os

import pytest
import redis

from coherd_server.core.near.change_log import Change, Changes, Field, LogPosition, LogUnavailable, MemberTerms
from coherd_server.core.near.terms import MAX_LEASE_MS
from coherd_server.redis.change_log import RedisChangeLog
from coherd_server.redis.store import RedisStore
from rig.fixtures import HASTY, Backend, Opener
from rig.near import log_names
from rig.valkey import standalone

A, B = "a" * 32, "b" * 32


@pytest.fixture
def log(store: RedisStore) -> RedisChangeLog:
    return store.log


async def test_what_is_appended_is_followed_in_order(log: RedisChangeLog) -> None:
    tail = (await log.join(A, None, b"")).position
    assert tail.offset == 1
    assert len(tail.generation) == 8
    first = await log.append(["kdomain:key", "tdomain/user:u"], awaited=False)
    second = await log.append(["tdomain"], awaited=True)
    assert first.position == tail._replace(offset=2)
    assert second.position == tail._replace(offset=3)
    changes = await log.follow(tail)
    assert changes.identity == tail.identity
    assert changes.entries == [
        Change(tail.generation, 2, ("kdomain:key", "tdomain/user:u"), False),
        Change(tail.generation, 3, ("tdomain",), True),
    ]
    await log.close()


async def test_who_follows_is_woken(log: RedisChangeLog) -> None:
    tail = (await log.join(A, None, b"")).position
    waiting = asyncio.ensure_future(log.follow(tail))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await log.append(["kx"], awaited=False)
    async with asyncio.timeout(60):
        assert [one.names for one in (await waiting).entries] == [("kx",)]
    await log.close()


async def test_following_says_when_there_is_nothing(log: RedisChangeLog) -> None:
    tail = (await log.join(A, None, b"")).position
    assert (await log.follow(tail)).entries == ()
    await log.close()


async def test_appends_of_one_turn_share_an_entry(backend: Backend, log: RedisChangeLog) -> None:
    tail = (await log.join(A, None, b"")).position
    await asyncio.gather(*(log.append([f"k{i}", f"t{i}"], awaited=i == 7) for i in range(40)))
    [change, *more] = (await log.follow(tail)).entries
    assert not more
    assert set(change.names) == {f"{kind}{i}" for i in range(40) for kind in "kt"}
    assert change.awaited
    await log.close()


async def test_an_awaited_append_tells_all_to_hurry(log: RedisChangeLog, backend: Backend, opener: Opener) -> None:
    other = (await opener(backend.url, backend.prefix)).log
    told = asyncio.Event()
    other.on_heard(lambda member, field: None, told.set)
    async with asyncio.timeout(60):
        while not told.is_set():  # the subscription may come after the first ones
            await log.append(["kx"], awaited=True)
            await asyncio.sleep(0.02)
    await asyncio.sleep(0.1)  # what was awaited has all been heard
    told.clear()
    for _ in range(20):
        await log.append(["kx"], awaited=False)
    await asyncio.sleep(0.1)
    assert not told.is_set()


async def test_join_registers_and_publishes(log: RedisChangeLog, backend: Backend, opener: Opener) -> None:
    other = (await opener(backend.url, backend.prefix)).log
    heard: list[tuple[str, Field]] = []
    other.on_heard(lambda member, field: heard.append((member, field)), lambda: None)
    answer = await log.join(A, None, b"")
    assert answer.registry.fields[A].watermark is None
    mark = answer.position
    answer = await log.join(A, mark, b"")
    assert answer.registry.fields[A].watermark == mark
    beat = answer.registry.fields[A].raw

    # The subscription may come after the first joins: publish other watermarks until one is heard.
    async with asyncio.timeout(60):
        while not heard or heard[-1][1].watermark is None:
            mark = mark._replace(offset=mark.offset + 1)
            await log.join(A, mark, b"")
            await asyncio.sleep(0.02)
    assert heard[-1][0] == A
    assert heard[-1][1].watermark is not None
    before = len(heard)
    again = (await log.join(A, mark, b"")).registry.fields[A]
    assert again.watermark == mark
    assert again.raw != beat, "each join has a beat of its own"
    await asyncio.sleep(0.05)
    assert len(heard) <= before + 1, "a watermark that is the same is not published"
    assert set((await other.append(["kx"], awaited=True)).registry.fields) == {A}
    unwatched = (await other.append(["kx"], awaited=False)).registry
    assert (unwatched.incarnation, unwatched.fields) == (b"", {}), "nobody needs it"


async def test_a_member_is_forgotten_only_as_it_stood(log: RedisChangeLog) -> None:
    old = (await log.join(A, None, b"")).registry.fields[A].raw
    new = (await log.join(A, None, b"")).registry.fields[A].raw
    await log.forget(A, old)
    assert A in (await log.join(B, None, b"")).registry.fields
    await log.forget(A, new)
    assert set((await log.join(B, None, b"")).registry.fields) == {B}


async def test_a_registry_is_complete_once_somebody_watched_this_very_one(log: RedisChangeLog) -> None:
    answer = await log.join(A, None, b"")
    assert not answer.is_complete
    assert not (await log.join(A, None, os.urandom(8) + answer.position.identity)).is_complete, "another incarnation"
    assert not (await log.join(A, None, answer.registry.incarnation + os.urandom(8))).is_complete, "another node"
    assert (await log.join(A, None, answer.completeness)).is_complete
    assert (await log.append(["kx"], awaited=True)).is_complete


async def test_a_registry_that_was_lost_is_another_one(backend: Backend, log: RedisChangeLog) -> None:
    answer = await log.join(A, None, b"")
    await log.join(A, None, answer.completeness)
    backend.client().delete(log_names(backend)[1])
    appended = await log.append(["kx"], awaited=True)
    assert not appended.is_complete
    assert not appended.registry.fields
    joined = await log.join(A, None, answer.completeness)
    assert not joined.is_complete
    assert joined.registry.incarnation != answer.registry.incarnation


@pytest.mark.parametrize("how", ["deleted", "emptied", "last entry deleted", "of another type", "of somebody else"])
async def test_a_lost_log_begins_a_new_generation(backend: Backend, log: RedisChangeLog, how: str) -> None:
    before = (await log.append(["ka"], awaited=False)).position
    await log.append(["kb"], awaited=False)
    name, client = log_names(backend)[0], backend.client()
    match how:
        case "deleted":
            client.delete(name)
        case "emptied":
            client.xtrim(name, maxlen=0, approximate=False)
        case "last entry deleted":
            client.xdel(name, f"{before.offset + 1}-0")
        case "of another type":
            client.set(name, "x")
        case "of somebody else":
            client.xadd(name, {"g": "short"}, id="77-0")
    after = (await log.append(["kc"], awaited=False)).position
    assert after.generation != before.generation
    assert after.offset == 1
    assert (await log.join(A, None, b"")).position == after


async def test_a_trimmed_log_keeps_its_generation_and_shows_the_gap(backend: Backend, log: RedisChangeLog) -> None:
    tail = (await log.join(A, None, b"")).position
    for number in range(5):
        await log.append([f"k{number}"], awaited=False)
    backend.client().xtrim(log_names(backend)[0], maxlen=2, approximate=False)
    entries = (await log.follow(tail)).entries
    assert [(entry.generation, entry.offset) for entry in entries] == [(tail.generation, 5), (tail.generation, 6)]
    await log.close()


async def test_the_log_is_kept_short(backend: Backend, opener: Opener) -> None:
    log = (await opener(backend.url, backend.prefix, log_length=100)).log
    for number in range(40):
        await asyncio.gather(*(log.append([f"k{number}.{one}"], awaited=False) for one in range(20)))
    for number in range(600):
        await log.append([f"k{number}"], awaited=False)
    assert 100 <= backend.client().xlen(log_names(backend)[0]) < 400


async def test_changes_are_told_when_memory_is_full(opener: Opener) -> None:
    with standalone("--maxmemory", "3mb", "--maxmemory-policy", "noeviction") as node:
        store = await opener(node.url, **HASTY)
        log = store.log
        node.client().config_set("maxmemory", "1")
        with pytest.raises(redis.OutOfMemoryError):
            node.client().set("x", "y")
        first = await log.append(["kx"], awaited=False)
        assert (await log.append(["ky"], awaited=False)).position == first.position._replace(offset=2)
        assert A in (await log.join(A, None, b"")).registry.fields


async def test_a_restarted_node_has_another_identity(opener: Opener) -> None:
    with standalone() as node:
        store = await opener(node.url, **HASTY)
        log = store.log
        before = (await log.join(A, None, b"")).position
        waiting = asyncio.ensure_future(log.follow(before))
        await asyncio.sleep(0.05)
        await asyncio.to_thread(node.restart)
        with pytest.raises(LogUnavailable):
            await waiting
        after = await _joined(log)
        assert after.identity != before.identity
        assert after.generation != before.generation
        changes = await _followed_again(log, after)
        assert changes.identity == after.identity
        await log.close()


async def test_a_node_that_got_another_identity_is_followed_by_that(opener: Opener) -> None:
    """Without a restart, while the connection stays: as where slots of a cluster move."""
    with standalone("--enable-debug-command", "yes") as node:
        store = await opener(node.url, **HASTY)
        log = store.log
        before = (await log.join(A, None, b"")).position
        await log.append(["kx"], awaited=False)
        assert (await log.follow(before)).identity == before.identity
        node.client().execute_command("DEBUG", "CHANGE-REPL-ID")
        after = before
        async with asyncio.timeout(60):
            while after.identity == before.identity:
                after = await _joined(log)
        await log.append(["ky"], awaited=False)
        changes = await log.follow(after)
        assert (changes.identity, [entry.names for entry in changes.entries]) == (after.identity, [("ky",)])
        await log.close()


async def test_a_demoted_node_gives_no_entries(opener: Opener) -> None:
    with standalone() as node, standalone() as successor:
        store = await opener(node.url, **HASTY)
        log = store.log
        tail = (await log.join(A, None, b"")).position
        await log.append(["kx"], awaited=False)
        await log.follow(tail)
        node.client().replicaof("127.0.0.1", successor.port)
        with pytest.raises(LogUnavailable):
            await log.follow(tail)
        await log.close()


async def _joined(log: RedisChangeLog) -> LogPosition:
    positions: list[LogPosition] = []

    async def attempt() -> None:
        try:
            positions.append((await log.join(A, None, b"")).position)
        except LogUnavailable:
            await asyncio.sleep(0.05)

    async with asyncio.timeout(60):
        while not positions:
            await attempt()
    return positions[0]


async def _followed_again(log: RedisChangeLog, after: LogPosition) -> Changes:
    async with asyncio.timeout(60):
        while True:
            try:
                return await log.follow(after)
            except LogUnavailable:
                await asyncio.sleep(0.05)


async def test_cancelling_who_follows_disturbs_nobody(log: RedisChangeLog) -> None:
    tail = (await log.join(A, None, b"")).position
    for _ in range(5):
        waiting = asyncio.ensure_future(log.follow(tail))
        await asyncio.sleep(0.01)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
    await log.append(["kx"], awaited=False)
    [change] = (await log.follow(tail)).entries
    assert change.names == ("kx",)
    await log.close()


@pytest.mark.parametrize("backend", ["standalone"], indirect=True)
async def test_what_members_say_of_themselves_and_later_versions_say(backend: Backend, log: RedisChangeLog) -> None:
    """A later version's member is there, with the longest lease there is; garbage is no member's word."""
    mark = (await log.join(A, None, b"")).position
    await log.join(B, mark, b"", MemberTerms(5_000, b"8 bytes."))
    _, registry = log_names(backend)
    backend.client().hset(registry, "c" * 32, b"\x02 of a later version")
    backend.client().hset(registry, "d" * 32, b"\x00 garbage")
    fields = (await log.join(A, None, b"")).registry.fields
    assert (fields[A].watermark, fields[A].terms) == (None, MemberTerms())
    assert (fields[B].watermark, fields[B].terms) == (mark, MemberTerms(5_000, b"8 bytes."))
    assert (fields["c" * 32].watermark, fields["c" * 32].terms) == (None, MemberTerms(MAX_LEASE_MS, b""))
    assert (fields["d" * 32].watermark, fields["d" * 32].terms) == (None, None)


@pytest.mark.parametrize("backend", ["standalone"], indirect=True)
async def test_entries_of_a_later_version_are_known_as_such(backend: Backend, log: RedisChangeLog) -> None:
    tail = (await log.join(A, None, b"")).position
    name, _ = log_names(backend)
    client = backend.client()
    client.xadd(name, {"g": tail.generation, "n": "kx", "w": "0", "v": "2"}, id=f"{tail.offset + 1}-0")
    client.xadd(name, {"g": tail.generation, "n": "kx\npattern", "w": "0"}, id=f"{tail.offset + 2}-0")
    client.xadd(name, {"g": tail.generation, "n": "kx\nty", "w": "0"}, id=f"{tail.offset + 3}-0")
    entries = (await log.follow(tail)).entries
    assert [entry.is_known for entry in entries] == [False, False, True]
    assert all(entry.generation == tail.generation for entry in entries)
