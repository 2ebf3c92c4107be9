"""`WAIT` per write: confirmed by so many replicas, or told as not confirmed."""

from __future__ import annotations

import asyncio
import time
import uuid

import pytest

from coherd_server.core.store import RemoveOutcome, StoreUnavailable
from coherd_server.redis.store import RedisStore
from rig.entries import put_of
from rig.fixtures import HASTY, PATIENT, Backend, Opener, RigPool

REPLICATED = ("cluster", "sentinel")


async def test_a_write_waits_for_replicas(backend: Backend, opener: Opener) -> None:
    """With replicas it is acknowledged; without any it took effect, and is said to be unconfirmed (P6)."""
    settings = PATIENT if backend.name in REPLICATED else HASTY
    store: RedisStore = await opener(backend.url, backend.prefix, **settings)
    await store.put([await put_of(store, "k"), await put_of(store, "other")])
    _, before = await store.ensure_epochs([], {"t": 60_000})
    [outcome] = await store.remove({"k": 1})
    if backend.name in REPLICATED:
        assert outcome is RemoveOutcome.REMOVED
        await store.invalidate({"t": 1})
    else:
        assert isinstance(outcome, StoreUnavailable)
        assert outcome.outcome_unknown
        with pytest.raises(StoreUnavailable, match="replicas") as caught:
            await store.invalidate({"t": 1})
        assert caught.value.outcome_unknown
    values, epochs = await store.read(["k", "other"], ["t"])
    assert [value.raw is None for value in values] == [True, False]
    assert epochs[0].epoch != before["t"].epoch


async def test_the_wait_delays_nobody_else(rig_pool: RigPool, opener: Opener) -> None:
    """There is no replica to confirm: what asked for one waits four seconds, what others want meanwhile does not."""
    rig = rig_pool.get("standalone")
    store = await opener(rig.url, f"w{uuid.uuid4().hex}:", reply_timeout_ms=8_000, deadline_ms=18_000)
    await store.put([await put_of(store, key) for key in ("a", "b", "c")])
    waiting = [asyncio.create_task(store.remove({key: 1})) for key in ("a", "b")]
    started_s = time.monotonic()
    reads = await asyncio.gather(store.read(["c"], []), store.remove({"c": 0}), store.invalidate({"t": 0}))
    assert reads[1] == [RemoveOutcome.REMOVED]
    for _ in range(20):
        await store.read(["c"], ["t"])
        await asyncio.sleep(0)
    assert not any(task.done() for task in waiting)
    outcomes = [one for task in waiting for one in await task]
    assert all(isinstance(one, StoreUnavailable) and one.outcome_unknown for one in outcomes)
    assert time.monotonic() - started_s < 7.5, "those that wait share one wait"


async def test_more_replicas_than_there_are(backend: Backend, opener: Opener) -> None:
    """Only the write that asks waits; the rest of its batch is not failed by it."""
    store: RedisStore = await opener(backend.url, backend.prefix, reply_timeout_ms=1_000, deadline_ms=2_000)
    await store.put([await put_of(store, "a"), await put_of(store, "b")])
    outcomes = await store.remove({"a": 8, "b": 0})
    assert isinstance(outcomes[0], StoreUnavailable)
    assert outcomes[1] is RemoveOutcome.REMOVED
