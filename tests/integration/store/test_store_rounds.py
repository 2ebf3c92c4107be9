"""What every installation must do alike: values, epochs, outcomes of writes."""

from __future__ import annotations

import asyncio

import pytest

from coherd_server.core.entry import Flags, decode_header
from coherd_server.core.store import Put, PutOutcome, RemoveOutcome, TouchOutcome
from coherd_server.redis.store import RedisStore
from rig.entries import header, put_of, refenced
from rig.fixtures import Backend, Opener

STORED, PRESENT, OLDER_VERSION, FOREIGN = (
    PutOutcome.STORED,
    PutOutcome.PRESENT,
    PutOutcome.OLDER_VERSION,
    PutOutcome.FOREIGN,
)


async def test_values_come_back_under_their_own_names(store: RedisStore) -> None:
    keys = [f"a:b:n:{i}" for i in range(200)]
    puts = [await put_of(store, key, key.encode()) for key in keys]
    assert set(await store.put(puts)) == {STORED}
    values, epochs = await store.read([*keys, "a:missing", keys[0]], ["a", "a/b:1"])
    assert [value.raw for value in values[:200]] == [put.entry for put in puts]
    assert values[200].raw is None
    assert values[201].raw == puts[0].entry
    assert [epoch.epoch for epoch in epochs] == [None, None]
    assert all(any(value.identity) and len(value.identity) == 8 for value in values)
    assert len({value.identity for value in values}) == len({put.identity for put in puts})


async def test_node_time_is_the_nodes(backend: Backend, store: RedisStore) -> None:
    seconds, micros = backend.primaries()[0].client().time()
    [value], _ = await store.read(["k"], [])
    assert abs(value.redis_now_ms - (seconds * 1000 + micros // 1000)) < 500


async def test_minting_makes_once_renews_and_never_replaces(backend: Backend, store: RedisStore) -> None:
    tags = {f"t/{i}": 5_000 + i for i in range(40)}
    first, second = await asyncio.gather(store.ensure_epochs([], tags), store.ensure_epochs([], tags))
    assert {tag: read.epoch for tag, read in first[1].items()} == {tag: read.epoch for tag, read in second[1].items()}
    assert len({read.epoch for read in first[1].values()}) == 40
    client = backend.client()
    name = f"{backend.prefix}coherd:epoch:t/0"
    _, renewed = await store.ensure_epochs([], {"t/0": 90_000})
    assert renewed["t/0"] == first[1]["t/0"]
    assert 90_000 <= client.pttl(name) + 10_000 <= 190_000, "as long as asked for, and at most twice"
    await store.ensure_epochs([], {"t/0": 10})
    assert client.pttl(name) > 80_000, "a shorter need must not shorten an epoch's life"
    _, read = await store.read([], ["t/0"])
    assert read[0] == first[1]["t/0"]


async def test_an_epoch_that_is_remembered_is_minted_anew_once_it_is_gone(backend: Backend, store: RedisStore) -> None:
    """A store remembers how long an epoch lives and only reads it; what it reads decides, not what it remembers."""
    client = backend.client()
    name = f"{backend.prefix}coherd:epoch:t/1"
    _, first = await store.ensure_epochs([], {"t/1": 60_000, "t/2": 60_000})
    _, second = await store.ensure_epochs(["a:b"], {"t/1": 60_000, "t/2": 60_000})
    assert second == first
    client.delete(name)
    _, third = await store.ensure_epochs(["a:b"], {"t/1": 60_000, "t/2": 60_000})
    assert third["t/2"] == first["t/2"]
    assert third["t/1"].epoch is not None
    assert third["t/1"] != first["t/1"]
    assert client.get(name) == third["t/1"].epoch
    await store.invalidate({"t/1": 0})
    _, fourth = await store.ensure_epochs([], {"t/1": 60_000})
    assert fourth["t/1"] == (await store.read([], ["t/1"]))[1][0]
    assert fourth["t/1"] != third["t/1"]
    client.pexpire(name, 1_000)
    _, longer = await store.ensure_epochs([], {"t/1": 600_000})
    assert longer == fourth
    assert client.pttl(name) >= 590_000, "more than is remembered is asked for again"


async def test_an_epoch_that_is_none_is_replaced_by_the_next_mint(backend: Backend, store: RedisStore) -> None:
    client = backend.client()
    client.set(f"{backend.prefix}coherd:epoch:short", b"x")
    client.rpush(f"{backend.prefix}coherd:epoch:list", b"x")
    assert [read.epoch for read in (await store.read([], ["short", "list"]))[1]] == [None, None]
    _, ensured = await store.ensure_epochs([], {"short": 5000, "list": 5000})
    assert [read.epoch for read in (await store.read([], ["short", "list"]))[1]] == [
        ensured["short"].epoch,
        ensured["list"].epoch,
    ]


async def test_invalidation_changes_the_epoch_and_keeps_the_longer_life(backend: Backend, store: RedisStore) -> None:
    _, before = await store.ensure_epochs([], {"x": 10_000, "y": 90_000_000})
    await store.invalidate(dict.fromkeys(["x", "y", "never seen", "x"], 0))
    _, after = await store.read([], ["x", "y", "never seen"])
    assert all(read.epoch and len(read.epoch) == 8 for read in after)
    assert {before["x"].epoch, before["y"].epoch}.isdisjoint(read.epoch for read in after)
    client = backend.client()
    assert client.pttl(f"{backend.prefix}coherd:epoch:x") > 3_500_000
    assert client.pttl(f"{backend.prefix}coherd:epoch:y") > 89_000_000


async def test_put_conditions(backend: Backend, store: RedisStore) -> None:
    first = await put_of(store, "k", b"1")
    judged = first.entry[:-1]
    assert await store.put([first._replace(replaces=b"")]) == [STORED]
    first = await refenced(store, first)
    assert await store.put([first._replace(replaces=b"")]) == [PRESENT]
    other = first._replace(entry=header(first.identity, written_at_ms=2) + b"2")
    assert await store.put([other._replace(replaces=judged)]) == [STORED]
    assert await store.put([(await refenced(store, other))._replace(replaces=judged)]) == [PRESENT]
    assert (await store.read(["k"], []))[0][0].raw == other.entry
    absent = await put_of(store, "absent")
    assert await store.put([absent._replace(replaces=judged)]) == [STORED]
    assert 50_000 < backend.client().pttl(f"{backend.prefix}k") <= 60_000


async def test_a_write_is_fenced_by_any_later_one(backend: Backend, store: RedisStore) -> None:
    """A put whose fence was read before another write of the key does nothing, also if the fence is evicted
    [late-write-fence]."""
    late, first = await put_of(store, "k", b"late"), await put_of(store, "k", b"first")
    assert await store.put([first]) == [STORED]
    assert await store.put([late]) == [PutOutcome.FENCED]
    late = await refenced(store, late)
    await store.remove(dict.fromkeys(["k"], 0))
    assert await store.put([late]) == [PutOutcome.FENCED]
    late = await refenced(store, late)
    backend.client().delete(f"{backend.prefix}coherd:fence:{{{backend.prefix}k}}")
    if store.one_primary:
        backend.client().delete(f"{backend.prefix}coherd:fences")
    assert await store.put([late]) == [PutOutcome.FENCED]
    assert (await store.read(["k"], []))[0][0].raw is None


async def test_one_bad_item_does_not_fail_the_rest(backend: Backend, store: RedisStore) -> None:
    backend.client().set(f"{backend.prefix}text", "somebody else's")
    puts = [await put_of(store, key) for key in ("a", "text", "b", "c")]
    puts[2] = puts[2]._replace(identity=b"elsewher")
    assert await store.put(puts) == [STORED, FOREIGN, PutOutcome.MOVED_IDENTITY, STORED]
    assert [value.raw is None for value in (await store.read(["a", "b", "c"], []))[0]] == [False, True, False]


@pytest.mark.parametrize("kind", ["text", "empty", "list", "hash"])
async def test_foreign_values_are_never_touched(backend: Backend, store: RedisStore, kind: str) -> None:
    client, name = backend.client(), f"{backend.prefix}k"
    {
        "text": lambda: client.set(name, '{"json": 1}'),
        "empty": lambda: client.set(name, ""),
        "list": lambda: client.rpush(name, "x"),
        "hash": lambda: client.hset(name, "f", "v"),
    }[kind]()
    before = client.dump(name)
    put = await put_of(store, "k")
    assert await store.put([put, put._replace(replaces=b"")]) == [FOREIGN, FOREIGN]
    assert await store.remove(dict.fromkeys(["k"], 0)) == [RemoveOutcome.FOREIGN]
    assert await store.touch("k", put.entry[:-1], put.entry[:-1], 5000) is TouchOutcome.CHANGED
    await store.unlink_dead([("k", put.entry[:-1])])
    assert client.dump(name) == before
    assert client.pttl(name) == -1
    [value], _ = await store.read(["k"], [])
    if kind in {"text", "empty"}:
        assert value.raw == client.get(name)
    else:
        assert value.raw == (b"" if backend.name == "cluster" else None)


async def test_a_lower_version_never_overwrites_a_higher_one(store: RedisStore) -> None:
    big = 2**53  # beyond what a double tells apart
    for version, outcome in [
        (big + 1, STORED),
        (big, OLDER_VERSION),
        (big + 1, STORED),
        (big + 2, STORED),
        (7, OLDER_VERSION),
    ]:
        assert await store.put([await put_of(store, "k", version=version)]) == [outcome], version
    assert await store.put([await put_of(store, "k")]) == [STORED], "a put without version always wins"


async def test_a_delete_leaves_the_version_behind(backend: Backend, store: RedisStore) -> None:
    await store.put([await put_of(store, "k", version=9)])
    assert await store.remove(dict.fromkeys(["k", "nothing"], 0)) == [RemoveOutcome.REMOVED, RemoveOutcome.ABSENT]
    [value], _ = await store.read(["k"], [])
    assert value.raw is not None
    left = decode_header(value.raw)
    assert (left.flags, left.version, left.size) == (Flags.VERSIONED | Flags.TOMBSTONE, 9, len(value.raw))
    assert left.key_identity == value.identity
    assert 50_000 < backend.client().pttl(f"{backend.prefix}k") <= 60_000
    assert await store.remove(dict.fromkeys(["k"], 0)) == [RemoveOutcome.ABSENT]
    await store.unlink_dead([("k", value.raw)])
    assert await store.put([await put_of(store, "k", version=8)]) == [OLDER_VERSION]
    assert await store.put([await put_of(store, "k", version=10)]) == [STORED]


async def test_put_and_remove_void_the_lease(backend: Backend, store: RedisStore) -> None:
    client, lease = backend.client(), f"{backend.prefix}coherd:lease:{{{backend.prefix}k}}"
    put = await put_of(store, "k")
    client.set(lease, "token")
    await store.put([put])
    assert client.get(lease) is None
    client.set(lease, "token")
    await store.put([put._replace(replaces=b"")])
    assert client.get(lease) == b"token", "a refused put voids nothing"
    await store.remove(dict.fromkeys(["k"], 0))
    assert client.get(lease) is None


async def test_touch_compares_and_unlink_compares(backend: Backend, store: RedisStore) -> None:
    """[unlink-by-bytes]"""
    put = await put_of(store, "k", b"payload")
    judged, renewed = header(put.identity), header(put.identity, written_at_ms=5)
    await store.put([put])
    assert await store.touch("k", renewed, judged, 5_000) is TouchOutcome.CHANGED
    assert await store.touch("k", judged, renewed, 500_000) is TouchOutcome.TOUCHED
    assert (await store.read(["k"], []))[0][0].raw == renewed + b"payload"
    assert backend.client().pttl(f"{backend.prefix}k") > 400_000
    await store.unlink_dead([("k", judged)])
    assert (await store.read(["k"], []))[0][0].raw is not None
    await store.unlink_dead([("k", renewed), ("absent", renewed)])
    assert (await store.read(["k"], []))[0][0].raw is None
    with pytest.raises(ValueError, match="one length"):
        await store.touch("k", judged, judged + b"x", 1)


async def test_prefixes_do_not_meet(backend: Backend, store: RedisStore, opener: Opener) -> None:
    other = await opener(backend.url, f"{backend.prefix}other:")
    await store.put([await put_of(store, "k")])
    await store.ensure_epochs([], {"x": 5000})
    assert (await other.read(["k"], ["x"]))[0][0].raw is None
    assert (await other.read(["k"], ["x"]))[1][0].epoch is None
    assert await other.remove(dict.fromkeys(["k"], 0)) == [RemoveOutcome.ABSENT]


async def test_counters_add_up(store: RedisStore) -> None:
    await asyncio.gather(*(store.count({"a": {"hits": 2, "misses": 1}, "b": {"hits": 1}}) for _ in range(20)))
    assert await store.counters(["a", "b", "c"]) == {"a": {"hits": 40, "misses": 20}, "b": {"hits": 20}, "c": {}}


async def test_scripts_come_back_after_a_flush(backend: Backend, store: RedisStore) -> None:
    for node in backend.primaries():
        node.client().script_flush()
    assert await store.put([await put_of(store, key) for key in ("a", "b", "c")]) == [STORED] * 3
    for node in backend.primaries():
        node.client().script_flush()
    before = (await store.ensure_epochs([], {"x": 5000}))[1]["x"].epoch
    await store.invalidate(dict.fromkeys(["x"], 0))
    assert (await store.read([], ["x"]))[1][0].epoch != before


async def test_inspect_reports_every_primary(backend: Backend, store: RedisStore) -> None:
    reports = await store.inspect()
    assert len(reports) == (3 if backend.name == "cluster" else 1)
    for report in reports:
        assert report.role == "master"
        assert report.software == ("redis" if backend.name == "redis7" else "valkey")
        assert int(report.version.split(".")[0]) >= 7
        assert report.maxmemory_policy == "noeviction"
        assert report.identity_stable
        assert report.used_memory_bytes > 0
    assert len({report.run_id for report in reports}) == len(reports)
    await store.ping()


async def test_large_batches_are_split_and_whole(backend: Backend, opener: Opener) -> None:
    store = await opener(backend.url, backend.prefix, reply_timeout_ms=20_000, deadline_ms=60_000)
    keys = [f"n:{i}" for i in range(4_500)]
    bases, _ = await store.ensure_epochs(keys, {})
    puts = [
        Put(key, header(one.identity) + key.encode(), 60_000, one.identity, one.fencing_token)
        for key, one in zip(keys, bases, strict=True)
    ]
    left = puts
    while left:  # those whose part of the fences another call wrote meanwhile start over, as a set does
        outcomes = await store.put(left)
        assert set(outcomes) <= {STORED, PutOutcome.FENCED}
        fenced = [put for put, outcome in zip(left, outcomes, strict=True) if outcome is PutOutcome.FENCED]
        assert len(fenced) < max(2, len(left) // 5)
        left = [await refenced(store, put) for put in fenced]
    values, _ = await store.read(keys, [])
    assert [value.raw for value in values] == [put.entry for put in puts]
