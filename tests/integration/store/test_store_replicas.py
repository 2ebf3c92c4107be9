"""`WAIT` per write: confirmed by so many replicas, or told as not confirmed."""

from __future__ import annotations

import pytest

from coherd_server.adapters.store import RedisStore
from coherd_server.domain.ports import RemoveOutcome, StoreUnavailable
from rig.entries import put_of
from rig.fixtures import Backend, Opener

REPLICATED = ("cluster", "sentinel")


async def test_a_write_waits_for_replicas(backend: Backend, opener: Opener) -> None:
    """With replicas it is acknowledged; without any it took effect, and is said to be unconfirmed (P6)."""
    store: RedisStore = await opener(backend.url, backend.prefix, reply_timeout_ms=400, deadline_ms=900)
    await store.put([await put_of(store, "k"), await put_of(store, "other")])
    _, before = await store.mint([], {"t": 60_000})
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


async def test_more_replicas_than_there_are(backend: Backend, opener: Opener) -> None:
    """Only the write that asks waits; the rest of its batch is not failed by it."""
    store: RedisStore = await opener(backend.url, backend.prefix, reply_timeout_ms=400, deadline_ms=900)
    await store.put([await put_of(store, "a"), await put_of(store, "b")])
    outcomes = await store.remove({"a": 8, "b": 0})
    assert isinstance(outcomes[0], StoreUnavailable)
    assert outcomes[1] is RemoveOutcome.REMOVED
