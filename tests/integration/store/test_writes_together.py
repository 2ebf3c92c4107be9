"""Writes of several keys that share a call of their script: each item has its own answer, as if it were alone."""

from __future__ import annotations

import asyncio

import pytest

from coherd_server.core.store import Fill, FillOutcome, Grant, GrantOutcome, Outdated, Put, PutOutcome, RemoveOutcome
from coherd_server.redis import batch
from coherd_server.redis.connection import Connection
from coherd_server.redis.scripts import PUT
from coherd_server.redis.store import RedisStore
from rig.entries import header, put_of
from rig.fixtures import Backend

STORED, FENCED, FOREIGN = PutOutcome.STORED, PutOutcome.FENCED, PutOutcome.FOREIGN
ONE_NODE = pytest.mark.parametrize("backend", ["standalone", "sentinel", "redis7"], indirect=True)
LEASE = b"\2" + b"t" * 16 + b"lease"


def lease_name(backend: Backend, key: str) -> str:
    return f"{backend.prefix}coherd:lease:{{{backend.prefix}{key}}}"


def waiting_name(backend: Backend, key: str) -> str:
    return f"{backend.prefix}coherd:waiting:{{{backend.prefix}{key}}}"


async def test_one_that_is_refused_leaves_the_others(backend: Backend, store: RedisStore) -> None:
    """A foreign one and a fenced one among others: nothing of theirs is changed, everything of the others' is."""
    client = backend.client()
    puts = [await put_of(store, f"k{number}") for number in range(6)]
    client.set(f"{backend.prefix}k1", "somebody else's")
    await store.remove({"k3": 0})
    for number in range(6):
        client.set(lease_name(backend, f"k{number}"), LEASE)
    assert await store.put(puts) == [STORED, FOREIGN, STORED, FENCED, STORED, STORED]
    left = [client.get(lease_name(backend, f"k{number}")) for number in range(6)]
    assert left == [None, LEASE, None, LEASE, None, None]
    assert client.get(f"{backend.prefix}k1") == b"somebody else's"
    assert client.get(f"{backend.prefix}k3") is None
    again = [put._replace(fencing_token=puts[0].fencing_token) for put in puts]
    assert await store.put([again[1], again[0]]) == [FOREIGN, FENCED], "what was stored changed its fence"


async def test_a_lease_is_filled_once_also_within_a_call(backend: Backend, store: RedisStore) -> None:
    [basis], _ = await store.ensure_epochs(["k"], {})
    assert await store.grant([Grant("k", None, b"", LEASE, 60_000, basis.identity)]) == [GrantOutcome.GRANTED]
    first, second = [Fill("k", header(basis.identity) + value, 60_000, LEASE, basis.identity) for value in (b"1", b"2")]
    assert await store.fill([first, second]) == [FillOutcome.STORED, FillOutcome.REJECTED]
    [value], _ = await store.read(["k"], [])
    assert value.raw == first.entry


async def test_a_key_that_is_removed_twice_was_there_once(store: RedisStore) -> None:
    await store.put([await put_of(store, "k")])
    removed = await asyncio.gather(store.remove({"k": 0}), store.remove({"k": 0, "other": 0}))
    assert [*removed[0], *removed[1]] == [RemoveOutcome.REMOVED, RemoveOutcome.ABSENT, RemoveOutcome.ABSENT]


async def test_only_those_are_woken_who_wait(backend: Backend, store: RedisStore) -> None:
    client, heard = backend.client(), []
    store.on_wake(lambda name, is_key: heard.append((name, is_key)))
    puts = [await put_of(store, f"k{number}") for number in range(4)]
    await store.await_changes("k2", 60_000)
    await store.put(puts)
    assert not client.exists(waiting_name(backend, "k2"))
    await store.await_changes("last", 60_000)
    async with asyncio.timeout(60):
        while ("last", True) not in heard:
            await store.await_changes("last", 60_000)
            await store.remove({"last": 0})
            await asyncio.sleep(0.01)
    keys = [name for name, is_key in heard if is_key and name]
    assert set(keys) <= {"k2", "last"}


@ONE_NODE
async def test_of_writes_that_share_what_they_remember_only_those_are_outdated_whose_tag_is(
    backend: Backend, store: RedisStore
) -> None:
    tags = {"a": 60_000, "a/b:1": 60_000, "a/b:2": 60_000}
    [basis], epochs = await store.ensure_epochs(["k"], tags)
    remembered = {tag: read.epoch for tag, read in epochs.items() if read.epoch is not None}
    backend.client().delete(f"{backend.prefix}coherd:epoch:a/b:2")

    def put(key: str, *tags: str) -> Put:
        entry = header(basis.identity)
        return Put(key, entry, 60_000, basis.identity, basis.fencing_token, None, remembered, tags)

    one, two, all_of_them = await store.put([put("k1", "a", "a/b:1"), put("k2", "a", "a/b:2"), put("k3")])
    assert one is STORED
    assert isinstance(two, Outdated)
    assert {tag: read.epoch for tag, read in two.epochs.items()} == {"a": remembered["a"], "a/b:2": None}
    assert isinstance(all_of_them, Outdated)


@ONE_NODE
async def test_no_call_has_more_items_than_a_node_may_be_held_up_by(
    store: RedisStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batch, "ITEMS_PER_CALL", 7)
    [basis], _ = await store.ensure_epochs(["k"], {})
    entry = header(basis.identity)
    puts = [Put(f"k{number}", entry, 60_000, basis.identity, basis.fencing_token) for number in range(30)]
    calls: list[int] = []
    send = Connection.send

    def counted(self: Connection, commands: list[tuple[object, ...]], *args: object, **options: object) -> None:
        calls.extend((len(command[3:]) - 5) // 4 for command in commands if command[:2] == ("EVALSHA", PUT.sha))
        send(self, commands, *args, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(Connection, "send", counted)
    assert await store.put(puts) == [STORED] * 30, "a call does not fence off the next one of its batch"
    assert calls == [7, 7, 7, 7, 2]
