"""The census over a real store: what it counts and unlinks, and notes that somebody damaged."""

from __future__ import annotations

from collections.abc import Sequence
from unittest.mock import ANY

import pytest
import structlog

from coherd.catalog.load import builtin_catalog
from coherd.catalog.requests import SetItem
from coherd_server.core.census import Census
from coherd_server.core.counters import Counters
from coherd_server.core.get import Reader
from coherd_server.redis.store import RedisStore
from rig.fixtures import Backend
from rig.near import cache_over

NOW_MS = 1_700_000_000_000
NOTES = {
    "no JSON": b"\xff\x00",
    "other JSON": b"[1, 2]",
    "text for numbers": b'{"counted_at_ms": "5", "keys": {"x": "y"}, "sizes": {}, "unlinked": 0, "done": 3, "at": 4}',
}


@pytest.fixture
def census(store: RedisStore) -> Census:
    return Census(store, Reader(store, Counters()), builtin_catalog(), wall_ms=lambda: NOW_MS)


async def fill(store: RedisStore, *keys: str) -> None:
    writes = cache_over(store, max_value_bytes=100).writes
    for key in keys:
        await writes.set([SetItem(builtin_catalog().resolve(key), b"v")])


async def test_it_counts_what_is_stored_and_unlinks_what_is_dead(
    backend: Backend, store: RedisStore, census: Census
) -> None:
    await fill(store, *(f"content:topics:user:u{n}" for n in range(30)), "session:data:id:s")
    await store.invalidate({"session": 0})
    result = await census.walk(60_000)
    assert result is not None
    assert result == await census.result()
    assert (result.counted_at_ms, result.unlinked) == (NOW_MS, 1)
    assert result.keys == {"content": 30, "content:topics": 30, "session": 1, "session:data": 1}
    assert result.sizes["content"] > 30 * 50
    assert backend.client().exists(f"{backend.prefix}session:data:id:s") == 0
    assert backend.client().exists(f"{backend.prefix}content:topics:user:u0") == 1


async def test_a_dead_entry_is_judged_once(store: RedisStore, census: Census, monkeypatch: pytest.MonkeyPatch) -> None:
    """By epochs that are read after it; however many there are, a page takes two reads."""
    await fill(store, *(f"session:data:id:{n}" for n in range(20)))
    await store.invalidate({"session": 0})
    asked: list[tuple[int, int]] = []
    read = store.read

    async def counted(keys: Sequence[str], tags: Sequence[str]) -> object:
        asked.append((len(keys), len(tags)))
        return await read(keys, tags)

    monkeypatch.setattr(store, "read", counted)
    result = await census.walk(60_000)
    assert result is not None
    assert result.unlinked == 20
    assert sum(keys for keys, _ in asked) == 20
    assert all(not (keys and tags) for keys, tags in asked)
    assert [keys > 0 for keys, _ in asked] == [True, False] * (len(asked) // 2)


async def test_it_leaves_what_a_later_version_stored(backend: Backend, store: RedisStore, census: Census) -> None:
    await fill(store, "content:topics:user:u")
    client, entry = backend.client(), b"\xf5CH\x02" + bytes(100)
    client.set(f"{backend.prefix}content:topics:user:later", entry)
    client.set(f"{backend.prefix}coherd:census:result", b'{"format": 2, "counted": {"content": 5}}')
    with structlog.testing.capture_logs() as log:
        assert await census.result() is None
        result = await census.walk(60_000)
    assert not [entry for entry in log if "damaged" in entry["event"]]
    assert result is not None
    assert (result.keys["content"], result.unlinked) == (1, 0)
    assert client.get(f"{backend.prefix}content:topics:user:later") == entry


@pytest.mark.parametrize("damage", NOTES)
async def test_a_damaged_note_is_told_once_and_written_anew(
    backend: Backend, store: RedisStore, census: Census, damage: str
) -> None:
    await fill(store, "content:topics:user:u")
    client = backend.client()
    for name in ("result", "progress"):
        client.set(f"{backend.prefix}coherd:census:{name}", NOTES[damage])
    with structlog.testing.capture_logs() as log:
        assert await census.result() is None
        assert await census.result() is None
        result = await census.walk(60_000)
    assert [entry["note"] for entry in log] == ["census:result", "census:progress"]
    assert log[0] == {"event": ANY, "log_level": "warning", "note": "census:result", "damage": ANY}
    assert result is not None
    assert result.keys == {"content": 1, "content:topics": 1}
    assert await census.result() == result
